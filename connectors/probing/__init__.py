"""The machine that verifies a receiver: ten probes in a scratch place, and the guarantee that their results support."""
