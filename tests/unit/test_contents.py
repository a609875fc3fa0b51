"""Files as contents: which names are one, what is found of them, and that only what was found is sent whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from connectors.contents import BadContent, ContentStream, sha256_of
from connectors.courier import request_hash
from connectors.exchange import HttpRequest, TransportFailure
from outbox.model import Action, ErrorClass, FileContent, Message
from tests.documents import Folder, fixed

BYTES = bytes(range(256)) * 5000
"""More than one piece, of whichever size."""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "documents").mkdir()
    (tmp_path / "secret.txt").write_bytes(b"not for anybody")
    return Folder(tmp_path / "documents")


def refused(content: FileContent) -> BadContent:
    with pytest.raises(BadContent) as caught:
        fixed(content)
    return caught.value


# ---------------------------------------------------------------- which file


def test_a_file_below_the_root_is_measured(folder: Folder) -> None:
    found = fixed(folder.has("2026/11/ruling ä.pdf", BYTES))
    assert (found.size, found.sha256) == (len(BYTES), sha256(BYTES).hexdigest())
    assert fixed(folder.has("empty", b"")).sha256 == sha256(b"").hexdigest()


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../secret.txt", "a/../../secret.txt", "a/..", ".", "./a", "a//b", "a/", "a\0b"]
)
def test_a_name_that_is_no_path_below_the_root_is_refused(folder: Folder, name: str) -> None:
    folder.has("a/b", b"x")
    problem = refused(FileContent(str(folder.root), name))
    assert "is not a path below its root" in str(problem)
    assert (problem.outcome.error_class, problem.outcome.platform) == (ErrorClass.MAPPING, False)


@pytest.mark.parametrize("name", ["link", "out/secret.txt", "chain", "here"])
def test_a_link_that_leads_out_of_the_root_is_refused(folder: Folder, name: str) -> None:
    (folder.root / "link").symlink_to("../secret.txt")
    (folder.root / "out").symlink_to(folder.root.parent)
    (folder.root / "chain").symlink_to("link")
    (folder.root / "here").symlink_to(".")
    assert "leads out of its root by a link" in str(refused(FileContent(str(folder.root), name)))


def test_a_link_that_stays_below_the_root_is_followed_and_the_root_may_be_one(folder: Folder) -> None:
    folder.has("2026/a", b"here")
    (folder.root / "current").symlink_to("2026")
    (folder.root.parent / "root").symlink_to(folder.root)
    assert fixed(FileContent(str(folder.root.parent / "root"), "current/a")).size == 4


def test_what_becomes_a_link_between_the_look_and_the_opening_is_not_followed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody turns the folder into a link at the worst moment: after it was found to stay below the root."""
    content = folder.has("a/secret.txt", b"ours")
    resolve = Path.resolve

    def then_turned(path: Path, strict: bool = False) -> Path:
        found = resolve(path, strict=strict)
        if path.name == "secret.txt" and not (folder.root / "a").is_symlink():
            (folder.root / "a").rename(folder.root / "b")
            (folder.root / "a").symlink_to(folder.root.parent)
        return found

    monkeypatch.setattr(Path, "resolve", then_turned)
    assert "cannot be opened" in str(refused(content))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda _place: None, "does not exist: put it there, then replay"),
        (Path.mkdir, "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (lambda place: place.symlink_to(place), "cannot be opened"),
    ],
    ids=["missing", "folder", "pipe", "circle"],
)
def test_what_is_no_file_is_refused_and_waits_for_nobody(
    folder: Folder, made: Callable[[Path], object], sentence: str
) -> None:
    made(folder.root / "odd")
    problem = refused(FileContent(str(folder.root), "odd"))
    assert sentence in str(problem)
    assert f"the file 'odd' below {folder.root}" in str(problem)
    assert not problem.outcome.platform


def test_a_name_that_no_folder_can_hold_and_a_path_through_a_file_are_refused(folder: Folder) -> None:
    folder.has("a", b"x")
    for name in ("n" * 300, "a/b", "\ud800"):
        assert "cannot be opened" in str(refused(FileContent(str(folder.root), name)))


def test_a_file_that_cannot_be_read_is_refused() -> None:
    """The memory of this process has no first page."""
    assert "cannot be read (Input/output error)" in str(refused(FileContent("/proc/self", "mem")))


@pytest.mark.skipif(os.geteuid() == 0, reason="for root every file is readable")
def test_a_file_without_rights_is_refused(folder: Folder) -> None:
    content = folder.has("closed", b"x")
    (folder.root / "closed").chmod(0)
    assert "Permission denied" in str(refused(content))


@pytest.mark.parametrize("root", ["nowhere", "secret.txt"])
def test_a_root_that_cannot_be_used_stops_the_connector_and_kills_no_record(folder: Folder, root: str) -> None:
    problem = refused(FileContent(str(folder.root.parent / root), "a"))
    assert "mount it, or correct document.root" in str(problem)
    assert (problem.outcome.error_class, problem.outcome.platform) == (ErrorClass.MISCONFIGURED, True)


def test_the_checksum_of_the_row_is_held_against_the_file(folder: Folder) -> None:
    content = folder.has("a", b"content")
    right = sha256(b"content").hexdigest()
    assert fixed(FileContent(content.root, content.name, right)).sha256 == right
    problem = refused(FileContent(content.root, content.name, sha256(b"other").hexdigest()))
    assert f"has another SHA-256 ({right}) than its row says" in str(problem)


def test_the_checksum_of_a_message_and_of_a_request_is_that_of_what_they_carry(folder: Folder) -> None:
    found = fixed(folder.has("a", b"content"))
    for file, body in ((found, b""), (None, b"content")):
        assert sha256_of(Message(Action.UPSERT, {}, body, file=file)) == sha256(b"content").hexdigest()
        assert sha256_of(HttpRequest("PUT", "https://p.example/", {}, body, file)) == sha256(b"content").hexdigest()


def test_the_hash_of_a_request_covers_its_file_by_its_checksum_and_reads_nothing() -> None:
    file = FileContent("/nowhere", "a", sha256(b"a").hexdigest(), 1)
    plain = HttpRequest("PUT", "https://p.example/", {}, b"")
    hashes = [request_hash(replace(plain, file=each)) for each in (file, file, replace(file, sha256="0" * 64), None)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


# ---------------------------------------------------------------- what is sent


def failed(stream: ContentStream, limit: int = 65_536) -> tuple[int, TransportFailure]:
    """How many bytes left before the failure."""
    sent = 0
    try:
        while piece := stream.piece(limit):
            sent += len(piece)
    except TransportFailure as failure:
        return sent, failure
    finally:
        stream.close()
    raise AssertionError("all of it was sent")


@pytest.mark.parametrize("limit", [1 << 10, 65_536, 10_000_000])
def test_what_was_measured_is_sent_in_pieces(folder: Folder, limit: int) -> None:
    stream = ContentStream(fixed(folder.has("a", BYTES)))
    assert len(stream) == len(BYTES)
    pieces = []
    while piece := stream.piece(limit):
        pieces.append(piece)
    stream.close()
    assert b"".join(pieces) == BYTES
    assert max(map(len, pieces)) <= limit


def changed(place: Path) -> None:
    with place.open("r+b") as file:
        file.write(b"!")


def shorter(place: Path) -> None:
    os.truncate(place, len(BYTES) - 1)


def longer(place: Path) -> None:
    with place.open("ab") as file:
        file.write(b"!")


@pytest.mark.parametrize(
    ("act", "sentence"),
    [(shorter, "became shorter while it was sent"), (longer, "became longer while it was sent")],
)
def test_a_file_that_gets_another_size_on_its_way_is_not_sent_whole(
    folder: Folder, act: Callable[[Path], None], sentence: str
) -> None:
    stream = ContentStream(fixed(folder.has("a", BYTES)))
    first = stream.piece(10)
    act(folder.root / "a")
    sent, failure = failed(stream)
    assert sentence in failure.reason
    assert (failure.error_class, failure.sent) == (ErrorClass.MAPPING, True)
    assert len(first) + sent < len(BYTES)


def test_the_last_piece_of_a_file_that_has_changed_is_kept_back(folder: Folder) -> None:
    content = fixed(folder.has("a", BYTES))
    changed(folder.root / "a")
    sent, failure = failed(ContentStream(content))
    assert "changed while it was sent" in failure.reason
    assert failure.sent
    assert 0 < sent < len(BYTES)


@pytest.mark.parametrize("act", [shorter, longer, Path.unlink])
def test_a_file_that_is_another_one_already_is_not_sent_at_all(folder: Folder, act: Callable[[Path], None]) -> None:
    content = fixed(folder.has("a", BYTES))
    act(folder.root / "a")
    with pytest.raises(TransportFailure) as caught:
        ContentStream(content)
    assert (caught.value.error_class, caught.value.sent) == (ErrorClass.MAPPING, False)


def test_a_file_that_is_replaced_or_removed_on_its_way_is_sent_as_it_was(folder: Folder) -> None:
    stream = ContentStream(fixed(folder.has("a", BYTES)))
    folder.has("new", b"x")
    (folder.root / "new").rename(folder.root / "a")
    (folder.root / "a").unlink()
    assert b"".join(stream) == BYTES
    stream.close()
