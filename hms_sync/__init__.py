"""The public API of hms-sync; the only name that a host application imports."""
