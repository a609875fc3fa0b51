"""The platforms of the demo: each is one file here, and one line in ``cdc.demo.cast``."""
