"""The ``caldav`` kind: calendars (RFC 4791)."""
