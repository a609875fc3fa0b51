"""Workloads and checkers that several tests share."""
