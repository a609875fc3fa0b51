"""What the examples are run with: each among its servers, the commands that an integrator types, the daemon itself."""
