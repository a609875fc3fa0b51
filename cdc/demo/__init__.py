"""The demo: a sample application, two real platforms and the daemon between them, on one machine, in one command."""
