"""The config of the daemon: ``load`` reads ``sync-config.yml`` and finds every mistake before anything starts."""

from cdc.config.build import Built
from cdc.config.load import Config, load, renewed
from cdc.config.mistakes import ConfigError, Mistake

__all__ = ["Built", "Config", "ConfigError", "Mistake", "load", "renewed"]
