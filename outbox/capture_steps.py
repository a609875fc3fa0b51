"""The SQL that puts the capture on one table, and the SQL that takes it off, each with a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import simplejson
from psycopg import sql

from outbox.db import Connection
from outbox.statements import statement

# Triggers fire in byte order of their names, and ours must be first among the AFTER ROW triggers.
ROW, UPDATE, TRUNCATE = "!outbox_row", "!outbox_update", "!outbox_truncate"

_EVENTS = {
    ROW: "AFTER INSERT OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION outbox.capture_row({definition})",
    # By image, not by equality: json has no equality, and 1.0 = 1.00, though they do not look alike.
    UPDATE: "AFTER UPDATE ON {table} FOR EACH ROW WHEN (OLD.* OPERATOR(pg_catalog.*<>) NEW.*)"
    " EXECUTE FUNCTION outbox.capture_row({definition})",
    TRUNCATE: "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION outbox.capture_truncate({definition})",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One statement, and the sentence that says why."""

    sentence: str
    sql: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or partition as it stands; ``kind`` is PostgreSQL's ``relkind``."""

    relid: int
    schema_name: str
    table_name: str
    kind: str
    schema_used: bool
    readable: bool

    @property
    def name(self) -> str:
        return f"{self.schema_name}.{self.table_name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema_name, self.table_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A wanted table, checked against the catalog; ``relations`` holds the table itself, then its partitions."""

    record_type: str
    relations: tuple[Relation, ...]
    key: tuple[str, ...]
    columns: tuple[str, ...] | None
    omitted: tuple[str, ...]
    filter: str | None
    max_bytes: int

    @property
    def root(self) -> Relation:
        return self.relations[0]

    @property
    def definition(self) -> str:
        """The registration as the triggers carry it, for transactions whose snapshot is older than it."""
        return simplejson.dumps(
            {
                "record_type": self.record_type,
                "table_name": self.root.name,
                "key_columns": self.key,
                "columns": self.columns,
                "omitted": self.omitted,
                "filter": self.filter,
                "max_bytes": self.max_bytes,
                "schema_version": 1,
            },
            ensure_ascii=False,
        )

    @property
    def definition_hash(self) -> str:
        return hashlib.sha256(self.definition.encode()).hexdigest()[:16]


def add_steps(connection: Connection, target: Target, registered_hash: str | None) -> list[Step]:
    """What ``target`` lacks."""
    present = _present_triggers(connection, target)
    steps = [*_grant_steps(target)]
    for name in (ROW, UPDATE):
        wrong = [each for each in target.relations if present.get((each.relid, name)) != target.definition]
        steps.extend(_row_trigger_steps(target, name, wrong))
    for relation in target.relations:
        # A partition's trigger stays when the partition is detached: it must not know the registration.
        definition = target.definition if relation == target.root else ""
        if relation.kind == "r" and present.get((relation.relid, TRUNCATE)) != definition:
            steps.extend(_trigger_steps(relation, TRUNCATE, definition))
    if steps or registered_hash != target.definition_hash:
        steps.insert(0, _registration_step(target))
    return steps


def remove_steps(connection: Connection, record_type: str, relations: Sequence[Relation]) -> list[Step]:
    """What takes the capture off, also when its table is gone."""
    steps: list[Step] = []
    if relations:
        steps.extend(_drop_steps(relations))
        steps.extend(_revoke_steps(connection, record_type, relations))
    return [*steps, unregister_step(record_type)]


def unregister_step(record_type: str) -> Step:
    return _step(
        f"{record_type} leaves the registry",
        "DELETE FROM outbox.capture WHERE record_type = {type}",
        type=sql.Literal(record_type),
    )


def _present_triggers(connection: Connection, target: Target) -> dict[tuple[int, str], str]:
    relids = [relation.relid for relation in target.relations]
    rows = connection.execute(statement("capture", "triggers"), {"relids": relids})
    return {(row["relid"], row["name"]): bytes(row["arguments"]).split(b"\0")[0].decode() for row in rows}


def _registration_step(target: Target) -> Step:
    return _step(
        f"{target.root.name} is registered as {target.record_type}",
        """INSERT INTO outbox.capture AS r
    (relid, record_type, table_name, key_columns, columns, omitted, filter, max_bytes, definition_hash)
VALUES ({relation}::regclass, {type}, {name}, {key}::text[], {columns}::text[], {omitted}::text[],
    {filter}, {max_bytes}, {hash})
ON CONFLICT (relid) DO UPDATE SET
    record_type = excluded.record_type, table_name = excluded.table_name, key_columns = excluded.key_columns,
    columns = excluded.columns, omitted = excluded.omitted, filter = excluded.filter, max_bytes = excluded.max_bytes,
    definition_hash = excluded.definition_hash, applied_at = clock_timestamp(),
    schema_version = r.schema_version + (r.definition_hash <> excluded.definition_hash)::integer""",
        type=sql.Literal(target.record_type),
        relation=sql.Literal(target.root.identifier.as_string()),
        name=sql.Literal(target.root.name),
        key=sql.Literal(list(target.key)),
        columns=sql.Literal(None if target.columns is None else list(target.columns)),
        omitted=sql.Literal(list(target.omitted)),
        filter=sql.Literal(target.filter),
        max_bytes=sql.Literal(target.max_bytes),
        hash=sql.Literal(target.definition_hash),
    )


def _grant_steps(target: Target) -> Iterator[Step]:
    """The capture reads rows at TRUNCATE, and locks them FOR SHARE at a read: that takes UPDATE on one column."""
    for schema_name in {relation.schema_name for relation in target.relations if not relation.schema_used}:
        yield _step(
            f"the capture may use schema {schema_name}",
            "GRANT USAGE ON SCHEMA {schema} TO outbox_capture",
            schema=sql.Identifier(schema_name),
        )
    for relation in target.relations:
        if not relation.readable:
            yield _step(
                f"the capture may read and lock rows of {relation.name}",
                "GRANT SELECT, UPDATE ({key}) ON TABLE {table} TO outbox_capture",
                key=sql.Identifier(target.key[0]),
                table=relation.identifier,
            )


def _row_trigger_steps(target: Target, name: str, wrong: Sequence[Relation]) -> Iterator[Step]:
    if not wrong:
        return
    yield from _trigger_steps(target.root, name, target.definition)
    for relation in wrong:
        if relation != target.root:
            yield _enable_step(relation, name)


def _trigger_steps(relation: Relation, name: str, definition: str) -> Iterator[Step]:
    what = "truncation" if name == TRUNCATE else "update" if name == UPDATE else "insert and delete"
    yield _step(
        f"each {what} of {relation.name} is captured",
        "CREATE OR REPLACE TRIGGER {name} " + _EVENTS[name],
        name=sql.Identifier(name),
        table=relation.identifier,
        definition=sql.Literal(definition) if definition else sql.SQL(""),
    )
    yield _enable_step(relation, name)


def _enable_step(relation: Relation, name: str) -> Step:
    return _step(
        f"{name} on {relation.name} also fires for replicated rows",
        "ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
        table=relation.identifier,
        name=sql.Identifier(name),
    )


def _drop_steps(relations: Sequence[Relation]) -> Iterator[Step]:
    for relation in relations:
        for name in (ROW, UPDATE, TRUNCATE) if relation == relations[0] else (TRUNCATE,):
            yield _step(
                f"{name} leaves {relation.name}",
                "DROP TRIGGER IF EXISTS {name} ON {table}",
                name=sql.Identifier(name),
                table=relation.identifier,
            )


def _revoke_steps(connection: Connection, record_type: str, relations: Sequence[Relation]) -> Iterator[Step]:
    for relation in relations:
        yield _step(
            f"the capture may no longer read {relation.name}",
            "REVOKE ALL ON TABLE {table} FROM outbox_capture",
            table=relation.identifier,
        )
    for schema_name in sorted({relation.schema_name for relation in relations}):
        if not _schema_still_used(connection, schema_name, record_type):
            yield _step(
                f"the capture may no longer use schema {schema_name}",
                "REVOKE USAGE ON SCHEMA {schema} FROM outbox_capture",
                schema=sql.Identifier(schema_name),
            )


def _schema_still_used(connection: Connection, schema_name: str, record_type: str) -> bool:
    row = connection.execute(
        statement("capture", "schema_still_used"), {"schema_name": schema_name, "record_type": record_type}
    ).fetchone()
    return bool(row and row["used"])


def _step(sentence: str, template: str, **parts: sql.Composable) -> Step:
    return Step(sentence, sql.SQL(template).format(**parts).as_string())
