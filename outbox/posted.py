"""A statement that is under way while its sender goes on with other work; each is a transaction of its own.

It leaves in one piece, so that the server never waits for us inside a transaction. (psycopg's pipeline mode sends
statement after statement, and no timeout of the server ends a transaction that stands still between two of them.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from typing import Any

from psycopg import errors, generators
from psycopg.pq import ExecStatus

from outbox.db import Connection

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class Posted:
    """One statement over ``connection``, prepared at its first use; its answer is one value, true or false.

    While it is under way nothing else may use the connection: :meth:`wait` first.
    """

    def __init__(self, connection: Connection, query: str) -> None:
        self._connection = connection
        self._command, self._order = numbered(query)
        self._names = count(1)
        self._prepared: bytes | None = None
        self._under_way = False
        self._answer: bool | None = None

    def send(self, parameters: Mapping[str, Any]) -> None:
        """Puts the statement on its way."""
        values = [_written(parameters[name]) for name in self._order]
        pgconn = self._connection.pgconn
        if self._prepared is None:
            self._prepared = f"posted_{next(self._names)}".encode()
            pgconn.send_prepare(self._prepared, self._command)
            self._results()
        pgconn.send_query_prepared(self._prepared, values)
        pgconn.flush()
        self._under_way = True

    @property
    def is_back(self) -> bool:
        """True when :meth:`take` need not wait."""
        if not self._under_way:
            return True
        pgconn = self._connection.pgconn
        pgconn.flush()
        pgconn.consume_input()
        return not pgconn.is_busy()

    def wait(self) -> None:
        """Makes the connection free again; the answer is kept."""
        if self._under_way:
            self._under_way = False
            self._answer = self._results() == b"t"

    def take(self) -> bool:
        """The answer, waited for. Raises what the database raised."""
        self.wait()
        answer, self._answer = self._answer, None
        assert answer is not None  # noqa: S101  taken once for each that was sent
        return answer

    def forget(self) -> None:
        """The statement is prepared anew: psycopg drops all that is prepared when a transaction is rolled back."""
        self._prepared = None

    def _results(self) -> bytes | None:
        pgconn = self._connection.pgconn
        result = self._connection.wait(generators.execute(pgconn))[-1]
        if result.status == ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result)
        return result.get_value(0, 0) if result.status == ExecStatus.TUPLES_OK else None


def numbered(query: str) -> tuple[bytes, list[str]]:
    """The statement as libpq takes it, and the names of its parameters in their order."""
    order = list(dict.fromkeys(_PLACEHOLDER.findall(query)))
    numbers = {name: f"${number}" for number, name in enumerate(order, 1)}
    text = _PLACEHOLDER.sub(lambda found: numbers[found[1]], query)
    return text.replace("%%", "%").encode(), order


def _written(value: Any) -> bytes | None:
    return None if value is None else str(value).encode()
