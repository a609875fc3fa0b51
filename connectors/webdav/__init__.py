"""Files on WebDAV servers (RFC 4918)."""
