"""Rows that a connector has never heard of, brought to it beside the live changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cdc.cli.backfill
import outbox.backfill
from tests.fixtures.command_line import Hms
from tests.harness.premises import Office, opened, until

WHY = ("--reason", "the platform is new")


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Both connectors begin after the rows that are there."""
    with opened(dsn, tmp_path) as made:
        for connector in made.settings["connectors"].values():
            connector["start"] = "now"
        made.save()
        yield made


def filled(office: Office, hearings: int) -> None:
    office.execute("INSERT INTO public.hearing (id) SELECT generate_series(1, %s)", hearings)


def reads(office: Office) -> list[tuple[str, str]]:
    rows = office.execute("SELECT connector, record_key FROM outbox.change WHERE operation = 'read' ORDER BY id")
    return [(row["connector"], row["record_key"]) for row in rows]


def test_rows_from_before_arrive_in_order_with_what_happens_meanwhile(
    office: Office, hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox.backfill, "CHUNK", 15)
    filled(office, 100)
    with office.served():
        assert office.board.hearings() == {}

        def work() -> None:
            for number in range(1, 101, 3):
                office.execute("UPDATE public.hearing SET title = 'Later' WHERE id = %s", number)

        clerk = threading.Thread(target=work)
        clerk.start()
        said = hms("backfill", "Board", "hearing", *WHY, "--json")
        clerk.join()
        wanted = {str(n): "Later" if n % 3 == 1 else "Hearing" for n in range(1, 101)}
        until(lambda: {key: one["title"] for key, one in office.board.hearings().items()} == wanted, office.report)
    assert (said.code, said.json["captured"], said.json["after"]) == (0, 100, None)
    assert sorted(int(key) for connector, key in reads(office) if connector == "Board") == list(range(1, 101))


def test_it_stops_where_nobody_delivers_and_goes_on_behind_that(
    office: Office, hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox.backfill, "CHUNK", 2)
    monkeypatch.setattr(cdc.cli.backfill, "PATIENCE_SECONDS", 0.2)
    filled(office, 11)
    with office.served():
        pass  # both are known now, and nobody serves them
    said = hms("backfill", "Board", "hearing", *WHY)
    assert said.code == 3
    assert "6 rows of hearing captured" in said.out
    assert "--after '[6]'" in said.out
    monkeypatch.setattr(cdc.cli.backfill, "PATIENCE_SECONDS", 30.0)
    with office.served():
        assert hms("backfill", "Board", "hearing", *WHY, "--after", "[6]").code == 0
        until(lambda: set(office.board.hearings()) == {str(n) for n in range(1, 12)}, office.report)
    assert [int(key) for _, key in reads(office)] == list(range(1, 12))


def test_a_key_of_several_columns_is_gone_through_in_its_order(
    office: Office, hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox.backfill, "CHUNK", 1)
    office.execute(
        "INSERT INTO public.shift VALUES ('A', '2026-11-24', 1), ('A', '2026-11-23', 2), ('B', '2026-01-01', 0)"
    )
    with office.served():
        said = hms("backfill", "Plan", "shift", *WHY, "--after", '["A", "2026-11-23", 1]', "--json")
        until(lambda: len(office.board.shifts()) == 3, office.report)
    assert (said.code, said.json["captured"]) == (0, 3)
    assert [key for _, key in reads(office)] == [
        '["A", "2026-11-23", 2]',
        '["A", "2026-11-24", 1]',
        '["B", "2026-01-01", 0]',
    ]


def test_it_is_an_act_that_each_of_its_changes_names(office: Office, hms: Hms) -> None:
    filled(office, 1)
    with office.served():
        act = hms("backfill", "Board", "hearing", *WHY, "--actor", "Mrs Maes", "--json").json["act_id"]
        until(office.board.hearings, office.report)
    rows = office.execute("SELECT kind, actor, reason, detail FROM outbox.act WHERE id = %s", act)
    detail = {"record_type": "hearing", "after": None}
    assert rows == [{"kind": "backfill", "actor": "Mrs Maes", "reason": WHY[1], "detail": detail}]
    rows = office.execute("SELECT actor, context ->> 'backfill' AS act FROM outbox.change WHERE operation = 'read'")
    assert rows == [{"actor": "Mrs Maes", "act": str(act)}]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("Nowhere", "hearing"), "system Nowhere is not registered"),
        (("Board", "shift"), "system Board has no route for record type shift"),
        (("Board", "hearing", "--after", "[1, 2]"), "1 values are needed, 2 given"),
    ],
)
def test_what_cannot_be_delivered_is_refused_before_anything_is_captured(
    office: Office, hms: Hms, words: tuple[str, ...], sentence: str
) -> None:
    filled(office, 1)
    with office.served():
        pass
    said = hms("backfill", *words, *WHY)
    assert said.code == 1
    assert sentence in said.err
    assert reads(office) == []
