"""Where the source database is: the configured one, or the embedded PostgreSQL beside the config."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cdc import embedded
from cdc.config import Config


@contextmanager
def source(config: Config) -> Iterator[str]:
    """The connection string of the database; an embedded server that we started stops with the block."""
    if config.database.dsn is not None:
        yield config.database.dsn.get_secret_value()
        return
    with embedded.start(config.database.directory) as server:
        yield server.dsn
