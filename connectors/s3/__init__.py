"""Objects in buckets that speak the S3 protocol."""
