"""What the daemon tells about itself: events, metrics, probes, logs."""
