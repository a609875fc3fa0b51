"""Seeds the ledger the way the worker would, obeying its guards."""

from __future__ import annotations

import zlib
from typing import Any
from uuid import uuid4

from psycopg.types.json import Jsonb

from outbox.db import Connection
from outbox.lanes import Registration, register
from outbox.model import Guarantee

TYPE = "hearing_schedule"

_DELIVERY = """
INSERT INTO outbox.delivery (connector, change_id, generation, attempts, lane, state, due_at, fence, event_id,
                             operation, record_type, record_key, mapping_version, guarantee, error_class,
                             error_fingerprint, last_error, first_failed_at)
SELECT %(connector)s, id, %(generation)s, 1, 0, %(state)s, clock_timestamp(),
       CASE WHEN %(state)s = 'in_flight' THEN nextval('outbox.fence_seq') END, event_id, operation, record_type,
       record_key, %(mapping_version)s, 'CONVERGE', %(error_class)s, %(error_fingerprint)s, %(last_error)s,
       CASE WHEN %(failed)s THEN clock_timestamp() END
FROM outbox.change WHERE id = %(change_id)s"""

_AUDIT = """
INSERT INTO outbox.audit (change_id, event_id, generation, attempt, connector, record_type, record_key, operation,
                          outcome, guarantee, mapping_version, actor, answer)
SELECT id, event_id, 0, 1, %(connector)s, record_type, record_key, operation, %(outcome)s, 'CONVERGE', 'v1', actor,
       '{"status": 201, "external_id": "ext-1"}'
FROM outbox.change WHERE id = %(change_id)s"""

_REMOTE = """
INSERT INTO outbox.remote_object (connector, record_type, record_key, external_id, change_id, xid, command_id)
SELECT %(connector)s, record_type, record_key, 'ext-1', id, xid, command_id
FROM outbox.change WHERE id = %(change_id)s
ON CONFLICT (connector, record_type, record_key)
DO UPDATE SET change_id = excluded.change_id, xid = excluded.xid, command_id = excluded.command_id"""


class Seed:
    """Makes connectors, changes, deliveries and audit entries; each call is one transaction."""

    def __init__(self, db: Connection) -> None:
        self.db = db

    def connector(self, name: str = "PublicCalendar", *, version: str = "v1", after_reject: str = "continue") -> str:
        """A registered connector that takes hearing schedules."""
        definition = {"routes": {TYPE: {"mapping": "hearing"}}, "after_reject": after_reject}
        register(
            self.db,
            Registration(name, "scheduler", Guarantee.CONVERGE, version, definition),
            actor="test",
        )
        return name

    def owned(self, connector: str = "PublicCalendar", *, seconds: float = 30) -> None:
        """A live worker owns the connector's lanes."""
        owner = uuid4()
        self.db.execute(
            "INSERT INTO outbox.worker (id, host, pid, version, connectors) VALUES (%s, 'courier-1', 4711, '0.1', %s)",
            (owner, [connector]),
        )
        self.db.execute(
            "UPDATE outbox.lane SET owner = %s, epoch = nextval('outbox.epoch_seq'),"
            " leased_until = clock_timestamp() + %s * interval '1 second' WHERE connector = %s",
            (owner, seconds, connector),
        )

    def change(self, key: str = "123", *, operation: str = "update", record_type: str = TYPE, **extra: Any) -> int:
        """One committed change of a record; returns its id."""
        columns = {
            "before": Jsonb({"id": key, "status": "draft"}),
            "after": Jsonb({"id": key, "status": "scheduled"}),
            "actor": "clerk",
            "connector": None,
            **extra,
        }
        row = self.db.execute(
            "INSERT INTO outbox.change (key_hash, record_type, record_key, operation, before, after, actor, connector,"
            " context) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            (
                zlib.crc32(key.encode()) % 32768,
                record_type,
                key,
                operation,
                columns["before"],
                columns["after"],
                columns["actor"],
                columns["connector"],
                Jsonb({"application_name": "hms-dev"}),
            ),
        ).fetchone()
        assert row is not None
        return int(row["id"])

    def taken(self, connector: str = "PublicCalendar") -> None:
        """The lane has taken every change that there is."""
        self.db.execute(
            "INSERT INTO outbox.page (connector, lane, page_no, epoch, position, seen)"
            " SELECT connector, lane, max(page_no) + 1, 0, (SELECT coalesce(max(id), 0) FROM outbox.change),"
            " pg_current_snapshot() FROM outbox.page WHERE connector = %s GROUP BY connector, lane",
            (connector,),
        )

    def delivery(self, change_id: int, state: str = "dead", *, connector: str = "PublicCalendar", **extra: Any) -> int:
        """An open delivery of a change; a state of failure comes with its error."""
        failed = state in ("dead", "unknown")
        values = {
            "error_class": "refused" if failed else None,
            "error_fingerprint": "refused-422" if failed else None,
            "last_error": "422: title is missing" if failed else None,
            "mapping_version": "v1",
            "generation": 0,
            **extra,
        }
        self.db.execute(
            _DELIVERY,
            {"connector": connector, "change_id": change_id, "state": state, "failed": failed, **values},
        )
        return change_id

    def applied(self, change_id: int, *, connector: str = "PublicCalendar", outcome: str = "applied") -> int:
        """A change settled in its page; when applied, the platform holds it."""
        parameters = {"connector": connector, "change_id": change_id, "outcome": outcome}
        with self.db.transaction():
            self.db.execute(_AUDIT, parameters)
            if outcome == "applied":
                self.db.execute(_REMOTE, parameters)
        return change_id

    def states(self, connector: str = "PublicCalendar") -> dict[int, tuple[str, int]]:
        """Every open delivery: change id to state and generation."""
        rows = self.db.execute(
            "SELECT change_id, state, generation FROM outbox.delivery WHERE connector = %s ORDER BY change_id",
            (connector,),
        )
        return {row["change_id"]: (row["state"], row["generation"]) for row in rows}

    def outcomes(self, change_id: int) -> list[tuple[str, int]]:
        """What the audit says of a change, in order."""
        rows = self.db.execute(
            "SELECT outcome, generation FROM outbox.audit WHERE change_id = %s ORDER BY id", (change_id,)
        )
        return [(row["outcome"], row["generation"]) for row in rows]
