"""Faults that are no weather: each is tried by itself, and ends in one verdict."""
