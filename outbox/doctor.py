"""Says whether the promise of order and completeness holds here: the conditions, each with its counterexample.

Facts come from the catalog in five queries; the judgement is pure. The daemon does not start while anything
is ``broken``; a ``warning`` is for a person to weigh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from outbox import lineage
from outbox.capture_steps import ROW, TRUNCATE, UPDATE
from outbox.db import Connection
from outbox.lineage import Lost, Standing
from outbox.statements import statement

Level = Literal["ok", "warning", "broken"]

_ROW_LEVEL, _BEFORE, _TRUNCATE_EVENT = 1, 2, 32  # bits of pg_trigger.tgtype
_EXPECTED_TYPE = {ROW: 13, UPDATE: 17, TRUNCATE: 34}
_APPLY = "run hms-sync capture apply"


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition at one place. ``condition`` is a number of the nine, or a word."""

    condition: int | str
    level: Level
    subject: str
    sentence: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the catalog says, one list per query of ``doctor.sql``."""

    database: Mapping[str, Any]
    relations: list[dict[str, Any]]
    keys: list[dict[str, Any]]
    triggers: list[dict[str, Any]]
    functions: list[dict[str, Any]]

    def ours(self, relid: int, name: str) -> dict[str, Any] | None:
        """Our trigger of this name on a relation, if it has the right kind and function."""
        function = "truncate" if name == TRUNCATE else "row"
        found = (
            trigger
            for trigger in self.triggers
            if (trigger["relid"], trigger["name"], trigger["ours"], trigger["type"])
            == (relid, name, function, _EXPECTED_TYPE[name])
        )
        return next(found, None)

    @property
    def present(self) -> list[dict[str, Any]]:
        """The registered relations that exist."""
        return [relation for relation in self.relations if relation["kind"] is not None]


def diagnose(connection: Connection) -> list[Finding]:
    """Every condition with what was found; nothing wrong with one is a finding ``ok``."""
    return [*examine(_facts(connection)), _lineage(lineage.standing(connection))]


def forgotten(lost: Sequence[Lost]) -> Iterator[Finding]:
    """What a witness knows and the database does not."""
    if lost:
        told = f"it does not know {lineage.counted(lost)}: its newest part is gone"
        yield Finding("witness", "broken", "the database", told, lineage.ORDER)


def _lineage(found: Standing) -> Finding:
    reason = lineage.judge(found)
    if reason is None:
        return Finding("lineage", "ok", "the database", "is the one that was accepted last")
    return Finding("lineage", "broken", "the database", reason, lineage.ORDER)


def examine(facts: Facts) -> list[Finding]:
    """The judgement over ``facts``."""
    findings: list[Finding] = []
    for condition, promise, check in _CHECKS:
        findings.extend(list(check(facts)) or [Finding(condition, "ok", "all tables", promise)])
    return findings


def _facts(connection: Connection) -> Facts:
    def rows(name: str) -> list[dict[str, Any]]:
        return connection.execute(statement("doctor", name)).fetchall()

    return Facts(rows("database")[0], rows("relations"), rows("keys"), rows("triggers"), rows("functions"))


def _sequence(facts: Facts) -> Iterator[Finding]:
    database = facts.database
    if (database["cache"], database["increment"], database["cycles"]) != (1, 1, False):
        yield Finding(
            1,
            "broken",
            "outbox.change_id_seq",
            f"the sequence hands out ids with CACHE {database['cache']}, so that a later change can get a lower id",
            "ALTER SEQUENCE outbox.change_id_seq INCREMENT 1 CACHE 1 NO CYCLE",
        )


def _after(facts: Facts) -> Iterator[Finding]:
    for trigger in facts.triggers:
        mine = trigger["ours"] == "row" or trigger["name"] in (ROW, UPDATE)
        if mine and trigger["type"] & _BEFORE:
            yield Finding(
                2,
                "broken",
                trigger["table_name"],
                f"trigger {trigger['name']} fires before the row is written: it logs what may never happen",
                f'DROP TRIGGER "{trigger["name"]}" ON {trigger["table_name"]}; then {_APPLY}',
            )


def _key(facts: Facts) -> Iterator[Finding]:
    for column in facts.keys:
        if column["missing"] or column["nullable"]:
            state = "is gone" if column["missing"] else "may be NULL"
            yield _bad_key(column, f"key column {column['column_name']} {state}")
    for name, column in {column["name"]: column for column in facts.keys if not column["is_unique"]}.items():
        yield _bad_key(column, f"the key of {name} has no unique, valid index that is neither deferrable nor partial")


def _bad_key(column: Mapping[str, Any], sentence: str) -> Finding:
    cure = f"give the table a PRIMARY KEY that is NOT DEFERRABLE, name its columns in the config, then {_APPLY}"
    return Finding(3, "broken", column["name"], sentence, cure)


def _others_after_row(facts: Facts) -> Iterator[dict[str, Any]]:
    for trigger in facts.triggers:
        row_after = trigger["type"] & _ROW_LEVEL and not trigger["type"] & _BEFORE
        if row_after and trigger["registered"] and trigger["ours"] is None and trigger["enabled"] != "D":
            yield trigger


def _first(facts: Facts) -> Iterator[Finding]:
    for trigger in _others_after_row(facts):
        if trigger["name"].encode() < UPDATE.encode() and trigger["name"] != ROW:
            yield Finding(
                4,
                "broken",
                trigger["table_name"],
                f'trigger "{trigger["name"]}" fires before the capture: what it writes would be logged first',
                f"rename it, so that it sorts after {UPDATE} by bytes",
            )


def _inner_updates(facts: Facts) -> Iterator[Finding]:
    for trigger in _others_after_row(facts):
        if trigger["name"].encode() > UPDATE.encode():
            yield Finding(
                5,
                "ok",
                trigger["table_name"],
                f'trigger "{trigger["name"]}" may change rows of a running statement; '
                "command ids keep the order of such changes inside their transaction",
            )


def _row_level(facts: Facts) -> Iterator[Finding]:
    for trigger in facts.triggers:
        statement_level = not trigger["type"] & _ROW_LEVEL and not trigger["type"] & (_TRUNCATE_EVENT | _BEFORE)
        uncaptured = any(facts.ours(trigger["relid"], name) is None for name in (ROW, UPDATE))
        if statement_level and (trigger["ours"] or (trigger["registered"] and uncaptured)):
            yield Finding(
                6,
                "broken",
                trigger["table_name"],
                f'"{trigger["name"]}" is a statement-level trigger, which is no substitute for capture row by row: '
                "it cannot pair the rows of a key update",
                _APPLY,
            )


def _always(facts: Facts) -> Iterator[Finding]:
    for relation in facts.present:
        for name in (ROW, UPDATE, TRUNCATE):
            trigger = facts.ours(relation["relid"], name)
            if trigger is not None and trigger["enabled"] in ("O", "R"):
                yield Finding(
                    7,
                    "broken",
                    relation["name"],
                    f"trigger {name} is not ENABLE ALWAYS: rows that arrive by replication are not captured",
                    _APPLY,
                )


def _truncate(facts: Facts) -> Iterator[Finding]:
    for relation in facts.present:
        trigger = facts.ours(relation["relid"], TRUNCATE)
        if relation["kind"] == "r" and (trigger is None or trigger["enabled"] == "D"):
            yield Finding(8, "broken", relation["name"], "TRUNCATE would pass without a change", _APPLY)


def _every_table(facts: Facts) -> Iterator[Finding]:
    for relation in facts.relations:
        if relation["kind"] is None:
            cure = f"{_APPLY} if it was made anew, or hms-sync capture remove {relation['record_type']}"
            yield Finding(9, "broken", relation["name"], f"the table of {relation['record_type']} is gone", cure)
        else:
            yield from _captured(facts, relation)


def _captured(facts: Facts, relation: Mapping[str, Any]) -> Iterator[Finding]:
    for name in (ROW, UPDATE):
        trigger = facts.ours(relation["relid"], name)
        if trigger is None or trigger["enabled"] == "D":
            state = "is missing" if trigger is None else "is disabled"
            yield Finding(9, "broken", relation["name"], f"trigger {name} {state}: changes are not captured", _APPLY)
        elif not trigger["fires_on_every_change"]:
            yield Finding(9, "broken", relation["name"], f"trigger {name} does not fire on every change", _APPLY)
    if relation["kind"] == "f":
        cure = "detach it, or take the capture off the table"
        yield Finding(9, "broken", relation["name"], "a foreign partition can change without our triggers", cure)
    if relation["has_children"]:
        cure = "use declarative partitions, or capture each child"
        yield Finding(9, "broken", relation["name"], "rows of tables that inherit from it are not captured", cure)


def _owner(facts: Facts) -> Iterator[Finding]:
    for relation in facts.present:
        if relation["is_root"] and relation["owner_can_log_in"]:
            yield Finding(
                "owner",
                "warning",
                relation["name"],
                f"its owner {relation['owner']} can log in: an application that runs as {relation['owner']} "
                "could disable the capture",
                "let a role without login own the table, and the application run as another one",
            )


def _functions(facts: Facts) -> Iterator[Finding]:
    for function in facts.functions:
        wrong = [
            sentence
            for sentence, is_so in (
                ("is not the one that was shipped", function["altered"]),
                ("does not belong to outbox_capture", not function["owned"]),
                ("can be executed by everybody, who could forge changes with it", function["open_to_public"]),
            )
            if is_so
        ]
        if wrong:
            cure = "hms-sync migrate down to 0001 and up again, then " + _APPLY
            yield Finding("function", "broken", function["name"], " and ".join(wrong), cure)


def _canonical_keys(facts: Facts) -> Iterator[Finding]:
    for column in facts.keys:
        if column["not_canonical"]:
            yield Finding(
                "key text",
                "warning",
                column["name"],
                f"key column {column['column_name']} is {column['type']}: {column['not_canonical']}, "
                "and order is promised for each text",
                "use a key whose values are written in one way only",
            )


def _rights(facts: Facts) -> Iterator[Finding]:
    for relation in facts.present:
        if not relation["readable"]:
            sentence = "outbox_capture may not read it: TRUNCATE and reads on demand fail"
            yield Finding("rights", "broken", relation["name"], sentence, _APPLY)
        if relation["hides_rows"] and not facts.database["sees_every_row"]:
            sentence = "its row security hides rows from the capture at TRUNCATE and at reads on demand"
            yield Finding("rights", "broken", relation["name"], sentence, "ALTER ROLE outbox_capture BYPASSRLS")


def _strays(facts: Facts) -> Iterator[Finding]:
    for trigger in facts.triggers:
        if trigger["ours"] and not trigger["registered"]:
            yield Finding(
                "stray",
                "warning",
                trigger["table_name"],
                f"trigger {trigger['name']} calls the capture, but the table is not registered: nothing is captured",
                f'DROP TRIGGER "{trigger["name"]}" ON {trigger["table_name"]}',
            )


def _durable(facts: Facts) -> Iterator[Finding]:
    if facts.database["log_is_unlogged"]:
        cure = "ALTER TABLE outbox.change_default SET LOGGED"
        yield Finding("logged", "broken", "outbox.change", "a crash of the server would empty the log", cure)
    for relation in facts.present:
        if relation["unlogged"]:
            yield Finding(
                "logged",
                "warning",
                relation["name"],
                "the table is UNLOGGED: a crash of the server empties it without any change",
                f"ALTER TABLE {relation['name']} SET LOGGED",
            )


def _primary(facts: Facts) -> Iterator[Finding]:
    if facts.database["standby"]:
        sentence = "this server is a standby: its order of commits differs, and nothing can be claimed"
        yield Finding("primary", "broken", "the database", sentence, "point database.dsn at the primary")


def _default_partition(facts: Facts) -> Iterator[Finding]:
    if facts.database["default_holds_rows"]:
        yield Finding(
            "partitions",
            "warning",
            "outbox.change_default",
            "changes lie in the default partition, which cannot be dropped as a whole when they are old",
            "let the daemon run: it makes the partitions ahead",
        )


_CHECKS: tuple[tuple[int | str, str, Callable[[Facts], Iterator[Finding]]], ...] = (
    (1, "ids are handed out one at a time, in order", _sequence),
    (2, "changes are captured after the row was written", _after),
    (3, "each key names one record at any moment", _key),
    (4, "the capture fires before the triggers of the application", _first),
    (5, "no trigger of the application changes rows of a running statement", _inner_updates),
    (6, "changes are captured row by row", _row_level),
    (7, "rows that arrive by replication are captured", _always),
    (8, "TRUNCATE is captured on every table and partition", _truncate),
    (9, "every registered table and partition is captured", _every_table),
    ("owner", "no owner of a table can log in", _owner),
    ("function", "the capture's functions are as shipped and closed to others", _functions),
    ("key text", "every key is written in one way only", _canonical_keys),
    ("rights", "the capture sees every row", _rights),
    ("stray", "no other table calls the capture", _strays),
    ("logged", "tables survive a crash of the server", _durable),
    ("primary", "this server is the primary", _primary),
    ("partitions", "the default partition of the log is empty", _default_partition),
)
