"""Our ledger in the target's own database: which delivery wrote each record last.

Written in the transaction of the effect, so it knows for certain what no lost answer can tell: whether a delivery is
applied, and whether the target is past it. One row per record, which stays when the record is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, Connection, DateTime, Integer, MetaData, String, Table, Text, select

from connectors.sql.dialect import Dialect
from connectors.standing import Entry
from outbox.model import Delivery, Json, Record, RemoteObject

NAME = "hms_sync_ledger"
KEY = ("connector", "record_type", "record_key")
_READ = ("record_key", "key", "generation", "change_id", "xid", "command_id")


def table(schema: str | None) -> Table:
    return Table(
        NAME,
        MetaData(),
        Column("connector", String(63), primary_key=True),
        Column("record_type", String(63), primary_key=True),
        Column("record_key", Text, primary_key=True),
        Column("key", String(36), nullable=False),
        Column("generation", Integer, nullable=False),
        Column("change_id", BigInteger, nullable=False),
        Column("xid", BigInteger, nullable=False),
        Column("command_id", BigInteger, nullable=False),
        Column("applied_at", DateTime(timezone=True), nullable=False),
        schema=schema,
    )


def row_of(delivery: Delivery) -> dict[str, Json]:
    """The row that says: written by this delivery."""
    change = delivery.change
    return {
        "connector": delivery.connector,
        "record_type": change.record_type,
        "record_key": change.record_key,
        "key": str(delivery.key),
        "generation": delivery.generation,
        "change_id": change.id,
        "xid": change.xid,
        "command_id": change.command_id,
        "applied_at": datetime.now(UTC).isoformat(sep=" "),
    }


def locked(
    connection: Connection, dialect: Dialect, ledger: Table, deliveries: Iterable[Delivery]
) -> dict[Record, Entry]:
    """The entries of these records (of one connector), locked until the transaction ends."""
    found: dict[Record, Entry] = {}
    by_type: dict[tuple[str, str], list[str]] = {}
    for delivery in deliveries:
        by_type.setdefault((delivery.connector, delivery.change.record_type), []).append(delivery.change.record_key)
    for (connector, record_type), keys in by_type.items():
        query = (
            select(*(ledger.c[name] for name in _READ))
            .where(ledger.c.connector == connector, ledger.c.record_type == record_type)
            .where(dialect.among(ledger.c.record_key, keys))
            .order_by(ledger.c.record_key)
            .with_for_update()
        )
        for record_key, key, generation, change_id, xid, command_id in connection.execute(query):
            written = RemoteObject(change_id=change_id, xid=xid, command_id=command_id)
            found[Record(record_type, record_key)] = Entry(key, generation, written)
    return found
