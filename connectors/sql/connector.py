"""The connector of the ``sql`` kind: which database a URL means, and the class that it carries."""

from __future__ import annotations

from urllib.parse import urlsplit

from connectors.channel import Channel
from connectors.sql.dialect import Dialect
from connectors.sql.mysql import MySql
from connectors.sql.options import SqlOptions
from connectors.sql.postgresql import PostgreSql
from connectors.sql.session import SqlSession
from connectors.sql.sqlite import Sqlite
from outbox.model import Guarantee


def dialect_of(url: str, options: SqlOptions) -> Dialect:
    """The kind of database that the URL means. Raises HmsSyncError where it does not name one."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return Sqlite(url)
    if scheme in ("mariadb", "mysql"):
        return MySql(url, unencrypted=options.unencrypted)
    return PostgreSql(url, unencrypted=options.unencrypted)


class SqlConnector:
    """Delivers to one table of one database."""

    guarantee = Guarantee.EXACT_TX
    quiet_seconds = 0.0
    window_seconds: float | None = None

    def __init__(self, url: str, options: SqlOptions) -> None:
        self._options = options
        self._dialect = dialect_of(url, options)

    def open(self, channel: Channel, deadline_seconds: float) -> SqlSession:
        """A session of its own, not connected yet."""
        return SqlSession(self._dialect, self._options, channel, deadline_seconds)
