"""Marked secrets in every place that takes one, platforms that give them back in every way, and a net for both."""
