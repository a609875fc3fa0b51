"""The schema and the model say the same; the guards of the ledger refuse what the protocol never does."""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import product
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from outbox.db import Connection
from outbox.model import SETTLING, AuditOutcome, DeliveryState

STATES = [state.value for state in DeliveryState]


def one(db: Connection, question: str, *values: object) -> Any:
    row = db.execute(question.encode(), values).fetchone()
    assert row is not None
    return next(iter(row.values()))


def words(definition: str) -> set[str]:
    return set(re.findall(r"'(\w+)'", definition))


def check(db: Connection, name: str) -> set[str]:
    return words(
        one(db, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s AND conparentid = 0", name)
    )


@pytest.mark.parametrize(
    ("constraint", "enum"),
    [("delivery_state_known", DeliveryState), ("audit_outcome_known", AuditOutcome)],
)
def test_the_check_and_the_enum_name_the_same(db: Connection, constraint: str, enum: type[StrEnum]) -> None:
    assert check(db, constraint) == {member.value for member in enum}


def test_every_state_of_a_delivery_is_an_outcome_that_does_not_settle() -> None:
    assert set(AuditOutcome) - SETTLING == set(STATES)


def test_the_index_of_what_settles_is_over_the_settling_outcomes(db: Connection) -> None:
    index = (
        "SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = 'outbox.audit_settles_once'::regclass"
    )
    predicate = one(db, index)
    assert words(predicate) == set(SETTLING)


def test_the_guard_of_deliveries_knows_the_settling_outcomes(db: Connection) -> None:
    source = one(db, "SELECT prosrc FROM pg_proc WHERE oid = 'outbox.guard_delivery'::regproc")
    listed = re.search(r"outcome IN \(([^)]*)\)", source)
    assert listed is not None
    assert words(listed.group(1)) == set(SETTLING)


def test_the_transitions_are_between_known_states(db: Connection) -> None:
    named = {state for row in db.execute("SELECT * FROM outbox.delivery_transition") for state in row.values()}
    assert named == {"", *STATES}


def put_delivery(db: Connection, state: str, change_id: int = 7) -> None:
    db.execute(
        """
        INSERT INTO outbox.delivery (connector, change_id, lane, state, due_at, fence, event_id, operation, record_type,
                                     record_key, mapping_version, guarantee, last_error, error_class)
        VALUES ('C', %s, 0, %s, now(), %s, %s, 'update', 'hearing', '1', 'm1', 'VERIFY', 'no answer', 'no_answer')""",
        [change_id, state, 1 if state == "in_flight" else None, uuid4()],
    )


def settle(db: Connection, outcome: str = "applied", generation: int = 0, change_id: int = 7) -> None:
    db.execute(
        """
        INSERT INTO outbox.audit (change_id, event_id, generation, attempt, connector, record_type, record_key,
                                  operation, outcome, guarantee, mapping_version)
        VALUES (%s, %s, %s, 1, 'C', 'hearing', '1', 'update', %s, 'EXACT_CAS', 'm1')""",
        [change_id, uuid4(), generation, outcome],
    )


def move(db: Connection, new: str) -> None:
    if new:
        db.execute("UPDATE outbox.delivery SET state = %s, fence = %s", [new, 1 if new == "in_flight" else None])
    else:
        settle(db)
        db.execute("DELETE FROM outbox.delivery")


def is_allowed(db: Connection, old: str, new: str) -> bool:
    with db.transaction(force_rollback=True):
        if old:
            put_delivery(db, old)
        try:
            with db.transaction():
                move(db, new) if old else put_delivery(db, new)
        except psycopg.errors.CheckViolation:
            return False
        return True


def test_exactly_the_listed_transitions_are_possible(db: Connection) -> None:
    listed = {(row["old_state"], row["new_state"]) for row in db.execute("SELECT * FROM outbox.delivery_transition")}
    tried = [(old, new) for old, new in product(["", *STATES], ["", *STATES]) if old != new]
    possible = {pair for pair in tried if is_allowed(db, *pair)}
    assert possible == listed
    assert 0 < len(listed) < len(tried)


@pytest.mark.parametrize(
    "impossible", [("held", "in_flight"), ("dead", "in_flight"), ("dead", "unknown"), ("waiting", "unknown")]
)
def test_what_is_parked_is_not_sent_and_what_was_not_sent_is_not_unknown(
    db: Connection, impossible: tuple[str, str]
) -> None:
    assert not is_allowed(db, *impossible)


def test_a_delivery_does_not_leave_without_an_audit_entry(db: Connection) -> None:
    put_delivery(db, "waiting")
    with pytest.raises(
        psycopg.errors.CheckViolation, match="cannot leave without an audit entry in the same transaction"
    ):
        db.execute("DELETE FROM outbox.delivery")
    assert one(db, "SELECT count(*) FROM outbox.delivery") == 1


def test_an_audit_entry_of_another_transaction_does_not_let_it_leave(db: Connection) -> None:
    put_delivery(db, "waiting")
    settle(db)
    with pytest.raises(psycopg.errors.CheckViolation, match="cannot leave"):
        db.execute("DELETE FROM outbox.delivery")


@pytest.mark.parametrize("wrong", [{"change_id": 8}, {"generation": 1}, {"outcome": "dead"}])
def test_an_audit_entry_about_something_else_does_not_let_it_leave(db: Connection, wrong: dict[str, Any]) -> None:
    put_delivery(db, "waiting")
    with db.transaction():
        settle(db, **wrong)
        with pytest.raises(psycopg.errors.CheckViolation, match="cannot leave"), db.transaction():
            db.execute("DELETE FROM outbox.delivery")


def test_a_delivery_leaves_with_its_audit_entry(db: Connection) -> None:
    put_delivery(db, "waiting")
    with db.transaction():
        settle(db)
        db.execute("DELETE FROM outbox.delivery")
    assert one(db, "SELECT count(*) FROM outbox.delivery") == 0


def test_every_change_of_state_is_audited_by_the_database_itself(db: Connection) -> None:
    put_delivery(db, "waiting")
    move(db, "in_flight")
    move(db, "unknown")
    db.execute("UPDATE outbox.delivery SET last_error = 'still no answer'")
    rows = db.execute("SELECT outcome, db_user, answer FROM outbox.audit ORDER BY id").fetchall()
    assert [row["outcome"] for row in rows] == ["waiting", "in_flight", "unknown"]
    assert {row["db_user"] for row in rows} == {one(db, "SELECT session_user::text")}
    assert rows[0]["answer"] == {"error_class": "no_answer", "error": "no answer"}


def test_a_change_settles_once_per_connector_and_generation(db: Connection) -> None:
    settle(db, "applied")
    settle(db, "applied", generation=1)
    with pytest.raises(psycopg.errors.UniqueViolation, match="audit"):
        settle(db, "superseded")


@pytest.mark.parametrize(
    "rewrite",
    [
        "UPDATE outbox.audit SET outcome = 'dead'",
        "UPDATE outbox.audit_default SET outcome = 'dead'",
        "DELETE FROM outbox.audit",
        "DELETE FROM outbox.audit_default",
        "TRUNCATE outbox.audit",
        "TRUNCATE outbox.audit_default",
        "UPDATE outbox.act SET reason = 'another'",
        "DELETE FROM outbox.act",
        "TRUNCATE outbox.act CASCADE",
        "UPDATE outbox.change SET after = NULL",
        "TRUNCATE outbox.delivery",
    ],
)
def test_history_is_not_rewritten_even_by_a_superuser(db: Connection, rewrite: str) -> None:
    settle(db)
    put_delivery(db, "waiting")
    db.execute("INSERT INTO outbox.act (kind, actor, reason) VALUES ('pause', 'me', 'a reason')")
    db.execute(
        "INSERT INTO outbox.change (key_hash, record_type, record_key, operation) VALUES (0, 'hearing', '1', 'insert')"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="it is append-only"):
        db.execute(rewrite.encode())


def test_a_connector_changes_only_with_an_act_in_the_same_transaction(db: Connection) -> None:
    put = """
        INSERT INTO outbox.connector (name, kind, guarantee, mapping_version, act_id)
        VALUES ('C', 'http', 'VERIFY', 'm1', %s)"""
    act = "INSERT INTO outbox.act (kind, actor, reason) VALUES ('start', 'me', 'first start') RETURNING id"
    earlier = one(db, act)
    with pytest.raises(psycopg.errors.CheckViolation, match="changes only with an act in the same transaction"):
        db.execute(put, [earlier])
    with db.transaction():
        db.execute(put, [one(db, act)])
    with pytest.raises(psycopg.errors.CheckViolation, match="changes only with an act"):
        db.execute("UPDATE outbox.connector SET paused = true, paused_reason = 'x'")
