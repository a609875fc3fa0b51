"""The ``file`` kind on a real file system: each delivery is one line, whatever was there and whoever else writes."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import simplejson

from connectors.batch import OpenGate, OutOfTime
from connectors.channel import Channel
from connectors.file.connector import FileConnector
from connectors.file.options import FileOptions
from connectors.registry import kinds
from hms_sync.testing import ConnectorContract, Platform
from outbox.model import Action, Applied, ErrorClass, Guarantee, HmsSyncError, Message, NotApplied, Rejected, Unknown
from tests.journals import Folder, removed, written


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    made.close()


class Journal(Platform):
    """A journal as the contract sees it; the text is a member of what a line says of its record."""

    kind = kinds()["file"]
    alone = "a journal whose lines somebody changes or removes is not written any more"

    def __init__(self, folder: Folder) -> None:
        self.url = folder.url
        self.nowhere = f"file://{folder.path}/nowhere/hearing.ndjson"
        self._folder = folder

    def upsert(self, key: str, text: str) -> Message:
        return Message(Action.UPSERT, {}, simplejson.dumps({"text": text}).encode())

    def delete(self, key: str) -> Message:
        return Message(Action.DELETE, {})

    def read(self, key: str) -> str | None:
        lines = self._lines(key)
        return str(lines[-1]["data"]["text"]) if lines and lines[-1]["action"] == "upsert" else None

    def effects(self, key: str) -> int:
        return len(self._lines(key))

    def _lines(self, key: str) -> list[dict[str, Any]]:
        return [line for line in self._folder.lines() if line["record_key"] == key]


class TestFile(ConnectorContract):
    @pytest.fixture
    def platform(self, folder: Folder) -> Journal:
        return Journal(folder)


class Late:
    """The gate of a batch whose deadline is over."""

    def pass_through(self) -> None:
        raise OutOfTime


# ---------------------------------------------------------------- once, in order


def test_each_line_names_its_delivery_and_holds_what_the_mapping_wrote(folder: Folder) -> None:
    item = written(42, 7, body='{"title":"Größe\\nneu","fee":1.10}'.encode())
    assert folder.deliver(item, removed(42, 8)) == [Applied(), Applied()]
    first, second = folder.lines()
    assert first == {
        "line": 1, "key": str(item.delivery.key), "connector": "Journal", "record_type": "hearing",
        "record_key": "42", "change": 7, "xid": 7, "command": 0, "generation": 0, "action": "upsert",
        "time": "2026-11-23T13:00:00Z", "data": {"title": "Größe\nneu", "fee": 1.1},
    }  # fmt: skip
    assert (second["line"], second["action"], "data" in second) == (2, "delete", False)
    assert b"1.10" in folder.current.read_bytes(), "numbers go through no float"


def test_a_repeated_delivery_writes_nothing_and_an_older_change_neither(folder: Folder) -> None:
    folder.deliver(written(1, 5), written(2, 6))
    outcomes = folder.deliver(written(1, 5), written(2, 3), written(1, 9))
    assert [outcome.answer.excerpt for outcome in outcomes] == [
        "the file has it: written by an earlier attempt", "the file is past this change: nothing was written", "",
    ]  # fmt: skip
    assert folder.told() == [("1", 5), ("2", 6), ("1", 9)]


def test_one_batch_may_hold_a_record_twice(folder: Folder) -> None:
    folder.deliver(written(1, 1), written(1, 1), written(1, 2), written(1, 1))
    assert folder.told() == [("1", 1), ("1", 2)]


def test_a_replay_is_written_again_and_only_once(folder: Folder) -> None:
    folder.deliver(written(1, 1))
    for _ in range(2):
        folder.deliver(written(1, 1, generation=1))
    folder.deliver(written(1, 1))
    assert [(line["change"], line["generation"]) for line in folder.lines()] == [(1, 0), (1, 1)]


def test_connectors_that_share_a_file_do_not_mistake_their_records(folder: Folder) -> None:
    folder.deliver(written(1, 5))
    folder.deliver(written(1, 4, connector="Other"))
    assert folder.told() == [("1", 5), ("1", 4)]


def test_a_body_that_is_not_the_json_that_it_says_stops_only_itself(folder: Folder) -> None:
    outcomes = folder.deliver(written(1, 1), written(2, 2, body=b"{"), written(3, 3))
    assert [type(outcome) for outcome in outcomes] == [Applied, Rejected, Applied]
    assert folder.told() == [("1", 1), ("3", 3)]


def test_other_bodies_travel_as_text_or_base64(folder: Folder) -> None:
    folder.deliver(written(1, 1, body=b"BEGIN:\r\n", content_type="text/calendar"), written(2, 2, body=b"\xff"))
    folder.deliver(written(3, 3, body=b"\xff", content_type="application/pdf"))
    assert [line.get("data", line.get("data_base64")) for line in folder.lines()] == ["BEGIN:\r\n", "/w=="]


def test_nothing_is_written_when_the_deadline_is_over(folder: Folder) -> None:
    with pytest.raises(OutOfTime):
        folder.deliver(written(1, 1), gate=Late())
    assert folder.told() == []


# ---------------------------------------------------------------- what a crash leaves


@pytest.mark.parametrize("size", [1, 5, 60])
def test_half_a_line_is_cut_off_and_written_again_whole(folder: Folder, size: int) -> None:
    folder.deliver(written(1, 1), written(2, 2))
    os.truncate(folder.current, folder.current.stat().st_size - size)
    folder.index.unlink()
    outcomes = folder.deliver(written(1, 1), written(2, 2))
    assert [outcome.answer.excerpt != "" for outcome in outcomes] == [True, False]
    assert folder.told() == [("1", 1), ("2", 2)]


def test_whole_lines_that_the_index_does_not_know_are_taken_for_written(folder: Folder, tmp_path: Path) -> None:
    folder.deliver(written(1, 1))
    index = folder.index.read_bytes()
    folder.deliver(written(2, 2), written(3, 3))
    folder.index.write_bytes(index)
    folder.deliver(written(1, 1), written(2, 2), written(3, 3), written(4, 4))
    assert folder.told() == [("1", 1), ("2", 2), ("3", 3), ("4", 4)]


def test_blocks_that_never_reached_the_disk_are_cut_off(folder: Folder) -> None:
    """A machine that stops may keep a later block of the last write and lose an earlier one."""
    folder.deliver(written(1, 1))
    whole = folder.current.read_bytes()
    with folder.current.open("ab") as stream:
        stream.write(bytes(300) + b"\n" + whole)
    folder.deliver(written(1, 1), written(2, 2))
    assert folder.told() == [("1", 1), ("2", 2)]


@pytest.mark.parametrize("how", ["removed", "broken"])
def test_an_index_that_is_lost_or_broken_is_made_again_from_all_files(folder: Folder, how: str) -> None:
    folder.options = {"rotate": {"size": 500}}
    for number in range(1, 9):
        folder.deliver(written(number, number))
    assert folder.finished()
    if how == "removed":
        folder.index.unlink()
    else:
        folder.index.write_bytes(b"broken" * 1000)
        assert isinstance(folder.deliver(written(1, 1))[0], NotApplied)
    folder.deliver(*(written(number, number) for number in range(1, 10)))
    assert folder.told() == [(str(number), number) for number in range(1, 10)]


def test_an_index_that_vanishes_under_a_sender_is_made_again(folder: Folder) -> None:
    first, second = folder.session(), folder.session()
    list(first.deliver([written(1, 1)], OpenGate()))
    folder.index.unlink()
    for session in (second, first, second, first):
        list(session.deliver([written(1, 1), written(2, 2), written(3, 3)], OpenGate()))
    assert folder.told() == [("1", 1), ("2", 2), ("3", 3)]


# ---------------------------------------------------------------- what somebody else did


def test_a_file_that_somebody_cut_is_not_written_until_it_is_put_right(folder: Folder) -> None:
    folder.deliver(written(1, 1), written(2, 2), written(3, 3))
    whole = folder.current.read_bytes()
    folder.current.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    (outcome,) = folder.deliver(written(4, 4))
    assert isinstance(outcome, Rejected)
    assert outcome.platform
    assert "ends with line 2, but 3 were written" in outcome.reason
    folder.current.write_bytes(whole)
    assert folder.deliver(written(4, 4)) == [Applied()]
    assert [change for _, change in folder.told()] == [1, 2, 3, 4]


def test_a_line_in_the_middle_that_is_missing_stops_everything(folder: Folder) -> None:
    folder.deliver(written(1, 1), written(2, 2), written(3, 3))
    first, _, third = folder.current.read_bytes().splitlines(keepends=True)
    folder.current.write_bytes(first + third)
    folder.index.unlink()
    (outcome,) = folder.deliver(written(4, 4))
    assert isinstance(outcome, Rejected)
    assert "line 2 of" in outcome.reason
    assert "is missing" in outcome.reason


def test_a_file_that_is_not_ours_is_left_alone(folder: Folder) -> None:
    folder.current.write_text('{"id": 1}\n')
    (outcome,) = folder.deliver(written(1, 1))
    assert isinstance(outcome, Rejected)
    assert "that is not ours" in outcome.reason
    assert folder.current.read_text() == '{"id": 1}\n'


def test_a_link_is_not_followed(folder: Folder) -> None:
    other = folder.path / "elsewhere"
    other.touch()
    folder.current.symlink_to(other)
    (outcome,) = folder.deliver(written(1, 1))
    assert isinstance(outcome, Rejected)
    assert other.read_bytes() == b""


def test_a_consumer_may_take_files_away_and_nothing_is_written_twice(folder: Folder) -> None:
    folder.options = {"rotate": {"size": 500}}
    taken = []
    for number in range(1, 9):
        folder.deliver(written(number, number))
        for name in folder.finished():
            taken += [simplejson.loads(line) for line in (folder.path / name).read_bytes().splitlines()]
            (folder.path / name).unlink()
    folder.deliver(*(written(number, number) for number in range(1, 9)))
    taken += folder.lines()
    assert [line["line"] for line in taken] == [line["change"] for line in taken] == list(range(1, 9))


@pytest.mark.parametrize("how", ["moved", "emptied"])
def test_a_current_file_that_was_taken_away_is_begun_again_where_its_lines_ended(folder: Folder, how: str) -> None:
    session = folder.session()
    list(session.deliver([written(1, 1), written(2, 2)], OpenGate()))
    if how == "moved":
        folder.current.rename(folder.path / "taken")
    else:
        os.truncate(folder.current, 0)
    list(session.deliver([written(1, 1), written(2, 2), written(3, 3)], OpenGate()))
    assert [(line["line"], line["change"]) for line in folder.lines()] == [(3, 3)]


# ---------------------------------------------------------------- several senders


def test_two_senders_take_turns_and_know_what_the_other_wrote(folder: Folder) -> None:
    def send(start: int) -> set[type[object]]:
        session = folder.session()
        return {
            type(outcome)
            for number in range(start, 40)
            for outcome in session.deliver([written(number, number)], OpenGate())
        }

    with ThreadPoolExecutor(2) as senders:
        assert list(senders.map(send, (1, 2))) == [{Applied}, {Applied}]
    assert sorted(change for _, change in folder.told()) == list(range(1, 40))


def test_a_sender_that_was_stopped_inside_the_lock_blocks_and_then_overwrites_nothing(folder: Folder) -> None:
    """Another process stands still with the lock in its hand; ours gives up in time, and both agree afterwards."""
    folder.deadline_seconds = 1.0
    code = f"""
import os, signal, sys
from tests.journals import Folder, written
from pathlib import Path
class Stop:
    def pass_through(self):
        os.kill(os.getpid(), signal.SIGSTOP)
print(Folder(Path({str(folder.path)!r})).deliver(written(1, 1), gate=Stop()), flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        _, status = os.waitpid(other.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        began = time.monotonic()
        (outcome,) = folder.deliver(written(1, 2))
        assert isinstance(outcome, NotApplied)
        assert "another process writes" in outcome.reason
        assert time.monotonic() - began < 5
        other.send_signal(signal.SIGCONT)
        other.wait(20)
    assert folder.deliver(written(1, 2), written(1, 1))[0] == Applied()
    assert folder.told() == [("1", 1), ("1", 2)]


class Held:
    """A gate that lets its batch through when it is told to; ``reached``: the batch has the lock."""

    def __init__(self) -> None:
        self.reached, self.let = threading.Event(), threading.Event()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.let.wait(20)


def test_who_waited_for_a_lock_that_was_removed_meanwhile_takes_the_new_one(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the one who waited would hold a lock that nobody sees, and a newcomer the one with the name."""
    refused, real = threading.Event(), fcntl.flock

    def flock(file: int, how: int) -> None:
        try:
            real(file, how)
        except BlockingIOError:
            refused.set()
            raise

    monkeypatch.setattr("fcntl.flock", flock)
    first, second = Held(), Held()
    with ThreadPoolExecutor(3) as senders:
        ended = [senders.submit(folder.deliver, written(1, 1), gate=first)]
        assert first.reached.wait(20)
        ended.append(senders.submit(folder.deliver, written(2, 2), gate=second))
        assert refused.wait(20)
        (folder.path / ".hearing.ndjson.lock").unlink()
        first.let.set()
        assert second.reached.wait(20)
        ended.append(senders.submit(folder.deliver, written(3, 3)))
        wait(ended[2:], 1.0)  # who holds no lock lets it pass within this time
        second.let.set()
        assert [each.result(20) for each in ended] == [[Applied()]] * 3
    assert [change for _, change in folder.told()] == [1, 2, 3]


# ---------------------------------------------------------------- what is on the disk, and when


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of the system that change something, as they happen."""
    told: list[str] = []
    for name in ("write", "fsync", "rename", "ftruncate"):
        real = getattr(os, name)

        def call(*arguments: Any, name: str = name, real: Callable[..., Any] = real) -> Any:
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            told.append("fsync of the folder" if folder else name)
            return real(*arguments)

        monkeypatch.setattr(os, name, call)
    return told


def test_a_batch_is_one_write_and_one_fsync_before_it_is_settled(folder: Folder, steps: list[str]) -> None:
    session = folder.session()
    list(session.deliver([written(1, 1)], OpenGate()))
    assert steps == ["fsync of the folder", "write", "fsync"], "a new name is synced too"
    steps.clear()
    list(session.deliver([written(number, number) for number in range(2, 400)], OpenGate()))
    assert steps == ["write", "fsync"]


def test_a_finished_file_is_synced_under_its_name_before_the_next_one_begins(folder: Folder, steps: list[str]) -> None:
    folder.options = {"rotate": {"size": 300}}
    folder.deliver(written(1, 1))
    steps.clear()
    folder.deliver(written(2, 2))
    assert steps == ["rename", "fsync of the folder", "fsync of the folder", "write", "fsync"]


def test_lines_that_nobody_settled_are_synced_before_they_count_as_written(folder: Folder, steps: list[str]) -> None:
    folder.deliver(written(1, 1))
    index = folder.index.read_bytes()
    folder.deliver(written(2, 2))
    folder.index.write_bytes(index)
    steps.clear()
    folder.deliver(written(2, 2))
    assert steps == ["fsync"]


# ---------------------------------------------------------------- rotation


def test_a_file_is_finished_before_it_grows_beyond_its_size(folder: Folder) -> None:
    folder.options = {"rotate": {"size": 600}}
    session = folder.session()
    for number in range(1, 8):
        list(session.deliver([written(number, number)], OpenGate()))
    assert folder.finished() == [f"hearing.{last:012d}.ndjson" for last in (2, 4, 6)]
    assert all((folder.path / name).stat().st_size <= 600 for name in folder.finished())
    assert [change for _, change in folder.told()] == list(range(1, 8))


def test_the_first_line_of_a_new_day_finishes_the_file_of_the_last_one(folder: Folder) -> None:
    folder.options = {"rotate": {"every": "day"}}
    folder.deliver(written(1, 1))
    folder.deliver(written(2, 2))
    assert folder.finished() == []
    yesterday = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    os.utime(folder.current, (yesterday, yesterday))
    folder.deliver(written(2, 2))
    assert folder.finished() == [], "a repeated delivery writes nothing and so begins no file"
    folder.deliver(written(3, 3))
    assert folder.finished() == ["hearing.000000000002.ndjson"]
    assert folder.told() == [("1", 1), ("2", 2), ("3", 3)]


# ---------------------------------------------------------------- a disk that refuses


def test_a_full_disk_leaves_nothing_behind_and_is_tried_again(folder: Folder) -> None:
    """The system writes a part of the batch and refuses the rest: the part is cut off."""
    folder.deliver(written(1, 1))
    size = folder.current.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    session = folder.session()
    list(session.deliver([written(1, 1)], OpenGate()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300, hard))
    try:
        (first, _) = session.deliver([written(2, 2), written(3, 3)], OpenGate())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(first, NotApplied)
    assert first.platform
    assert folder.current.stat().st_size == size
    assert list(session.deliver([written(2, 2), written(3, 3)], OpenGate())) == [Applied(), Applied()]
    assert [change for _, change in folder.told()] == [1, 2, 3]


def test_lines_that_cannot_be_synced_are_taken_back(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.deliver(written(1, 1))
    session = folder.session()
    list(session.deliver([written(1, 1)], OpenGate()))
    failing, real = [True], os.fsync

    def fsync(file: int) -> None:
        if failing and failing.pop():
            raise OSError(5, "Input/output error")
        real(file)

    monkeypatch.setattr("os.fsync", fsync)
    (outcome,) = session.deliver([written(2, 2)], OpenGate())
    assert isinstance(outcome, NotApplied)
    assert folder.told() == [("1", 1)]


def test_what_cannot_be_taken_back_is_unknown(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    session = folder.session()
    list(session.deliver([written(1, 1)], OpenGate()))

    def fsync(_file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fsync)
        (outcome,) = session.deliver([written(2, 2)], OpenGate())
    assert isinstance(outcome, Unknown)
    list(session.deliver([written(2, 2)], OpenGate()))
    assert folder.told() == [("1", 1), ("2", 2)]


@pytest.mark.parametrize("what", ["no folder", "a folder"])
def test_a_wrong_place_pauses_the_connector_with_a_sentence(tmp_path: Path, what: str) -> None:
    folder = Folder(tmp_path / "missing" if what == "no folder" else tmp_path)
    if what == "a folder":
        folder.current.mkdir()
    (outcome,) = folder.deliver(written(1, 1))
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)
    problem = folder.session().problem()
    assert problem is not None
    assert str(folder.current if what == "a folder" else folder.path) in problem


def test_a_good_place_has_no_problem_and_nothing_is_written_to_know_it(folder: Folder) -> None:
    assert folder.session().problem() is None
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("url", ["file://host/folder/a.ndjson", "file:///folder/", "file:///"])
def test_a_url_that_names_no_file_from_the_root_is_refused(url: str) -> None:
    with pytest.raises(HmsSyncError, match="does not name a file from the root"):
        FileConnector(url, FileOptions())


# ---------------------------------------------------------------- verify-receiver


def test_a_folder_carries_its_class_and_is_left_as_it_was(folder: Folder) -> None:
    folder.deliver(written(1, 1))
    before = sorted(path.name for path in folder.path.iterdir())
    verifier = kinds()["file"].verifier("Journal", folder.url, FileOptions(), None)
    assert verifier is not None
    verdict = verifier.verify(Channel(), rounds=5, quick=False, progress=lambda *_: None)
    assert verdict.passed, verdict
    assert verdict.carries is Guarantee.EXACT_TX
    assert sorted(path.name for path in folder.path.iterdir()) == before


def test_a_lock_that_does_not_hold_is_found(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system whose locks do nothing, as over some networks."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    verifier = kinds()["file"].verifier("Journal", folder.url, FileOptions(), None)
    assert verifier is not None
    verdict = verifier.verify(Channel(), rounds=20, quick=False, progress=lambda *_: None)
    assert not verdict.passed
    assert next(result for result in verdict.results if result.number == 2).passed is not True
