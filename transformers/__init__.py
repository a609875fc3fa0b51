"""What a change looks like to a platform."""
