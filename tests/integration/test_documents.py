"""A daemon that delivers documents by reference: from the row that names a file to the file on a WebDAV server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import Folder, Shelf, shelf
from tests.fixtures.command_line import Hms
from tests.harness.premises import Office, opened, until


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "dav").mkdir()
    with shelf("webdav", tmp_path / "dav") as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "documents").mkdir()
    return Folder(tmp_path / "documents")


@pytest.fixture
def office(dsn: str, tmp_path: Path, platform: Shelf, folder: Folder) -> Iterator[Office]:
    with opened(dsn, tmp_path) as made:
        common = {"allow_addresses": ["127.0.0.0/8"], "deadline": "2s"}
        made.settings["connectors"] = {
            "Archive": {
                "kind": "webdav",
                "url": platform.url,
                "options": {"path": "/{id}.txt"},
                "routes": {"hearing": {"mapping": "file"}},
                **common,
            },
            "Board": {
                "kind": "http",
                "url": made.board.client.url,
                "options": {"create": {"method": "PUT", "path": "/hearings/{id}"}},
                "routes": {"hearing": {"mapping": "careless"}},
                **common,
            },
        }
        made.settings["mappings"] = {
            "file": {
                "output": "document",
                "document": {"content": "file", "root": str(folder.root)},
                "fields": {"content": "title", "case": "id"},
            },
            "careless": {"python": "tests.unit.mapping_plugins:names_a_file"},
        }
        made.save()
        yield made


@pytest.mark.timeout(120)
def test_a_row_names_a_file_and_what_cannot_be_sent_stops_only_itself(
    office: Office, platform: Shelf, folder: Folder, hms: Hms
) -> None:
    folder.has("a", b"first")
    folder.has("b", b"second")
    with office.served():
        office.file(1, title="a")
        office.file(2, title="late")
        office.file(3, title="../sync-config.yml")
        office.file(4, title="b")
        office.settled("Archive")
        assert {name: platform.read(name) for name in platform.names()} == {"1.txt": b"first", "4.txt": b"second"}
        late, outside = office.deliveries("Archive")
        assert (late["state"], late["error_class"], outside["state"]) == ("dead", "mapping", "dead")
        assert "'late' below" in late["last_error"]
        assert "is not a path below its root" in outside["last_error"]
        folder.has("late", b"third")
        said = hms("-c", str(office.path), "replay", "run", "--record", "hearing:2", "--connector", "Archive", "--yes",
                   "--reason", "the file is there now")  # fmt: skip
        assert said.code == 0, said
        until(lambda: "2.txt" in platform.names(), office.report)
        office.execute("DELETE FROM public.hearing WHERE id = 1")
        office.settled("Archive", "Board")
    assert {name: platform.read(name) for name in platform.names()} == {"2.txt": b"third", "4.txt": b"second"}
    told = office.deliveries("Board")
    assert {row["state"] for row in told} == {"dead"}
    assert "takes contents of columns only" in told[0]["last_error"]
    assert office.board.hearings() == {}
