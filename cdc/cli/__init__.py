"""The command line `hms-sync`: everything a person does with the courier."""

from cdc.cli.app import main

__all__ = ["main"]
