"""Documents by reference on real servers: what stands there, whatever becomes of the file meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from outbox.model import ErrorClass, FileContent, Outcome, Rejected, Unknown
from tests.documents import Folder, Shelf, shelf
from tests.records import Record, applied, open_record

LONG = bytes(range(256)) * 20_000
"""Five megabytes: many pieces."""


@pytest.fixture(scope="module", params=["webdav", "s3"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    with shelf(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def record(platform: Shelf) -> Iterator[Record]:
    with open_record(platform.connector(), platform.channel) as record:
        yield record


def held(platform: Shelf, record: Record) -> bytes | None:
    """The document of the record; nothing but it may stand beside it."""
    at = f"rulings/A-17/{record.key}.txt"
    beside = {name for name in platform.names() if record.key in name or name.startswith("rulings/A-17/.hms-sync-")}
    assert beside <= {at}
    return platform.read(at)


def refused(outcome: Outcome, sentence: str) -> None:
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MAPPING, False)
    assert sentence in outcome.reason


def in_doubt(outcome: Outcome, sentence: str) -> None:
    """Broken off by ourselves, which says nothing about the platform."""
    assert isinstance(outcome, Unknown), outcome
    assert outcome.error_class is ErrorClass.MAPPING
    assert sentence in outcome.reason


def test_create_update_by_name_and_in_place_delete_and_create_again(
    platform: Shelf, record: Record, folder: Folder
) -> None:
    applied(record.put(folder.has("a", LONG)))
    assert held(platform, record) == LONG
    applied(record.put(folder.has("b", b"a new name")))
    assert held(platform, record) == b"a new name"
    applied(record.put(folder.has("b", b"new content under the old name")))
    assert held(platform, record) == b"new content under the old name"
    applied(record.delete())
    assert held(platform, record) is None
    applied(record.put(folder.has("b", b"")))
    assert held(platform, record) == b""


@pytest.mark.parametrize("transport", ["curl", "requests"])
def test_both_transports_send_files(platform: Shelf, folder: Folder, transport: str) -> None:
    with open_record(platform.connector(), platform.channel, transport) as record:
        applied(record.put(folder.has("a", LONG)))
        assert held(platform, record) == LONG


def test_an_address_can_name_the_checksum_that_was_found(platform: Shelf, folder: Folder) -> None:
    with open_record(platform.connector("/sums/{sha256}-{size}"), platform.channel) as record:
        applied(record.put(folder.has("a", b"content")))
        assert platform.read(f"sums/{sha256(b'content').hexdigest()}-7") == b"content"


@pytest.mark.parametrize("arrives", [True, False])
def test_a_delivery_in_doubt_is_looked_up_and_done_once(
    platform: Shelf, record: Record, folder: Folder, *, arrives: bool
) -> None:
    record.wire.only = {"webdav": "MOVE", "s3": "PUT"}[platform.kind]
    for content in (b"first", b"second"):
        file, delivery = folder.has("a", content), record.delivery()
        record.wire.lose_next_answer, record.wire.lose_next_request = arrives, not arrives
        sent = record.send(delivery, file)
        assert isinstance(sent.outcome, Unknown)
        record.wire.sent.clear()
        applied(record.again(delivery, file))
        assert ("PUT" in record.wire.sent) is not arrives
        assert held(platform, record) == content


def test_a_missing_file_refuses_its_record_alone_and_is_delivered_once_it_is_there(
    platform: Shelf, record: Record, folder: Folder
) -> None:
    applied(record.put(folder.has("a", b"old")))
    late = FileContent(str(folder.root), "late")
    refused(record.put(late), "'late' below")
    assert held(platform, record) == b"old"
    applied(record.put(folder.has("late", b"late")))
    assert held(platform, record) == b"late"


def test_a_file_that_is_not_what_its_row_says_is_never_sent(platform: Shelf, record: Record, folder: Folder) -> None:
    named = folder.has("a", b"other")
    refused(record.put(FileContent(named.root, "a", sha256(b"ours").hexdigest())), "has another SHA-256")
    assert record.wire.sent == []
    folder.has("a", b"ours")
    applied(record.put(FileContent(named.root, "a", sha256(b"ours").hexdigest())))
    assert held(platform, record) == b"ours"


def swapped(place: Path) -> None:
    """Another file of the same size takes the name."""
    other = place.with_name("other")
    other.write_bytes(b"!" + LONG[1:])
    other.rename(place)


def edited(place: Path) -> None:
    with place.open("r+b") as file:
        file.write(b"!")


@pytest.mark.parametrize("act", [swapped, edited])
@pytest.mark.parametrize("transport", ["curl", "requests"])
def test_a_file_that_changes_at_the_last_moment_leaves_the_old_document_until_it_is_sent_anew(
    platform: Shelf, folder: Folder, transport: str, act: Callable[[Path], None]
) -> None:
    with open_record(platform.connector(), platform.channel, transport) as record:
        applied(record.put(folder.has("a", b"old")))
        file, delivery = folder.has("a", LONG), record.delivery()
        record.wire.before_next_put = lambda: act(folder.root / "a")
        in_doubt(record.send(delivery, file).outcome, "changed while it was sent")
        assert platform.read(f"rulings/A-17/{record.key}.txt") == b"old"
        applied(record.again(delivery, file))
        assert held(platform, record) == b"!" + LONG[1:]


def test_a_file_that_became_shorter_meanwhile_is_not_sent_and_tried_again(
    platform: Shelf, record: Record, folder: Folder
) -> None:
    applied(record.put(folder.has("a", b"old")))
    file, delivery = folder.has("a", LONG), record.delivery()
    record.wire.before_next_put = lambda: os.truncate(folder.root / "a", 10)
    outcome = record.send(delivery, file).outcome
    assert not isinstance(outcome, Rejected)
    assert platform.read(f"rulings/A-17/{record.key}.txt") == b"old"
    applied(record.again(delivery, file))
    assert held(platform, record) == LONG[:10]


def test_a_root_that_is_not_there_stops_the_connector(record: Record, folder: Folder) -> None:
    outcome = record.put(FileContent(str(folder.root / "nowhere"), "a"))
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)
    assert record.wire.sent == []
