"""Where a target database is tried: a table of our own beside the real one, written to by the sessions that deliver.

The ledger is the real one; what a trial notes there bears the name of the scratch table as its connector.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError
from uuid import UUID, uuid4, uuid5

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, delete, select
from sqlalchemy.exc import SQLAlchemyError

from connectors.batch import Gate, Item, OpenGate, OutOfTime
from connectors.channel import Channel
from connectors.exchange import TransportFailure
from connectors.http.effects import scratch_delivery
from connectors.probing.lab import CannotTell, Rounds
from connectors.probing.model import SCRATCH
from connectors.sql import ledger
from connectors.sql.dialect import Dialect
from connectors.sql.options import SqlOptions
from connectors.sql.schema import require_fit, require_ledger
from connectors.sql.session import SqlSession
from outbox.model import Action, Applied, HmsSyncError, Message, Outcome

DEADLINE_SECONDS = 10.0
_TOGETHER_SECONDS = 0.05
"""For so long the first of a race keeps its transaction open; the other one is at the same rows by then."""


class _Together:
    """The gate of a race: nobody commits before both are here, or one of them evidently has to wait."""

    def __init__(self) -> None:
        self._both = Barrier(2)

    def pass_through(self) -> None:
        with suppress(BrokenBarrierError):
            self._both.wait(_TOGETHER_SECONDS)


@dataclass(slots=True)
class Scratch(Rounds):
    """One database under trial. ``eye`` is a connection of somebody who only looks."""

    dialect: Dialect
    channel: Channel
    table: Table
    ledger: Table
    eye: Connection
    rounds: int
    sessions: list[SqlSession] = field(default_factory=list)
    run: UUID = field(default_factory=uuid4)
    records: int = 0

    def session(self) -> SqlSession:
        """One more sender."""
        options = SqlOptions(table=self.table.fullname, key=["id"])
        self.sessions.append(made := SqlSession(self.dialect, options, self.channel, DEADLINE_SECONDS))
        return made

    def record(self) -> str:
        """The key of a record that was never written."""
        self.records += 1
        return f"{self.records}"

    def item(self, record: str, change: int, value: int | None) -> Item:
        """The delivery of a change of the record: always the same one, whatever value it is to write."""
        delivery = scratch_delivery(self.table.name, record, uuid5(self.run, f"{record} {change}"), change)
        return Item(delivery, Message(Action.UPSERT, {"id": record, "value": value}))

    def race(self, *items: Item) -> list[Outcome]:
        """Two deliveries at the same moment, by two senders."""
        gate = _Together()
        with ThreadPoolExecutor(len(items)) as senders:
            return list(senders.map(sent, self.sessions, items, [gate] * len(items)))

    def held(self, record: str) -> int | None:
        """The value of the record's row, seen from outside; None: there is no row."""
        with self.eye.begin():
            query = select(self.table.c.value).where(self.table.c.id == record)
            return self.eye.execute(query).scalar_one_or_none()

    def noted(self, record: str) -> list[int]:
        """The changes that the ledger names for the record, seen from outside: one, or none."""
        with self.eye.begin():
            columns = self.ledger.c
            ours = (columns.connector == self.table.name, columns.record_key == record)
            return list(self.eye.execute(select(columns.change_id).where(*ours)).scalars())

    def clean(self) -> None:
        """Remove what the trial left; what cannot be removed bears a name that says where it is from."""
        for session in self.sessions:
            session.close()
        with suppress(SQLAlchemyError):
            _forget(self.eye, self.ledger, self.table.name)
        with suppress(SQLAlchemyError), self.eye.begin():
            self.table.drop(self.eye)


def sent(session: SqlSession, item: Item, gate: Gate | None = None) -> Outcome:
    """One delivery, as a lane would do it."""
    (outcome,) = session.deliver([item], gate or OpenGate())
    return outcome


def written(session: SqlSession, item: Item) -> None:
    """A delivery that has to take effect for the probe to go on."""
    outcome = sent(session, item)
    if outcome != Applied():
        raise CannotTell(f"a write was not applied ({said(outcome)})")


def said(outcome: Outcome) -> str:
    return outcome.answer.excerpt or "applied" if isinstance(outcome, Applied) else outcome.reason


class Cut:
    """The gate of a sender whose connection breaks before its COMMIT."""

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    def pass_through(self) -> None:
        self._session.cut()
        raise OutOfTime


class Unheard:
    """The gate of a sender whose COMMIT is sent and whose connection breaks before the answer."""

    def __init__(self, session: SqlSession) -> None:
        self._session = session

    def pass_through(self) -> None:
        self._session.commit_unheard()


@contextmanager
def looking(connector: str, dialect: Dialect, channel: Channel) -> Iterator[Connection]:
    """A connection like those that deliver. Raises HmsSyncError where the target is away."""
    try:
        raw = dialect.connect(channel, DEADLINE_SECONDS)
    except TransportFailure as failure:
        raise HmsSyncError(
            f"the target of connector {connector} cannot be reached ({failure.reason}); check its url and auth"
        ) from failure
    connection = None
    try:
        connection = dialect.engine(raw).connect()
        yield connection
    except SQLAlchemyError as error:
        raise HmsSyncError(
            f"the target of connector {connector} cannot be looked at ({_first_line(error)}); check its url and auth"
        ) from error
    finally:
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()
        raw.close()


@contextmanager
def scratch_place(
    connector: str, dialect: Dialect, options: SqlOptions, channel: Channel, rounds: int
) -> Iterator[Scratch]:
    """A scratch table beside the real one, removed whatever happens. Raises HmsSyncError where none can be made."""
    schema, _ = options.schema_and_name
    name = f"{SCRATCH.replace('-', '_')}_{uuid4().hex[:12]}"
    columns = (Column("id", String(20), primary_key=True), Column("value", Integer, nullable=False))
    table, kept = Table(name, MetaData(), *columns, schema=schema, **ledger.MADE_ALIKE), ledger.table(schema)
    with looking(connector, dialect, channel) as eye:
        require_fit(eye, dialect, options)
        require_ledger(eye, dialect, kept, keep=True)
        eye.commit()
        _make(connector, eye, table, kept)
        scratch = Scratch(dialect, channel, table, kept, eye, rounds)
        try:
            yield scratch
        finally:
            scratch.clean()


def _make(connector: str, eye: Connection, table: Table, kept: Table) -> None:
    try:
        _forget(eye, kept, table.name)  # nothing yet: may we do it at the end?
        with eye.begin():
            table.create(eye)
    except SQLAlchemyError as error:
        raise HmsSyncError(
            f"no scratch table can be made in the target of connector {connector} ({_first_line(error)}); for the "
            f"probes the role needs CREATE beside {kept.fullname} and DELETE on it, or name as scratch url a database "
            "of the same server that is made alike"
        ) from error


def _forget(eye: Connection, kept: Table, name: str) -> None:
    with eye.begin():
        eye.execute(delete(kept).where(kept.c.connector == name))


def _first_line(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
