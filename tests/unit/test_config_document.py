"""Safe YAML with positions: what is refused, and where it says so."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from cdc.config.document import MAX_BYTES, parse, read
from cdc.config.mistakes import ConfigError, did_you_mean, path_text
from outbox.model import Json


def complaint(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, file="f.yml")
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", ["f.yml:3: a: this key stands already in line 1; remove one of them"]),
        (
            "a:\n  b: 1\n  b: 2\n  c: 1\n  c: 2\n",
            [
                "f.yml:3: a.b: this key stands already in line 2; remove one of them",
                "f.yml:5: a.c: this key stands already in line 4; remove one of them",
            ],
        ),
        (
            "a: &x 1\nb: *x\n",
            [
                "f.yml:1: a: uses an anchor or alias (&, *), which are not allowed; write the value out",
                "f.yml:2: b: uses an anchor or alias (&, *), which are not allowed; write the value out",
            ],
        ),
        (
            "a: !!python/object/apply:os.system ['true']\n",
            ["f.yml:1: a: uses a tag (!), which is not allowed; write a plain value"],
        ),
        ("a: 1\n---\nb: 2\n", ["f.yml:2: a second document begins here (---); keep one per file"]),
        (
            "a: [1, 2\nb: 3\n",
            ["f.yml:2: is not YAML: did not find expected ',' or ']' (check brackets and indentation)"],
        ),
        (
            "a: b: c\n",
            ["f.yml:1: is not YAML: mapping values are not allowed in this context (check brackets and indentation)"],
        ),
        (
            "a: x\n\ty: z\n",
            ["f.yml:2: is not YAML: found a tab character that violates indentation (check brackets and indentation)"],
        ),
        ("a: 1\nb: \x07\n", ["f.yml:2: holds a control character (remove it)"]),
        (
            "{[1, 2]: 3}\n",
            ["f.yml:1: a key must be a word (a value that begins with { or [ or ${ needs quotes)"],
        ),
        ("[" * 40 + "]" * 40, ["f.yml:1: " + "[0]" * 33 + ": is nested deeper than 32 levels (flatten it)"]),
    ],
)
def test_what_is_refused_is_named_with_line_and_path(text: str, lines: list[str]) -> None:
    assert complaint(text) == lines


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-12", -12),
        ("0.1", Decimal("0.1")),
        ("1e3", Decimal("1e3")),
        ("01067", "01067"),
        ("0x10", "0x10"),
        ("10:30", "10:30"),
        ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"),
        (".inf", ".inf"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("|\n  12\n", "12\n"),
    ],
)
def test_plain_values_are_what_they_look_like(text: str, value: Json) -> None:
    found = parse(f"a: {text}", file="f.yml").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_always_words() -> None:
    assert parse("{1: a, true: b, on: c, ~: d}", file="f.yml").data == {"1": "a", "true": "b", "on": "c", "~": "d"}


def test_every_node_knows_its_place() -> None:
    document = parse("a:\n  b:\n    - x\n    - y: 1\n", file="f.yml")
    assert document.positions == {
        ("a",): (1, 1),
        ("a", "b"): (2, 3),
        ("a", "b", 0): (3, 7),
        ("a", "b", 1): (4, 7),
        ("a", "b", 1, "y"): (4, 7),
    }


def test_a_node_that_is_not_there_is_placed_at_its_parent() -> None:
    document = parse("x: 1\na:\n  b: 1\n", file="f.yml")
    assert str(document.mistake(("a", "c", 3), "is missing")) == "f.yml:2: a.c[3]: is missing"


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "big.yml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=r"big\.yml: is larger than 1000000 bytes"):
        read(file)


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    file = tmp_path / "big.yml"
    file.write_bytes(b"#" * (MAX_BYTES - 5) + b"\na: 1")
    assert read(file).data == {"a": 1}


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml: cannot be read: No such file or directory"):
        read(tmp_path / "none.yml")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yml"
    file.write_bytes(b"a: 1\nb: \xe4\n")
    with pytest.raises(ConfigError, match=r"latin\.yml:2: is not UTF-8 text"):
        read(file)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "bom.yml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(file).data == {"a": 1}


def test_mistakes_are_machine_readable() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("a: 1\na: 2\n", file="f.yml")
    sentence = "this key stands already in line 1; remove one of them"
    assert caught.value.as_json() == [{"file": "f.yml", "line": 2, "path": "a", "sentence": sentence}]


def test_paths_read_like_the_file() -> None:
    assert path_text(("connectors", "X", "allow_addresses", 0)) == "connectors.X.allow_addresses[0]"


def test_the_nearest_word_is_offered() -> None:
    assert did_you_mean("schedular", ["http", "scheduler"]) == "did you mean 'scheduler'?"
    assert did_you_mean("zzz", ["http", "scheduler"]) == "known here: http, scheduler"
    assert did_you_mean("zzz", []) == "none is defined"
