"""Safe YAML that knows where everything stands.

Built from parser events, not from a loader: no tags, no anchors, no repeated keys, YAML 1.2 plain types
(so that the key ``on`` stays a word), and a line for every node, so that each later mistake can name it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from cdc.config.mistakes import ConfigError, KeyPath, Mistake, path_text
from outbox.model import Json

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 32

_Loader: TypeAlias = type[yaml.SafeLoader] | type[yaml.CSafeLoader]
_LOADER: _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The numbers of JSON: a postcode such as 01067 stays text.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,40})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?")
_WORDS: Final[dict[str, Json]] = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: plain data, and the line and column of every node by its path."""

    file: str
    data: Json
    positions: dict[KeyPath, tuple[int, int]]

    def mistake(self, path: KeyPath, sentence: str) -> Mistake:
        """A mistake at ``path``; a node that is not there is placed at the nearest one above it."""
        known = path
        while known and known not in self.positions:
            known = known[:-1]
        return Mistake(self.file, self.positions.get(known, (1, 1))[0], path_text(path), sentence)

    def at(self, path: KeyPath) -> Json:
        """The node at ``path``, None where there is none."""
        node = self.data
        for part in path:
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return None
        return node


def read(path: Path) -> Document:
    """The document in ``path``. Raises :class:`ConfigError` with all mistakes of form."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        cure = "name it with --config, or let `hms-sync init` write one" if isinstance(error, FileNotFoundError) else ""
        why = f"{error.strerror} ({cure or 'check the path and its permissions'})"
        raise _whole(path, f"cannot be read: {why}") from error
    if len(content) > MAX_BYTES:
        raise _whole(path, f"is larger than {MAX_BYTES} bytes (a config is a few pages)")
    try:
        return parse(content.decode("utf-8-sig"), file=str(path))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Mistake(str(path), line, "", "is not UTF-8 text (save the file as UTF-8)")]) from error


def parse(text: str, *, file: str) -> Document:
    """The document in ``text``. Raises :class:`ConfigError` with all mistakes of form."""
    builder = _Builder(file)
    try:
        builder.run(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        builder.mistakes.append(_syntax_mistake(file, text, error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        builder.mistakes.append(Mistake(file, line, "", "holds a control character (remove it)"))
    if builder.mistakes:
        raise ConfigError(builder.mistakes)
    return Document(file, builder.root, builder.positions)


def _syntax_mistake(file: str, text: str, error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    source = text.splitlines()[line : line + 1]
    cure = 'put "${…}" in quotes' if "${" in "".join(source) else "check brackets and indentation"
    return Mistake(file, line + 1, "", f"is not YAML: {error.problem} ({cure})")


def _whole(path: Path, sentence: str) -> ConfigError:
    return ConfigError([Mistake(str(path), 0, "", sentence)])


@dataclass(slots=True)
class _Open:
    """A mapping or list under construction; ``key`` is the pending key of a mapping."""

    node: dict[str, Json] | list[Json]
    path: KeyPath
    key: str | None = None

    def step(self) -> KeyPath:
        part = len(self.node) if isinstance(self.node, list) else (self.key or "")
        return (*self.path, part)

    def put(self, value: Json) -> None:
        if isinstance(self.node, list):
            self.node.append(value)
            return
        self.node.setdefault(self.key or "", value)
        self.key = None


@dataclass(slots=True)
class _Builder:
    file: str
    root: Json = None
    positions: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    _stack: list[_Open] = field(default_factory=list)
    _documents: int = 0

    def run(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            self._refuse_references(event)
            handler = _HANDLERS.get(type(event))
            if handler is not None:
                handler(self, event)
            if len(self._stack) > MAX_DEPTH:
                self._complain(event, f"is nested deeper than {MAX_DEPTH} levels (flatten it)")
                return

    def _refuse_references(self, event: yaml.Event) -> None:
        if getattr(event, "anchor", None) is not None:
            self._complain(event, "uses an anchor or alias (&, *), which are not allowed; write the value out")
        if getattr(event, "tag", None) is not None:
            self._complain(event, "uses a tag (!), which is not allowed; write a plain value")

    def document(self, event: yaml.Event) -> None:
        self._documents += 1
        if self._documents == 2:
            self._complain(event, "a second document begins here (---); keep one per file")

    def alias(self, event: yaml.Event) -> None:
        self._value(event, None)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.node, dict) and top.key is None:
            self._open_key(event, top)
        else:
            self._value(event, _plain(event))

    def _open_key(self, event: yaml.ScalarEvent, top: _Open) -> None:
        top.key = event.value
        path = top.step()
        if event.value in top.node:
            first = self.positions[path][0]
            self._complain(event, f"this key stands already in line {first}; remove one of them", path)
        self.positions.setdefault(path, _place(event))

    def mapping(self, event: yaml.Event) -> None:
        self._begin(event, {})

    def sequence(self, event: yaml.Event) -> None:
        self._begin(event, [])

    def _begin(self, event: yaml.Event, node: dict[str, Json] | list[Json]) -> None:
        path = self._stack[-1].step() if self._stack else ()
        if self._is_key():
            self._complain(event, "a key must be a word (a value that begins with { or [ or ${ needs quotes)")
        self._value(event, node)
        self._stack.append(_Open(node, path))

    def end(self, _event: yaml.Event) -> None:
        self._stack.pop()

    def _is_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node, dict) and self._stack[-1].key is None

    def _value(self, event: yaml.Event, value: Json) -> None:
        if not self._stack:
            self.root = value
            return
        if self._is_key():
            self._stack[-1].key = ""
            return
        self.positions.setdefault(self._stack[-1].step(), _place(event))
        self._stack[-1].put(value)

    def _complain(self, event: yaml.Event, sentence: str, path: KeyPath | None = None) -> None:
        if path is None:
            path = self._stack[-1].step() if self._stack else ()
        self.mistakes.append(Mistake(self.file, _place(event)[0], path_text(path), sentence))


_HANDLERS: Final[dict[type[yaml.Event], Callable[[_Builder, yaml.Event], None]]] = {
    yaml.DocumentStartEvent: _Builder.document,
    yaml.AliasEvent: _Builder.alias,
    yaml.ScalarEvent: _Builder.scalar,  # type: ignore[dict-item]
    yaml.MappingStartEvent: _Builder.mapping,
    yaml.SequenceStartEvent: _Builder.sequence,
    yaml.MappingEndEvent: _Builder.end,
    yaml.SequenceEndEvent: _Builder.end,
}


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _plain(event: yaml.ScalarEvent) -> Json:
    """The value of a scalar: quoted is text, unquoted may be null, a truth value or an exact number."""
    text: str = event.value
    if event.style in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return Decimal(text) if _DECIMAL.fullmatch(text) else text
