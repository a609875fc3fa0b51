"""Both transports send a body from its file: exactly what was measured, once, in pieces, or not all of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.channel import Channel
from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.transports import open_transport
from outbox.model import ErrorClass, FileContent
from tests.documents import Folder, fixed
from tests.hostile import OK, Behaviour, Peer, answers, applies_and_closes_on_reuse, deaf, hostile
from tests.hostile.talk import frozen
from tests.wire import LOOPBACK, Open, answered, ends, failed, send

BYTES = bytes(range(256)) * 2000
LARGE = 32 << 20
"""More than the buffers between two sockets hold, so that its end is not read before the receiver goes on."""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def large(folder: Folder) -> FileContent:
    content = folder.has("large", b"")
    os.truncate(folder.root / "large", LARGE)
    return fixed(content)


def sends(
    transport: Transport, url: str, file: FileContent, method: str = "PUT", deadline: float = 10
) -> HttpResponse | TransportFailure:
    transport.start("f", HttpRequest(method, url, {"Content-Type": "application/pdf"}, b"", file), deadline)
    return ends(transport)[1]


def broken(result: HttpResponse | TransportFailure, sentence: str, *, sent: bool = True) -> None:
    failure = failed(result)
    assert (failure.error_class, failure.sent) == (ErrorClass.MAPPING, sent)
    assert sentence in failure.reason


def reads_after(act: Callable[[], object]) -> Behaviour:
    """The receiver lets somebody act when the headers are there, and goes on."""

    def behave(peer: Peer) -> None:
        if b"\r\n\r\n" in peer.sock.recv(1024):
            act()
            while peer.sock.recv(1 << 20):
                pass

    return behave


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, len(BYTES)])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_file_arrives_as_it_is_with_its_size_before_it(open_: Open, folder: Folder, method: str, size: int) -> None:
    file = fixed(folder.has("a", BYTES[:size]))
    with hostile(answers(OK)) as receiver:
        transport = open_(concurrency=1)
        assert answered(sends(transport, receiver.url, file, method)).status == 200
        (seen,) = receiver.requests
    assert (seen.method, seen.body) == (method, BYTES[:size])
    assert (seen.headers["content-length"], seen.headers["content-type"]) == (str(size), "application/pdf")
    assert "expect" not in seen.headers
    assert "transfer-encoding" not in seen.headers


def test_what_comes_after_a_file_on_its_connection_is_its_own(open_: Open, folder: Folder) -> None:
    file = fixed(folder.has("a", BYTES))
    with hostile(answers(OK)) as receiver:
        transport = open_(concurrency=1)
        sends(transport, receiver.url, file)
        for method, body in (("PUT", b"plain"), ("DELETE", b""), ("GET", b""), ("POST", b"")):
            assert answered(send(transport, receiver.url, method, body)).status == 200
        sends(transport, receiver.url, file)
        assert [each.body for each in receiver.requests] == [BYTES, b"plain", b"", b"", b"", BYTES]
        assert receiver.connections == 1


def test_many_files_are_under_way_at_once(open_: Open, folder: Folder) -> None:
    files = [fixed(folder.has(str(number), bytes([number]) * 300_000)) for number in range(4)]
    with hostile(answers(OK)) as receiver:
        transport = open_(concurrency=4)
        for number, file in enumerate(files):
            transport.start(number, HttpRequest("PUT", receiver.url, {}, b"", file), 10)
        ended: dict[object, HttpResponse | TransportFailure] = {}
        while len(ended) < 4:
            ended.update(transport.poll(1))
        assert {answered(result).status for result in ended.values()} == {200}
        assert sorted(each.body for each in receiver.requests) == [bytes([number]) * 300_000 for number in range(4)]


def test_a_file_that_has_changed_never_arrives_whole(open_: Open, folder: Folder) -> None:
    file = fixed(folder.has("a", BYTES))
    folder.has("a", b"!" + BYTES[1:])
    with hostile(answers(OK)) as receiver:
        transport = open_(concurrency=1)
        broken(sends(transport, receiver.url, file), "changed while it was sent")
        assert receiver.requests == []
        assert answered(sends(transport, receiver.url, fixed(folder.has("a", BYTES)))).status == 200


@pytest.mark.parametrize("content", [BYTES + b"!", BYTES[:-1], None])
def test_a_file_that_is_another_one_already_is_not_dialled_for(
    open_: Open, folder: Folder, content: bytes | None
) -> None:
    file = fixed(folder.has("a", BYTES))
    if content is None:
        (folder.root / "a").unlink()
    else:
        folder.has("a", content)
    with hostile(answers(OK)) as receiver:
        said = "does not exist" if content is None else "has changed since it was measured"
        broken(sends(open_(), receiver.url, file), said, sent=False)
        assert receiver.connections == 0


def changes_its_end(place: Path) -> None:
    with place.open("r+b") as file:
        file.seek(LARGE - 1)
        file.write(b"!")


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (changes_its_end, "changed while it was sent"),
        (lambda place: os.truncate(place, LARGE - 1), "became shorter while it was sent"),
        (lambda place: os.truncate(place, LARGE + 1), "became longer while it was sent"),
    ],
    ids=["changes", "shorter", "longer"],
)
def test_a_file_that_changes_on_its_way_breaks_the_upload_off_and_nothing_hangs(
    open_: Open, folder: Folder, large: FileContent, act: Callable[[Path], None], sentence: str
) -> None:
    with hostile(reads_after(lambda: act(folder.root / "large"))) as receiver:
        broken(sends(open_(), receiver.url, large), sentence)


def test_a_file_that_is_removed_on_its_way_arrives_as_it_was(open_: Open, folder: Folder, large: FileContent) -> None:
    def behave(peer: Peer) -> None:
        (folder.root / "large").unlink()
        if peer.read_request():
            peer.send(OK)

    with hostile(behave) as receiver:
        assert answered(sends(open_(), receiver.url, large)).status == 200
        assert receiver.requests[0].body == bytes(LARGE)


def test_an_upload_ends_at_its_deadline(open_: Open, large: FileContent) -> None:
    with hostile(frozen) as receiver:
        failure = failed(sends(open_(), receiver.url, large, deadline=0.6))
    assert (failure.error_class, failure.sent) == (ErrorClass.NO_ANSWER, True)


def test_a_connection_that_dies_is_not_tried_a_second_time(open_: Open, folder: Folder) -> None:
    file = fixed(folder.has("a", BYTES))
    with hostile(applies_and_closes_on_reuse) as receiver:
        transport = open_(concurrency=1)
        send(transport, receiver.url)
        assert failed(sends(transport, receiver.url, file)).sent
        assert [len(each.body) for each in receiver.requests] == [2, len(BYTES)]


def test_a_transport_that_is_closed_lets_go_of_its_files(kind: str, large: FileContent) -> None:
    with hostile(deaf) as receiver:
        transport = open_transport(kind, Channel(allow_addresses=LOOPBACK), 1)
        for token in range(3):
            transport.start(token, HttpRequest("PUT", receiver.url, {}, b"", large), 30)
        transport.poll(0.1)
        assert opened(large)
        transport.close()
    assert not opened(large)


def opened(file: FileContent) -> list[Path]:
    """The descriptors of this process that hold the file."""
    held = (each for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return [each for each in held if str(each.readlink()).endswith(file.name)]
