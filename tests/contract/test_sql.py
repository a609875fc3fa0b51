"""The ``sql`` kind on every database that it knows: effect and ledger together, each delivery once, nothing older."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.batch import OpenGate, OutOfTime
from outbox.model import Applied, ErrorClass, NotApplied, Rejected
from tests.fixtures.postgres import MakeDb
from tests.sql_targets import (
    SqlTarget,
    in_doubt,
    kinds,
    mariadb_target,
    postgresql_target,
    removed,
    replayed,
    sqlite_target,
    written,
)


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def target(request: pytest.FixtureRequest, make_db: MakeDb, tmp_path: Path) -> Iterator[SqlTarget]:
    if request.param == "sqlite":
        with sqlite_target(tmp_path) as made:
            yield made
    elif request.param == "mariadb":
        with mariadb_target(request.getfixturevalue("mariadb")) as made:
            yield made
    else:
        with postgresql_target(make_db(empty=True)) as made:
            yield made


# ---------------------------------------------------------------- the life of a record


def test_a_record_is_created_changed_removed_and_created_again(target: SqlTarget) -> None:
    session = target.session()
    life = [written(1, "a", change=1), written(1, "b", change=2), removed(1, change=3), written(1, "c", change=4)]
    for item in life:
        assert list(session.deliver([item], OpenGate())) == [Applied()]
    assert target.effects() == [("insert", 1, "a"), ("update", 1, "b"), ("delete", 1, None), ("insert", 1, "c")]
    assert target.ledger() == [("1", 4)]


def test_a_delete_of_what_is_not_there_is_applied(target: SqlTarget) -> None:
    assert target.deliver(removed(1, change=1)) == [Applied()]
    assert target.effects() == []


def test_columns_that_the_document_does_not_have_stay_as_they_are(target: SqlTarget) -> None:
    target.deliver(written(1, "a", change=1, plain="kept"))
    target.deliver(written(1, "b", change=2))
    assert target.query(f"SELECT title, plain FROM {target.table}") == [("b", "kept")]


def test_a_row_that_was_there_before_us_is_taken_over(target: SqlTarget) -> None:
    target.query(f"INSERT INTO {target.table} (id, title) VALUES (1, 'theirs')")
    assert target.deliver(written(1, "ours")) == [Applied()]
    assert target.query(f"SELECT id, title FROM {target.table}") == [(1, "ours")]


# ---------------------------------------------------------------- once, and nothing older


def test_the_same_delivery_has_one_effect_however_often_it_comes(target: SqlTarget) -> None:
    item = written(1, "a")
    outcomes = [target.deliver(each)[0] for each in (item, in_doubt(item), item)]
    assert kinds(outcomes) == ["Applied"] * 3
    assert ["earlier attempt" in outcome.answer.excerpt for outcome in outcomes] == [False, True, True]
    assert target.effects() == [("insert", 1, "a")]


@pytest.mark.parametrize("straggler", [written(1, "old", change=5), removed(1, change=5)], ids=["write", "delete"])
def test_what_is_older_than_the_target_changes_nothing(target: SqlTarget, straggler: object) -> None:
    target.deliver(written(1, "new", change=6))
    outcome = target.deliver(straggler)[0]  # type: ignore[arg-type]
    assert isinstance(outcome, Applied)
    assert "past this change" in outcome.answer.excerpt
    assert target.effects() == [("insert", 1, "new")]
    assert target.ledger() == [("1", 6)]


def test_an_older_change_does_not_bring_a_removed_record_back(target: SqlTarget) -> None:
    target.deliver(written(1, "a", change=1))
    target.deliver(removed(1, change=3))
    target.deliver(written(1, "b", change=2))
    assert target.query(f"SELECT * FROM {target.table}") == []


def test_inside_one_transaction_the_command_decides_not_the_id(target: SqlTarget) -> None:
    inner, outer = written(1, "inner", change=8), written(1, "outer", change=7)
    inner = replace(inner, delivery=replace(inner.delivery, change=replace(inner.delivery.change, xid=9, command_id=1)))
    outer = replace(outer, delivery=replace(outer.delivery, change=replace(outer.delivery.change, xid=9, command_id=2)))
    target.deliver(outer)
    target.deliver(inner)
    assert target.effects() == [("insert", 1, "outer")]


def test_a_replay_is_written_again_and_its_older_generation_is_not(target: SqlTarget) -> None:
    item = written(1, "a")
    target.deliver(item)
    target.deliver(replayed(written(1, "mended")))
    target.deliver(item)
    assert target.effects() == [("insert", 1, "a"), ("update", 1, "mended")]


def test_connectors_and_record_types_have_entries_of_their_own(target: SqlTarget) -> None:
    item = written(1, "a", change=5)
    other = replace(item, delivery=replace(item.delivery, connector="Archive"))
    older = written(1, "b", change=4)
    typed = replace(older.delivery.change, record_type="session")
    target.deliver(item)
    target.deliver(other)
    target.deliver(replace(older, delivery=replace(older.delivery, change=typed)))
    assert [what for what, _, _ in target.effects()] == ["insert", "update", "update"]


# ---------------------------------------------------------------- batches


def test_a_bad_row_stops_only_itself(target: SqlTarget) -> None:
    batch = [written(number, "fine") for number in range(1, 12)]
    batch[4] = written(5, None)  # type: ignore[arg-type]
    outcomes = target.deliver(*batch)
    assert [number for number, outcome in enumerate(outcomes, 1) if not isinstance(outcome, Applied)] == [5]
    assert isinstance(outcomes[4], Rejected)
    assert (outcomes[4].error_class, outcomes[4].platform) == (ErrorClass.REFUSED, False)
    assert sorted(number for _, number, _ in target.effects()) == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert "5" not in dict(target.ledger())


def test_a_document_without_its_key_stops_only_itself(target: SqlTarget) -> None:
    lost = written(2)
    lost = replace(lost, message=replace(lost.message, document={"title": "whose?"}))
    outcomes = target.deliver(written(1), lost, written(3))
    assert kinds(outcomes) == ["Applied", "Rejected", "Applied"]
    assert outcomes[1] == Rejected(
        ErrorClass.MAPPING, "the mapped document has no value for the key column id; add it to the mapping's fields"
    )


def test_one_record_twice_in_a_batch_is_written_in_order(target: SqlTarget) -> None:
    target.deliver(written(1, "a", change=1))
    batch = [written(1, "b", change=2), removed(1, change=3), written(1, "c", change=4), written(2, "d", change=5)]
    assert kinds(target.deliver(*batch)) == ["Applied"] * 4
    assert [what for what, number, _ in target.effects() if number == 1] == ["insert", "update", "delete", "insert"]
    assert target.query(f"SELECT title FROM {target.table} WHERE id = 1") == [("c",)]


def test_documents_of_different_shapes_go_in_one_transaction(target: SqlTarget) -> None:
    target.deliver(written(3, change=3))
    batch = [written(1, change=11), written(2, change=12, plain="x"), removed(3, change=13)]
    assert kinds(target.deliver(*batch)) == ["Applied"] * 3
    assert target.query(f"SELECT id, plain FROM {target.table} ORDER BY id") == [(1, None), (2, "x")]


def test_a_batch_that_is_out_of_time_before_its_commit_leaves_nothing(target: SqlTarget) -> None:
    class Shut:
        def pass_through(self) -> None:
            raise OutOfTime

    with pytest.raises(OutOfTime):
        target.deliver(written(1), written(2), gate=Shut())
    assert (target.effects(), target.ledger()) == ([], [])
    assert kinds(target.deliver(written(1), written(2))) == ["Applied"] * 2


# ---------------------------------------------------------------- a target that is not as it must be


def problem_and_refusal(target: SqlTarget, **options: Any) -> str:
    """The sentence of the check, which is also why a delivery stops the connector."""
    problem = target.session(**options).problem()
    assert problem is not None
    assert (
        target.deliver(written(1), written(2), **options)
        == [Rejected(ErrorClass.MISCONFIGURED, problem, platform=True)] * 2
    )
    return problem


def test_the_check_makes_no_ledger_and_the_first_delivery_does(target: SqlTarget) -> None:
    assert target.session().problem() is None
    assert not target.has_ledger()
    target.deliver(written(1))
    assert target.ledger() == [("1", 1)]


def test_a_table_that_is_not_there_is_named(target: SqlTarget) -> None:
    assert f"no table {target.prefix}haering" in problem_and_refusal(target, table=f"{target.prefix}haering")


def test_a_key_that_is_not_unique_is_refused(target: SqlTarget) -> None:
    assert "(title) is no unique key of" in problem_and_refusal(target, key=["title"])
    target.query(f"CREATE UNIQUE INDEX by_title ON {target.table} (title)")
    assert target.session(key=["title"]).problem() is None


@pytest.mark.parametrize("target", ["postgresql", "sqlite"], indirect=True)
def test_a_unique_index_over_some_rows_is_no_key(target: SqlTarget) -> None:
    target.query(f"CREATE UNIQUE INDEX by_title ON {target.table} (title) WHERE open")
    assert "(title) is no unique key of" in problem_and_refusal(target, key=["title"])


def test_a_ledger_without_its_key_is_refused_with_the_statement(target: SqlTarget) -> None:
    target.query(f"CREATE TABLE {target.prefix}hms_sync_ledger (connector text, record_type text, record_key text)")
    problem = problem_and_refusal(target)
    assert "PRIMARY KEY (connector, record_type, record_key)" in problem


def test_a_column_that_is_not_there_stops_the_connector_with_its_name(target: SqlTarget) -> None:
    outcomes = target.deliver(written(1), written(2, judge="Miller"))
    assert {(type(outcome), getattr(outcome, "platform", None)) for outcome in outcomes} == {(Rejected, True)}
    assert "judge" in str(outcomes[0])
    assert target.effects() == []


def test_a_mapping_is_held_against_the_table_before_anything_is_sent(target: SqlTarget) -> None:
    """With table, column, type and cure; and no ledger is made."""
    table = target.table
    said = list(target.session().misfits({"id": "integer", "judge": None, "starts": "bytes", "open": "boolean"}))
    (wrong_type,) = [each for each in said if "column starts" in each] or [""]
    assert f"{table} has no column judge; add it, or take the field out of the mapping" in said
    assert any(
        each.startswith(f"column title of {table} (") and "takes no NULL and nothing fills it" in each for each in said
    )
    if not target.url.startswith("sqlite"):  # where every text column takes everything
        assert wrong_type.endswith("takes no bytes; change the column, or row.types.starts")
    assert len(said) == (2 if target.url.startswith("sqlite") else 3)
    shape = {"id": "integer", "title": "text", "fee": "decimal(12,2)", "starts": "timestamptz", "notes": "json"}
    assert target.session().misfits({**shape, "scan": "bytes", "ref": "uuid", "plain": None}) == []
    assert not target.has_ledger()


# ---------------------------------------------------------------- the courier


def test_the_courier_carries_hundreds_at_once(target: SqlTarget) -> None:
    courier = target.courier(concurrency=1200)
    for number in range(1, 1201):
        item = written(number)
        courier.start(item.delivery, item.message, None)
    assert (courier.in_flight, courier.has_room) == (1200, False)
    attempts = []
    while courier.in_flight:
        attempts += courier.poll(1.0)
    assert [attempt.delivery.change.id for attempt in attempts] == list(range(1, 1201))
    assert {type(attempt.outcome) for attempt in attempts} == {Applied}
    assert len(target.effects()) == 1200


def test_the_courier_keeps_a_doubt_a_doubt(target: SqlTarget) -> None:
    courier = target.courier(table=f"{target.prefix}haering")
    item = in_doubt(written(1))
    courier.start(item.delivery, item.message, None)
    (attempt,) = courier.poll(10)
    assert not isinstance(attempt.outcome, NotApplied)
