"""The demo: a sample application, real platforms and the daemon between them, on one machine, in one command."""
