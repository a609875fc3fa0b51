"""A daemon that serves a file and a webhook: from the row to the line and to the signed request."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import simplejson

from cdc.daemon import Daemon
from outbox.model import HmsSyncError
from tests.fixtures.command_line import Hms
from tests.harness.premises import Office, opened, until
from tests.journals import Folder
from tests.webhooks.receiver import Receiver, receiving

SECRET = "whsec_" + b64encode(b"a-canary-in-a-signing-secret").decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(SECRET) as made:
        yield made


@pytest.fixture
def journal(tmp_path: Path) -> Folder:
    (tmp_path / "journal").mkdir()
    return Folder(tmp_path / "journal")


@pytest.fixture
def office(dsn: str, tmp_path: Path, receiver: Receiver, journal: Folder) -> Iterator[Office]:
    with opened(dsn, tmp_path) as made:
        made.secret("hook", SECRET)
        routes = {"routes": {"hearing": {"mapping": "row"}}}
        made.settings["connectors"] = {
            "Archive": {"kind": "file", "deadline": "2s", "url": journal.url, "require": "EXACT_TX", **routes},
            "Hook": {
                "kind": "webhook",
                "deadline": "2s",
                "url": receiver.url,
                "allow_addresses": ["127.0.0.0/8"],
                "options": {"secrets": ["${file:hook}"], "resend_in_doubt": True},
                **routes,
            },
        }
        made.settings["mappings"] = {"row": {"fields": {"id": "id", "record": "title"}}}
        made.save()
        yield made


@pytest.mark.timeout(180)
def test_a_row_becomes_a_line_and_a_signed_request_and_a_receiver_that_is_gone_stops_only_itself(
    office: Office, receiver: Receiver, journal: Folder, hms: Hms
) -> None:
    with pytest.raises(HmsSyncError, match=r"Archive promises EXACT_TX without.*`hms-sync verify-receiver Archive`"):
        Daemon(office.config, office.dsn).start()
    said = hms("-c", str(office.path), "verify-receiver", "Archive", "--actor", "anna", "--rounds", "5")
    assert said.code == 0, said
    with office.served():
        office.file(1, 2, title="First")
        office.execute("DELETE FROM public.hearing WHERE id = 1")
        office.settled()
        receiver.answers.append((410, f"unsubscribed; my secret is {SECRET}"))
        office.file(3, title="Second")
        until(lambda: office.paused("Hook"), office.report)
        office.settled("Archive")
    lines = journal.lines()
    assert [(line["record_key"], line["action"]) for line in lines if line["record_key"] != "2"] == [
        ("1", "upsert"), ("1", "delete"), ("3", "upsert"),
    ]  # fmt: skip
    told = [simplejson.loads(each.body) for each in receiver.seen]
    assert [each["type"] for each in told if each["record"] == "hearing:1"] == ["hearing.upsert", "hearing.delete"]
    assert "nobody listens there any more" in str(office.paused("Hook"))
    assert [row["state"] for row in office.deliveries("Hook")] == ["waiting"], "no change is dead"
    for table in ("audit", "delivery", "connector", "mapping"):
        rows = office.execute(f"SELECT t::text AS said FROM outbox.{table} t")
        assert not [row for row in rows if SECRET.partition("_")[2] in row["said"]]
