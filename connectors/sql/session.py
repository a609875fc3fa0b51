"""One connection to a target database: a batch is one transaction, of the effects and of our ledger together.

When a batch fails because of a record, its halves are tried, so that one bad row stops only itself; so are those of a
batch that holds a record twice, because the statements of a transaction take the rows by their shape, not in order.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from connectors.batch import Gate, Item, OutOfTime
from connectors.channel import Channel
from connectors.courier import unsent
from connectors.exchange import TransportFailure
from connectors.hiding import defect
from connectors.sql import ledger
from connectors.sql.columns import Misfit, TargetColumn
from connectors.sql.dialect import Dialect
from connectors.sql.failures import Failed
from connectors.sql.options import SqlOptions
from connectors.sql.schema import misfits, require_fit, require_ledger
from connectors.standing import Standing, standing
from outbox.model import (
    Action,
    Answer,
    Applied,
    ErrorClass,
    HmsSyncError,
    Json,
    NotApplied,
    Outcome,
    Rejected,
    Unknown,
)

_SETTLED = {
    Standing.FIRST: Applied(),
    Standing.DUE: Applied(),
    Standing.APPLIED: Applied(Answer(excerpt="the target's ledger has it: applied by an earlier attempt")),
    Standing.PASSED: Applied(Answer(excerpt="the target's ledger is past this change: nothing was written")),
}
_STATEMENTS = 64
"""Kept per kind of statement: one for each set of columns that the mappings make."""

_log = logging.getLogger(__name__)


class _Failure(Exception):
    """A transaction that is over, or could not begin; ``outcome`` says why."""

    def __init__(self, outcome: Failed) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class SqlSession:
    """Delivers to one table; see :class:`~connectors.batch.BatchSession`."""

    def __init__(self, dialect: Dialect, options: SqlOptions, channel: Channel, deadline_seconds: float) -> None:
        self._dialect = dialect
        self._options = options
        self._channel = channel
        self._deadline_seconds = deadline_seconds
        self._table = options.schema_and_name
        self._key = tuple(options.key)
        self._ledger = ledger.table(self._table[0])
        self._columns: Mapping[str, TargetColumn] = {}
        self._noted_at: TargetColumn | None = None
        self._connection: Connection | None = None
        self._raw: Any = None
        self._raw_lock = threading.Lock()
        self._insert = lru_cache(_STATEMENTS)(dialect.insert)
        self._upsert = lru_cache(_STATEMENTS)(dialect.upsert)
        self._delete = lru_cache(_STATEMENTS)(dialect.delete)

    def deliver(self, batch: Sequence[Item], gate: Gate) -> Iterator[Outcome]:
        if len({item.delivery.record for item in batch}) == len(batch):
            try:
                return (yield from self._transaction(batch, gate))
            except _Failure as failure:
                outcome = failure.outcome
            if len(batch) == 1 or isinstance(outcome, Unknown) or outcome.platform:
                return (yield from [outcome] * len(batch))
        middle = len(batch) // 2
        yield from self.deliver(batch[:middle], gate)
        yield from self.deliver(batch[middle:], gate)

    def problem(self) -> str | None:
        try:
            self._open(keep=False)
        except _Failure as failure:
            return failure.outcome.reason
        self._drop()
        return None

    def misfits(self, shape: Mapping[str, str | None]) -> Sequence[str]:
        if not self._columns and self.problem() is not None:
            return []
        return list(misfits(self._options.table, self._columns, shape))

    def cut(self) -> None:
        with self._raw_lock:
            if self._raw is not None:
                self._dialect.cut(self._raw)

    def commit_unheard(self) -> None:
        """Commit what was written, and lose the answer: for the probes, from inside a gate."""
        self._dialect.commit_unheard(self._raw)

    def close(self) -> None:
        self._drop()

    # ------------------------------------------------------------ one transaction

    def _transaction(self, batch: Sequence[Item], gate: Gate) -> list[Outcome]:
        connection = self._connected()
        committing = False
        try:
            outcomes = self._write(connection, batch)
            gate.pass_through()
            committing = True
            connection.commit()
        except OutOfTime:
            self._drop()
            raise
        except Exception as error:
            outcome = self._judged(error, committing=committing)
            self._undo(outcome)
            raise _Failure(outcome) from error
        return outcomes

    def _write(self, connection: Connection, batch: Sequence[Item]) -> list[Outcome]:
        entries = ledger.locked(connection, self._dialect, self._ledger, [item.delivery for item in batch])
        found = [(item, standing(entries.get(item.delivery.record), item.delivery)) for item in batch]
        by_standing = {each: [item for item, where in found if where is each] for each in Standing}
        self._note(connection, by_standing[Standing.FIRST], by_standing[Standing.DUE])
        self._take_effect(connection, [item for item, where in found if where in (Standing.FIRST, Standing.DUE)])
        return [_SETTLED[where] for _, where in found]

    def _note(self, connection: Connection, first: Sequence[Item], due: Sequence[Item]) -> None:
        """Our ledger first: of two senders that write a record for the first time, one fails here."""
        name, columns = (self._table[0], ledger.NAME), tuple(column.name for column in self._ledger.columns)
        try:
            self._execute(connection, self._insert(name, columns), self._entries(first), columns)
        except IntegrityError as error:
            reason = "another sender wrote this record at the same moment"
            raise _Failure(NotApplied(ErrorClass.CONFLICT, reason)) from error
        upsert = self._upsert(name, ledger.KEY, columns)
        self._execute(connection, upsert, self._entries(due), columns)

    def _entries(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        now = datetime.now(UTC).isoformat(sep=" ")
        moment = now if self._noted_at is None else self._dialect.fitted(self._noted_at, now)
        return [{**ledger.row_of(item.delivery), "applied_at": moment} for item in items]

    def _take_effect(self, connection: Connection, items: Sequence[Item]) -> None:
        """The rows themselves, one statement for those that have the same columns."""
        groups: dict[tuple[Action, tuple[str, ...]], list[Any]] = {}
        for item in items:
            row = self._row(item)
            groups.setdefault((item.message.action, tuple(row)), []).append(row)
        for (action, columns), rows in groups.items():
            removes = action is Action.DELETE
            statement = self._delete(self._table, columns) if removes else self._upsert(self._table, self._key, columns)
            self._execute(connection, statement, rows, columns)

    def _row(self, item: Item) -> dict[str, Any]:
        document = item.message.document
        for name in self._key:
            if document.get(name) is None:
                reason = f"the mapped document has no value for the key column {name}; add it to the mapping's fields"
                raise _Failure(Rejected(ErrorClass.MAPPING, reason))
        wanted = self._key if item.message.action is Action.DELETE else document
        return {name: self._fitted(name, document[name]) for name in wanted}

    def _fitted(self, name: str, value: Json) -> Any:
        column, table = self._columns.get(name), self._options.table
        if column is None or not column.writable:
            fault = "is computed by the target" if column else "is not there"
            reason = f"column {name} of {table} {fault}; add it to the table, or take the field out of the mapping"
            raise _Failure(Rejected(ErrorClass.MISCONFIGURED, reason, platform=True))
        try:
            return self._dialect.fitted(column, value)
        except Misfit as why:
            reason = f"column {name} of {table} ({column.type}) {why}"
            raise _Failure(Rejected(ErrorClass.REFUSED, reason)) from None

    def _execute(self, connection: Connection, statement: Any, rows: Sequence[Any], columns: Sequence[str]) -> None:
        if rows:
            connection.execute(statement, self._dialect.parameters(rows, columns))

    def _judged(self, error: Exception, *, committing: bool) -> Failed:
        if isinstance(error, _Failure):
            return error.outcome
        if isinstance(error, DBAPIError) and error.orig is not None:
            return self._dialect.failed(error.orig, committing=committing)
        told = defect(error, self._channel.secrets)
        _log.error("a transaction in the target %s failed", self._options.table, exc_info=told)
        reason = "the connector failed on this record (a defect; the log has the details)"
        return Unknown(ErrorClass.INTERNAL, reason) if committing else Rejected(ErrorClass.INTERNAL, reason)

    # ------------------------------------------------------------ the connection

    def _connected(self) -> Connection:
        """The connection, made and checked when there is none. Raises _Failure."""
        return self._connection if self._connection is not None else self._open(keep=True)

    def _open(self, *, keep: bool) -> Connection:
        """A connection to a target that is as it must be, with our ledger made there (``keep``) or only tried."""
        try:
            raw = self._dialect.connect(self._channel, self._deadline_seconds)
            with self._raw_lock:
                self._raw = raw
            self._connection = connection = self._dialect.engine(raw).connect()
            self._columns = require_fit(connection, self._dialect, self._options)
            require_ledger(connection, self._dialect, self._ledger, keep=keep)
            self._noted_at = self._dialect.columns(connection, (self._table[0], ledger.NAME)).get("applied_at")
            connection.commit() if keep else connection.rollback()
        except TransportFailure as failure:
            raise _Failure(unsent(failure)) from failure
        except HmsSyncError as error:
            self._drop()
            raise _Failure(Rejected(ErrorClass.MISCONFIGURED, str(error), platform=True)) from error
        except SQLAlchemyError as error:
            outcome = self._judged(error, committing=False)
            self._drop()
            raise _Failure(outcome if isinstance(outcome, Unknown) else replace(outcome, platform=True)) from error
        except Exception:
            self._drop()  # one that was not looked at to the end is not written through
            raise
        return connection

    def _undo(self, outcome: Failed) -> None:
        """Nothing of the transaction stays; a connection that cannot even roll back is given up."""
        if self._connection is not None and not isinstance(outcome, Unknown) and not outcome.platform:
            with suppress(SQLAlchemyError):
                return self._connection.rollback()
        return self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.invalidate()
                connection.close()
        with self._raw_lock:
            raw, self._raw = self._raw, None
            if raw is not None:
                raw.close()
