"""Databases as targets: our ledger over there is written with the effect, read under a lock, and believed."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

STANDING, LEDGER = "connectors/standing.py", "connectors/sql/ledger.py"
SESSION, POSTGRESQL = "connectors/sql/session.py", "connectors/sql/postgresql.py"
BOTH, ONE = "tests/contract/test_sql.py::", "tests/contract/test_sql_postgresql.py::"

MUTANTS = (
    Mutant(
        "target-never-older",
        "a change that is older than the target changes nothing there",
        STANDING,
        "return Standing.PASSED if replayed_since or entry.written.is_newer_than(delivery.change) else Standing.DUE",
        "return Standing.PASSED if replayed_since else Standing.DUE",
        f"{BOTH}test_what_is_older_than_the_target_changes_nothing[postgresql-write]",
    ),
    Mutant(
        "target-once",
        "a delivery that the target's ledger has is not applied again",
        STANDING,
        "if same_change and entry.key == str(delivery.key):",
        "if False:",
        f"{BOTH}test_the_same_delivery_has_one_effect_however_often_it_comes[postgresql]",
    ),
    Mutant(
        "target-one-transaction",
        "ledger and effect are one transaction of the target",
        SESSION,
        "self._take_effect(connection, [item for item",
        "connection.commit()\n        self._take_effect(connection, [item for item",
        f"{BOTH}test_a_bad_row_stops_only_itself[postgresql]",
    ),
    Mutant(
        "target-locked",
        "who had to wait for a newer change does not decide by what he read before",
        LEDGER,
        ".with_for_update()",
        "",
        f"{ONE}test_an_older_change_that_had_to_wait_for_a_newer_one_sees_it",
    ),
    Mutant(
        "target-commit-unknown",
        "a connection that is lost at the COMMIT leaves the effect unknown",
        "connectors/sql/failures.py",
        'if state is None:\n        return _lost(f"the connection was lost: {text}", committing=committing)',
        'if state is None:\n        return _lost(f"the connection was lost: {text}", committing=False)',
        "tests/unit/test_connector_sql.py::test_an_error_of_postgresql_means[None-before0-Unknown]",
    ),
    Mutant(
        "target-in-order",
        "one record twice in a batch is written in its order",
        SESSION,
        "if len({item.delivery.record for item in batch}) == len(batch):",
        "if batch:",
        f"{BOTH}test_one_record_twice_in_a_batch_is_written_in_order[sqlite]",
    ),
)
