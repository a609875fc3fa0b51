"""An explicit-state model of the claim protocol: every interleaving of two workers, a network and a platform."""
