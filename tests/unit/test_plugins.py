"""Kinds and formats of other distributions: found by name, loaded when asked for, refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.config import ConfigError, load
from connectors.kind import ConnectorKind
from connectors.registry import kinds
from outbox.model import HmsSyncError
from tests.unit.mapping_support import a_change
from transformers import MappingError, TransformError, compile_mapping, definition_hash
from transformers.formats import formats

PROVIDED = """
from connectors.http.kind import KIND as http
from dataclasses import replace
from transformers.format import FormatKind

def cannot(*_):
    raise ZeroDivisionError("a defect")

class Upper:
    def complete(self, document, change):
        return dict(document)
    def encode(self, document, change):
        return document["a"].upper().encode()

BOARD = replace(http, name="board")
DEFECT = replace(http, name="defect", build=cannot)
UPPER = FormatKind("upper", "text/plain", lambda options, path: Upper())
BROKEN = FormatKind("broken", "text/plain", cannot)
"""


class Site:
    """A folder on the path in which distributions are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, version: str = "1.0", **points: str) -> None:
        """What pip leaves of a distribution; each point is ``connectors_NAME`` or ``formats_NAME``."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for point, target in points.items():
            group, _, named = point.partition("_")
            lines += [f"[hms_sync.{group}]", f"{named} = {target}"]
        (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    (tmp_path / "provided_by_them.py").write_text(PROVIDED)
    monkeypatch.syspath_prepend(str(tmp_path))
    kinds.cache_clear()
    formats.cache_clear()
    yield Site(tmp_path)
    kinds.cache_clear()
    formats.cache_clear()


def test_a_kind_of_another_distribution_stands_beside_ours(site: Site) -> None:
    site.install("board-connector", connectors_board="provided_by_them:BOARD")
    assert isinstance(kinds()["board"], ConnectorKind)
    assert list(kinds())[-1] == "board"
    assert (kinds().maker("board"), kinds().maker("http")) == ("board-connector 1.0", "")
    assert len(kinds()) == len(list(kinds()))


def test_a_broken_plug_in_troubles_only_who_asks_for_it(site: Site) -> None:
    site.install("board-connector", connectors_board="no_such_module:KIND")
    assert kinds()["http"].name == "http"
    with pytest.raises(HmsSyncError) as refused:
        kinds()["board"]
    assert str(refused.value) == (
        "the connector kind 'board' of board-connector 1.0 cannot be loaded: ModuleNotFoundError: "
        "No module named 'no_such_module'; mend or upgrade that package"
    )


@pytest.mark.parametrize("target", ["provided_by_them:UPPER", "provided_by_them:DEFECT"])
def test_what_is_no_kind_of_that_name_is_refused(site: Site, target: str) -> None:
    site.install("board-connector", connectors_board=target)
    with pytest.raises(HmsSyncError, match=f"board-connector 1.0 cannot be loaded: {target} is no ConnectorKind of"):
        kinds()["board"]


def test_a_name_of_ours_is_taken(site: Site) -> None:
    site.install("evil", connectors_sql="provided_by_them:BOARD", formats_json="provided_by_them:UPPER")
    with pytest.raises(HmsSyncError, match=r"evil 1.0 adds the connector kind 'sql', which hms-sync itself has"):
        kinds()
    with pytest.raises(HmsSyncError, match=r"evil 1.0 adds the format 'json', which hms-sync itself has"):
        formats()


def test_a_name_of_somebody_else_is_taken(site: Site) -> None:
    site.install("one", connectors_board="provided_by_them:BOARD")
    site.install("other", connectors_board="provided_by_them:BOARD")
    with pytest.raises(HmsSyncError, match=r"(one|other) 1.0 adds .*'board', which (one|other) 1.0 has already"):
        kinds()


# ---------------------------------------------------------------- in a config


CONFIG = """
version: 1
database: {{dsn: "postgresql://localhost/x"}}
capture: {{hearing: {{table: public.hearing, columns: [id, a]}}}}
connectors:
  Board:
    kind: {kind}
    url: https://board.example
    options: {{create: {{method: PUT, path: "/{{a}}"}}}}
    routes: {{hearing: {{mapping: m}}}}
mappings:
  m: {{output: {output}, fields: {{a: a}}}}
"""


def loaded(folder: Path, kind: str, output: str = "upper") -> str:
    """The subject of the verdict, where the config can be used."""
    path = folder / "sync-config.yml"
    path.write_text(CONFIG.format(kind=kind, output=output))
    return load(path).subject("Board")


def test_a_config_names_them_like_ours(site: Site) -> None:
    site.install("theirs", connectors_board="provided_by_them:BOARD", formats_upper="provided_by_them:UPPER")
    assert loaded(site.folder, "board")


def test_another_version_of_the_plug_in_needs_another_verdict(site: Site) -> None:
    site.install("theirs", connectors_board="provided_by_them:BOARD", formats_upper="provided_by_them:UPPER")
    before, mapping = loaded(site.folder, "board"), definition_hash({"output": "upper"})
    (site.folder / "theirs-1.0.dist-info").rename(site.folder / "theirs-2.0.dist-info")
    metadata = site.folder / "theirs-2.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "2.0"))
    kinds.cache_clear()
    formats.cache_clear()
    assert loaded(site.folder, "board") != before
    assert definition_hash({"output": "upper"}) != mapping


@pytest.mark.parametrize(
    ("kind", "output", "sentence"),
    [
        (
            "lost",
            "json",
            "connectors.Board.kind: the connector kind 'lost' of theirs 1.0 cannot be loaded: ModuleNotFound",
        ),
        ("defect", "json", "the kind 'defect' of theirs-too 1.0 cannot build it: ZeroDivisionError: a defect"),
        ("http", "gone", "mappings.m.output: the format 'gone' of theirs 1.0 cannot be loaded: AttributeError"),
        ("http", "broken", "mappings.m: the format broken of theirs-too 1.0 failed: ZeroDivisionError: a defect"),
    ],
)
def test_a_broken_plug_in_is_a_mistake_of_the_config_at_its_place(
    site: Site, kind: str, output: str, sentence: str
) -> None:
    site.install("theirs", connectors_lost="no_such_module:KIND", formats_gone="provided_by_them:NOTHING")
    site.install("theirs-too", connectors_defect="provided_by_them:DEFECT", formats_broken="provided_by_them:BROKEN")
    with pytest.raises(ConfigError) as refused:
        loaded(site.folder, kind, output)
    assert sentence in str(refused.value)


def test_a_defect_of_a_format_fails_the_record_and_names_the_distribution(site: Site) -> None:
    site.install("theirs", formats_upper="provided_by_them:UPPER")
    transformer = compile_mapping("m", {"output": "upper", "fields": {"a": "a"}})
    made = transformer(a_change({"a": "x"}))
    assert made is not None
    assert (made.body, made.content_type) == (b"X", "text/plain")
    with pytest.raises(TransformError, match=r"the format upper of theirs 1.0 failed on .*AttributeError"):
        transformer(a_change({"a": 1}))


def test_the_options_of_a_format_stand_under_its_name(site: Site) -> None:
    site.install("theirs", formats_upper="provided_by_them:UPPER")
    compile_mapping("m", {"output": "upper", "upper": {}, "fields": {"a": "a"}})
    with pytest.raises(MappingError, match=r"mappings.m.upper: only for output: upper"):
        compile_mapping("m", {"upper": {}, "fields": {"a": "a"}})
