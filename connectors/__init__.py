"""How a message reaches one kind of platform."""
