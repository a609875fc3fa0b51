"""Receivers of webhooks made of the reference libraries, which judge what we send."""
