"""Receivers that are verified by machine: who may be served under which class, the probes, and how verdicts age."""
