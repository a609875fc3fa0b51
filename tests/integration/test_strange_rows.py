"""Rows that PostgreSQL takes and Python does not read by itself: each stops nothing but itself, if even that."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from hms_sync.service import ExternalSyncService
from outbox import exact_json
from tests.fixtures.command_line import Hms
from tests.harness.premises import Office, opened
from tests.journals import Folder

LONG = "1" + "0" * 6000
DEEP = "[" * 3000 + "]" * 3000
COLUMNS = "ALTER TABLE public.hearing ADD COLUMN amount numeric, ADD COLUMN form jsonb"


@pytest.fixture
def journals(tmp_path: Path) -> dict[str, Folder]:
    """Ledger wants the long number, Forms what is nested too deep."""
    made = {name: Folder(tmp_path / name) for name in ("Ledger", "Forms")}
    for journal in made.values():
        journal.path.mkdir()
    return made


@pytest.fixture
def office(dsn: str, tmp_path: Path, journals: dict[str, Folder]) -> Iterator[Office]:
    with opened(dsn, tmp_path) as made:
        made.execute(COLUMNS)
        made.settings["connectors"] = {
            name: {
                "kind": "file",
                "deadline": "2s",
                "url": journal.url,
                "accept_unverified": "the class is not what is tried here",
                "routes": {"hearing": {"mapping": name}},
            }
            for name, journal in journals.items()
        }
        made.settings["mappings"] = {
            "Ledger": {"fields": {"id": "id", "amount": "amount"}},
            "Forms": {"fields": {"id": "id", "form": "form"}},
        }
        made.save()
        yield made


@pytest.mark.timeout(180)
def test_a_number_too_long_and_a_form_too_deep_stop_no_other_record(
    office: Office, journals: dict[str, Folder], hms: Hms
) -> None:
    office.file(1, 2, 3, 4)
    office.execute("UPDATE public.hearing SET amount = %s::numeric WHERE id = 2", LONG)
    office.execute("UPDATE public.hearing SET form = %s::jsonb WHERE id = 3", DEEP)
    with office.served():
        office.settled("Ledger", "Forms")
    lines = map(exact_json.decode, journals["Ledger"].current.read_bytes().splitlines())
    told = {line["record_key"]: line["data"] for line in lines}
    assert sorted(told) == ["1", "2", "3", "4"]
    assert told["2"]["amount"] == Decimal(LONG)
    assert {line["record_key"] for line in journals["Forms"].lines()} == {"1", "2", "3", "4"}, "3 as it was inserted"
    [dead] = office.deliveries("Forms")
    assert (dead["record_key"], dead["state"]) == ("3", "dead")
    assert "nested too deep" in dead["last_error"]
    for command in (["failures"], ["explain", "hearing:3"], ["explain", "hearing:2"], ["audit"]):
        for way in ([], ["--json"]):
            said = hms("-c", str(office.path), *way, *command)
            assert (said.err, said.code in (0, 3)) == ("", True), said
    answer = ExternalSyncService(config_path=office.path).sync("Ledger", "hearing", 2)
    assert answer["status"] == "success", answer
