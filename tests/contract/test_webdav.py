"""The ``webdav`` kind against WsgiDAV and Apache's mod_dav; what happened is read from their own folders.

The contract of every kind, and what only this one has.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import pytest
import requests

from connectors.channel import Channel
from connectors.kind import probe_problem
from connectors.registry import kinds
from connectors.transports import open_transport
from connectors.webdav.connector import WebDavConnector
from connectors.webdav.options import WebDavOptions
from connectors.webdav.properties import METADATA, OURS, ask, read
from hms_sync.testing import ConnectorContract, Platform
from outbox.model import Action, ErrorClass, Guarantee, Message, Operation, Outcome, Rejected, Unknown
from tests.receivers import apache_dav, nginx_dav, wsgidav
from tests.records import TEN_MEGABYTES, Record, applied, open_record
from tests.wire import LOOPBACK

ANYBODY = Channel(allow_addresses=LOOPBACK)
FIRST = ["PROPFIND", "PUT", "PROPPATCH", "MOVE", "PROPFIND"]


@dataclass(frozen=True)
class Server:
    url: str
    files: Path

    def all(self) -> dict[str, bytes]:
        """Every file by its path, with those that the server keeps for itself left out."""
        found = {
            str(each.relative_to(self.files)): each.read_bytes() for each in self.files.rglob("*") if each.is_file()
        }
        return {name: content for name, content in found.items() if "/.DAV/" not in f"/{name}"}

    def replaced_by_somebody(self, path: str, content: bytes) -> None:
        assert requests.put(self.url + path, data=content, timeout=5).status_code == 204


@pytest.fixture(scope="module", params=["wsgidav", "apache"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    with {"wsgidav": wsgidav, "apache": apache_dav}[request.param](folder) as url:
        yield Server(url, folder / "files")


class Files(Platform):
    """A file server as the contract sees it; the text is the content of a file."""

    kind = kinds()["webdav"]
    channel = ANYBODY
    long_text = TEN_MEGABYTES

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self.nowhere = f"{server.url}/nowhere"
        self.options = {"path": "/contract/{record_key}.txt"}
        self._server = server

    def upsert(self, key: str, text: str) -> Message:
        return Message(Action.UPSERT, {}, text.encode(), "text/plain")

    def delete(self, key: str) -> Message:
        return Message(Action.DELETE, {})

    def read(self, key: str) -> str | None:
        folder = self._server.files / "contract"
        assert not list(folder.glob(".hms-sync-*")), "something was left under a temporary name"
        file = folder / f"{key}.txt"
        return file.read_bytes().decode() if file.exists() else None

    def remove(self, key: str) -> None:
        (self._server.files / "contract" / f"{key}.txt").unlink()

    def edit(self, key: str, text: str) -> None:
        self._server.replaced_by_somebody(f"/contract/{key}.txt", text.encode())


class TestWebDav(ConnectorContract):
    @pytest.fixture
    def platform(self, server: Server) -> Files:
        return Files(server)


def filed_at_once(url: str, gate: Barrier, number: int) -> Outcome:
    with open_record(connector(url, path=f"/at-once-{number // 8}/{{record_key}}.txt"), ANYBODY) as record:
        record.last = 1000 * number
        gate.wait(20)
        return record.put(b"x")


def test_files_that_need_the_same_new_folder_at_once_all_arrive(server: Server) -> None:
    """Of two that make it one is refused: WsgiDAV answers 500 to it."""
    gate = Barrier(8)
    with ThreadPoolExecutor(8) as clerks:
        outcomes = list(clerks.map(lambda number: filed_at_once(server.url, gate, number), range(10 * 8)))
    for outcome in outcomes:
        applied(outcome)


def connector(url: str, **options: str) -> WebDavConnector:
    return WebDavConnector(url, WebDavOptions.model_validate({"path": "/rulings/{case}/{record_key}.txt"} | options))


@pytest.fixture
def record(server: Server) -> Iterator[Record]:
    with open_record(connector(server.url), ANYBODY) as record:
        yield record


@pytest.fixture
def polite(server: Server) -> Iterator[Record]:
    """A record whose connector keeps what third parties edited."""
    with open_record(connector(server.url, conflict="theirs"), ANYBODY) as record:
        yield record


def at(record: Record) -> str:
    return f"rulings/A-17/{record.key}.txt"


def held(server: Server, record: Record) -> bytes | None:
    """The file of the record; nothing but it may stand beside it."""
    beside = {name for name in server.all() if record.key in name or name.startswith("rulings/A-17/.hms-sync-")}
    assert beside <= {at(record)}
    return server.all().get(at(record))


def rejected(outcome: Outcome, error_class: ErrorClass, *, platform: bool = False) -> str:
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.error_class, outcome.platform) == (error_class, platform)
    return outcome.reason


def test_collections_on_the_way_are_made_once(server: Server) -> None:
    path = "/new {record_key}/a/b.txt".replace(" ", "%20")
    with open_record(connector(server.url, path=path), ANYBODY) as record:
        applied(record.put(b"x"))
        assert record.wire.sent == ["PROPFIND", "PUT", "MKCOL", "MKCOL", *FIRST[1:]]
        record.wire.sent.clear()
        applied(record.put(b"y"))
        assert record.wire.sent == FIRST
        assert server.all()[f"new {record.key}/a/b.txt"] == b"y"


@pytest.mark.parametrize("key", ["a/b", "ä & <x>", "%2e%2e", '["A1", 2]', "a'b,c=(d)"])
def test_any_key_has_one_file_that_can_be_written_twice(server: Server, key: str) -> None:
    """WsgiDAV cuts an address at ; ? and #, so such keys need the default path there."""
    for path in ("/odd/{record_name}", "/odd/{record_key}"):
        with open_record(connector(server.url, path=path), ANYBODY) as record:
            record.key = key
            if path == "/odd/{record_key}" and "/" in key:
                assert "holds a slash" in rejected(record.put(b"first"), ErrorClass.MAPPING)
                return
            for content in (b"first", b"second"):
                applied(record.put(content))
            (name,) = [name.removeprefix("odd/") for name in server.all() if name.startswith("odd/")]
            assert (name == key) == (path == "/odd/{record_key}")
            applied(record.delete())
            assert not [name for name in server.all() if name.startswith("odd/")]


def test_what_describes_the_file_is_kept_beside_it(server: Server, record: Record) -> None:
    record.metadata = {"case_no": "A-17 <ä>"}
    applied(record.put(b"hi"))
    names = (f"{{{METADATA}}}case_no", f"{{{OURS}}}sha256")
    answer = requests.request(
        "PROPFIND", f"{server.url}/{at(record)}", data=ask(*names), headers={"Depth": "0"}, timeout=5
    )
    kept = read(answer.content)
    assert kept is not None
    assert kept.found == {
        names[0]: "A-17 <ä>",
        names[1]: "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",
    }


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("step", ["PUT", "PROPPATCH", "MOVE"])
def test_a_write_in_doubt_is_looked_up_and_done_once(
    server: Server, record: Record, step: str, *, arrives: bool
) -> None:
    record.wire.only = step
    for content in (b"first", b"second"):  # a create, then an update
        delivery = record.delivery()
        record.wire.lose_next_answer, record.wire.lose_next_request = arrives, not arrives
        assert isinstance(record.send(delivery, content).outcome, Unknown)
        record.wire.sent.clear()
        applied(record.again(delivery, content))
        assert record.wire.sent == (["PROPFIND"] if arrives and step == "MOVE" else FIRST)
        assert held(server, record) == content


def test_a_straggler_never_overwrites_or_removes_something_newer(server: Server, record: Record) -> None:
    applied(record.put(b"first"))
    known = record.remote
    stale, removal = record.delivery(), record.delivery(Operation.DELETE)
    applied(record.put(b"newest"))
    for late in (stale, removal):
        record.remote = known
        assert "past this change" in applied(record.send(late, b"stale").outcome).answer.excerpt
        assert held(server, record) == b"newest"


def test_a_file_of_somebody_else_at_the_address_is_kept_where_configured(server: Server, polite: Record) -> None:
    (server.files / at(polite)).parent.mkdir(parents=True, exist_ok=True)
    (server.files / at(polite)).write_bytes(b"theirs")
    rejected(polite.put(b"ours"), ErrorClass.CONFLICT)
    assert held(server, polite) == b"theirs"


def test_what_the_ledger_forgot_is_found_again(server: Server, polite: Record) -> None:
    applied(polite.put(b"first"))
    polite.remote = None
    applied(polite.put(b"second"))
    assert held(server, polite) == b"second"


def test_a_body_that_breaks_off_leaves_the_old_file(server: Server, record: Record) -> None:
    applied(record.put(b"first"))
    delivery = record.delivery()
    record.wire.cut_next_body = 3
    assert isinstance(record.send(delivery, b"second, longer").outcome, Unknown)
    assert server.all()[at(record)] == b"first"
    applied(record.again(delivery, b"second, longer"))
    assert held(server, record) == b"second, longer"


def test_a_server_that_keeps_no_properties_stops_the_connector(tmp_path: Path) -> None:
    """nginx: its MOVE minds no version, and nothing can be kept beside a file."""
    with nginx_dav(tmp_path) as url, open_record(connector(url), ANYBODY) as record:
        reason = rejected(record.put(b"x"), ErrorClass.MISCONFIGURED, platform=True)
        assert "does not keep properties of files (HTTP 405)" in reason
        assert "kind http with PUT" in reason
        assert Server(url, tmp_path / "files").all() == {}


def test_the_probe_tells_what_is_wrong(server: Server) -> None:
    kind = kinds()["webdav"]
    assert kind.probe is not None
    for url, expected in ((server.url, ""), (f"{server.url}/nowhere", "no such resource")):
        transport = open_transport("curl", ANYBODY, 1)
        assert expected in (probe_problem(transport, kind.probe(url, kind.options()), 5) or "")
        transport.close()


def test_it_promises_no_more_than_was_seen() -> None:
    assert connector("https://files.example").guarantee is Guarantee.CONVERGE
