"""`hms-sync verify-receiver` for a database as the platform, from the command to the daemon that serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.daemon import Daemon
from connectors.channel import Basic
from outbox.model import HmsSyncError
from tests.contract.test_verify_sql import SWALLOW
from tests.fixtures.command_line import Hms, Said
from tests.fixtures.postgres import MakeDb
from tests.harness.premises import Office, opened
from tests.sql_targets import SqlTarget, postgresql_target, written


@pytest.fixture
def archive(make_db: MakeDb) -> Iterator[SqlTarget]:
    with postgresql_target(make_db(empty=True)) as target:
        yield target


@pytest.fixture
def office(dsn: str, archive: SqlTarget, tmp_path: Path) -> Iterator[Office]:
    """An office whose only platform is a database, and nothing of it is accepted unverified."""
    with opened(dsn, tmp_path) as made:
        assert isinstance(archive.channel.auth, Basic)
        made.secret("target", archive.channel.auth.password.get_secret_value())
        made.settings["connectors"] = {
            "Archive": {
                "kind": "sql",
                "deadline": "2s",
                "url": archive.url,
                "auth": {"basic": {"username": archive.channel.auth.username, "password": "${file:target}"}},
                "allow_addresses": ["127.0.0.0/8"],
                "require": "EXACT_TX",
                "options": {"table": "court.hearing", "key": ["id"], "unencrypted": True},
                "routes": {"hearing": {"mapping": "row"}},
            }
        }
        made.settings["mappings"] = {"row": {"fields": {"id": "id", "title": "title"}, "key": ["id"]}}
        made.save()
        yield made


def verified(office: Office, hms: Hms, *words: str) -> Said:
    return hms("-c", str(office.path), "verify-receiver", "Archive", "--actor", "anna", "--rounds", "5", *words)


def test_a_database_is_served_after_it_was_verified_and_not_before(
    office: Office, archive: SqlTarget, hms: Hms
) -> None:
    with pytest.raises(HmsSyncError, match=r"Archive promises EXACT_TX without.*`hms-sync verify-receiver Archive`"):
        Daemon(office.config, office.dsn).start()
    said = verified(office, hms)
    assert said.code == 0, said
    assert "carries EXACT_TX (act " in said.out
    with office.served():
        office.file(1, title="Verified")
        office.settled("Archive")
    assert archive.effects() == [("insert", 1, "Verified")]


def test_a_database_that_falls_short_is_not_served(office: Office, archive: SqlTarget, hms: Hms) -> None:
    archive.deliver(written(1000))
    archive.query(SWALLOW)
    said = verified(office, hms, "--json")
    assert (said.code, said.json["passed"], said.json["carries"]) == (1, False, "ONCE_OR_ASK"), said
    assert [one["number"] for one in said.json["probes"] if one["passed"] is False] == [2, 3, 4, 5]
    with pytest.raises(HmsSyncError, match=r"Archive promises EXACT_TX, and PostgreSQL .* carries only ONCE_OR_ASK"):
        Daemon(office.config, office.dsn).start()


def test_it_is_tried_in_another_database_where_one_says(office: Office, archive: SqlTarget, hms: Hms) -> None:
    said = verified(office, hms, "--scratch-url", archive.url.rpartition("/")[0] + "/nowhere")
    assert (said.code, 'database "nowhere" does not exist' in said.err) == (1, True), said
    said = verified(office, hms, "--scratch-url", "https://127.0.0.1/")
    assert (said.code, "--scratch-url is not a URL of a database" in said.err) == (2, True), said
