"""However a config is damaged, it ends as a Config or as sentences: never as a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cdc.config import Config, ConfigError, load

DATA = Path(__file__).parents[1] / "data"
TEXT = (DATA / "sync-config.yml").read_text().replace("schemas/", f"{DATA}/schemas/")
WORDS = [
    "id",
    "http",
    "caldav",
    "${HMS_DSN}",
    "${file:../x}",
    "10s",
    "-1",
    "9" * 400,
    "\x00",
    "a.b",
    "/",
    "[",
    "\ud7ff",
    "é",
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=20),
    st.binary(max_size=3),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)
SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def loaded(file: Path) -> Config | ConfigError:
    try:
        return load(file, environment={"HMS_DSN": "postgresql://h/d", "SCHEDULER_TOKEN": "t"})
    except ConfigError as error:
        return error


def examine(folder: Path, content: bytes) -> None:
    file = folder / "sync-config.yml"
    file.write_bytes(content)
    result = loaded(file)
    if isinstance(result, Config):
        assert all(result.mapping_version(name) for name in result.connectors)
        return
    assert result.mistakes
    assert all(mistake.sentence and str(mistake).isprintable() for mistake in result.mistakes)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in keys for place in places(value, (*path, key)))]


PLACES = places(yaml.safe_load(TEXT))[1:]


@SLOW
@given(place=st.sampled_from(PLACES), value=VALUES)
@example(place=("mappings", "case_for_archive", "output"), value=[])
@example(place=("connectors", "Archive", "kind"), value={})
def test_any_value_at_any_place(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    data = yaml.safe_load(TEXT)
    node = data
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = value
    examine(tmp_path, yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass"))


@SLOW
@given(place=st.sampled_from(PLACES))
def test_any_key_missing(tmp_path: Path, place: tuple[Any, ...]) -> None:
    data = yaml.safe_load(TEXT)
    node = data
    for part in place[:-1]:
        node = node[part]
    del node[place[-1]]
    examine(tmp_path, yaml.safe_dump(data).encode())


@SLOW
@example(start=263, length=7, put="0\n\n")
@given(
    start=st.integers(0, len(TEXT)),
    length=st.integers(0, 40),
    put=st.text(alphabet="{}[]:,&*!|>'\"%@`#-?\n\t $\\abc01é\x00\ufeff", max_size=8) | st.binary(max_size=6),
)
def test_any_damage_to_the_text(tmp_path: Path, start: int, length: int, put: str | bytes) -> None:
    piece = put if isinstance(put, bytes) else put.encode()
    content = TEXT.encode()
    examine(tmp_path, content[:start] + piece + content[start + length :])


@SLOW
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_at_all(tmp_path: Path, content: bytes) -> None:
    examine(tmp_path, content)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 50_000,
        "- " * 20_000 + "x",
        "a:\n" + "".join(f"{' ' * depth}b:\n" for depth in range(1, 300)),
        "? " * 5_000,
        "a: " + "9" * 100_000,
        "a: 1e999999999",
        '"' + "\\" * 9_999,
        "version: 1\nmappings: {m: {fields: {x: {expr: '" + "(" * 1_500 + "'}}}}",
        "version: 1\ndatabase: {dsn: '" + "$" * 50_000 + "'}",
        "version: 1\ndatabase: {dsn: '" + "${" * 20_000 + "'}",
        "version: 1\ndatabase: {dsn: '" + "${A:-" * 10_000 + "'}",
        "version: 1\n" + "x" * 200_000 + ": 1",
    ],
)
def test_hostile_texts_end_soon_and_in_sentences(tmp_path: Path, text: str) -> None:
    examine(tmp_path, text.encode())
