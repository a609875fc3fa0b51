"""Our ledger in the target's own database: which delivery wrote each record last.

Written in the transaction of the effect, so it knows for certain what no lost answer can tell: whether a delivery is
applied, and whether the target is past it. One row per record, which stays when the record is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    VARBINARY,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    select,
)
from sqlalchemy.dialects.mysql import DATETIME

from connectors.sql.dialect import Dialect
from connectors.standing import Entry
from outbox.model import Delivery, Json, Record, RemoteObject

_MYSQL = ("mysql", "mariadb")
NAME = "hms_sync_ledger"
MADE_ALIKE: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
"""How our tables are made where the server's default may have no transactions, or take two texts for one."""
KEY = ("connector", "record_type", "record_key")
_READ = ("record_key", "key", "generation", "change_id", "xid", "command_id")


class _Bytes(TypeDecorator[str]):
    """A text that MySQL shall tell from every other text: no collation, and no length that its index cannot hold."""

    impl = VARBINARY(1000)
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: object) -> bytes | None:
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, _dialect: object) -> str | None:
        return None if value is None else value.decode()


def table(schema: str | None) -> Table:
    return Table(
        NAME,
        MetaData(),
        Column("connector", String(63), primary_key=True),
        Column("record_type", String(63), primary_key=True),
        Column("record_key", Text().with_variant(_Bytes(), *_MYSQL), primary_key=True),
        Column("key", String(36), nullable=False),
        Column("generation", Integer, nullable=False),
        Column("change_id", BigInteger, nullable=False),
        Column("xid", BigInteger, nullable=False),
        Column("command_id", BigInteger, nullable=False),
        Column("applied_at", DateTime(timezone=True).with_variant(DATETIME(fsp=6), *_MYSQL), nullable=False),
        schema=schema,
        **MADE_ALIKE,
    )


def row_of(delivery: Delivery) -> dict[str, Json]:
    """The row that says: written by this delivery; ``applied_at`` is added as the target writes moments."""
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
