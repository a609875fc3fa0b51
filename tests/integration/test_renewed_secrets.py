"""Secret files that change under a running daemon: taken up by themselves, and what cannot be used changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.config import load, renewed
from connectors.watching import Watch, state_of
from hms_sync.service import ExternalSyncService
from tests.harness.premises import Office, opened, until
from tests.hostile import Peer, hostile

NOT_TAKEN = "changed secret files are not taken"


@pytest.fixture
def office(dsn: str, tmp_path: Path) -> Iterator[Office]:
    """Tables, scheduler and config."""
    with opened(dsn, tmp_path) as made:
        yield made


def renew(office: Office, value: str, name: str = "token") -> None:
    """As Vault and certbot do it: a whole new file, by a rename."""
    office.secret(f"{name}.new", value)
    (office.folder / "secrets" / f"{name}.new").rename(office.folder / "secrets" / name)


def in_force(office: Office) -> bool:
    return "the new config is in force" in office.log.read_text()


def test_a_renewed_token_is_in_the_next_delivery_without_restart_and_without_signal(office: Office) -> None:
    """And nothing else of the config is: what somebody edits there waits for SIGHUP."""
    with office.running():
        office.file(1)
        office.settled("Board")
        office.settings["mappings"]["for_board"]["fields"]["title"] = {"template": "Half an edit {title}"}
        office.save()
        office.board.stop()
        renew(office, "another-token")
        office.board.start("another-token")
        until(lambda: in_force(office), office.report)
        office.file(2, title="Second")
        office.settled("Board")
        assert office.board.hearings()["2"]["title"] == "Second"
        assert office.paused() is None
    assert "another-token" not in office.log.read_text()


def test_a_secret_that_is_gone_changes_nothing_and_one_that_comes_is_taken(office: Office) -> None:
    with office.running():
        (office.folder / "secrets" / "token").unlink()
        until(lambda: NOT_TAKEN in office.log.read_text(), office.report)
        assert "secrets/token cannot be read" in office.log.read_text()
        office.file(1)
        office.settled("Board")
        renew(office, office.board.client.token)
        until(lambda: in_force(office), office.report)
        office.file(2)
        office.settled("Board")
        assert set(office.board.hearings()) == {"1", "2"}


def test_a_slow_platform_does_not_keep_a_renewed_secret_from_the_others(office: Office) -> None:
    office.settings["connectors"]["Plan"]["auth"] = {"bearer": "${file:plan}"}
    office.settings["daemon"]["lease"] = "90s"
    office.secret("plan", "an-old-token")
    with hostile(Peer.hold) as slow:
        office.settings["connectors"]["Board"] |= {"url": slow.url, "deadline": "30s"}
        office.save()
        daemon = office.start()
        try:
            office.file(1)
            until(lambda: slow.connections > 0, office.report)
            renew(office, office.board.client.token, "plan")
            until(lambda: in_force(office), office.report, 10)
            office.execute("INSERT INTO public.shift VALUES ('A', '2026-11-23', 1)")
            office.settled("Plan", seconds=10)
            assert set(office.board.shifts()) == {"A.2026-11-23.1"}
        finally:
            daemon.kill()
            daemon.wait()


def test_a_long_lived_application_delivers_with_the_renewed_secret(office: Office) -> None:
    office.secret("token", "not-the-token")
    service = ExternalSyncService(office.path, actor="clerk-7")
    office.file(1)
    renew(office, office.board.client.token)
    assert service.sync("Board", "hearing", 1) == {"status": "success"}


# ---------------------------------------------------------------- what a change is


def test_a_change_is_told_once_and_only_when_it_stood_for_a_look(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    watch = Watch({file: state_of(file)})
    assert not watch.has_changed()
    file.write_text("half of")
    assert not watch.has_changed()
    file.write_text("half of a secret is now whole")
    assert not watch.has_changed()
    assert [watch.has_changed() for _ in range(3)] == [True, False, False]


def test_a_turned_link_is_a_change(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text("same")
    (tmp_path / "data").symlink_to("one")
    watch = Watch({tmp_path / "data" / "token": state_of(tmp_path / "data" / "token")})
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "data")
    assert [watch.has_changed() for _ in range(3)] == [False, True, False]


def test_what_could_not_be_used_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may have been away at that moment."""
    watch = Watch({tmp_path / "token": (0, 0, 0, 0)})
    assert [watch.has_changed() for _ in range(2)] == [False, True]
    watch.not_taken()
    assert not watch.has_changed()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert [watch.has_changed() for _ in range(2)] == [True, False]


def test_a_config_whose_secret_files_are_as_they_were_is_itself(office: Office) -> None:
    config = load(office.path)
    assert renewed(config) is config
    renew(office, "x" * 20)
    again = renewed(config)
    assert again.source is config.source
    assert "x" * 20 in again.build("Board").channel.secrets
    assert renewed(again) is again
