"""One file per record: its bytes from a column, what it is (type, name, checksum), and what describes it (metadata).

The document of the mapping keeps everything but the bytes, so that templates of URLs and headers can name it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from outbox.model import Action, Change, Json, Message
from transformers.body import check_document, check_size
from transformers.definition import Node
from transformers.errors import TransformError, Unfit, show
from transformers.format import FormatKind
from transformers.rows import missing
from transformers.values import text_of

OWN = ("content", "content_type", "file_name", "sha256")
"""The fields with a meaning; every other one is metadata."""
UNKNOWN_TYPE = "application/octet-stream"
_FORMS = ("bytes", "text")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*( ?;[ -~]*)?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SHA256 = re.compile(r"(?:\\x)?([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class DocumentFormat:
    """The ``document:`` block of a mapping."""

    path: str
    form: str = "bytes"

    def message(self, action: Action, made: Mapping[str, Json], _change: Change) -> Message:
        """The whole message; a delete needs no content."""
        known: dict[str, Json] = {name: value for name, value in made.items() if name != "content"}
        check_document(known, self.path)
        described = {name: self._described(name, known.get(name)) for name in ("content_type", "file_name")}
        metadata = self._metadata(known)
        body = self._content(made) if action is Action.UPSERT else b""
        document: dict[str, Json] = {name: value for name, value in described.items() if value} | metadata
        if action is Action.UPSERT:
            document |= {"sha256": self._checksum(body, known.get("sha256")), "size": len(body)}
        content_type = self._type(described["content_type"])
        return Message(action, document, body, content_type, {each: metadata[each] for each in sorted(metadata)})

    def _content(self, made: Mapping[str, Json]) -> bytes:
        value = made.get("content")
        if reason := missing(value):
            raise self._fail("content", f"the value {reason} and cannot be mapped")
        if not isinstance(value, str):
            raise self._fail("content", f"a document needs {self.form}, found {show(value)}")
        try:
            body = value.encode() if self.form == "text" else _bytes(value)
        except ValueError:
            raise self._fail("content", f"{show(value)} is not {_MEANING[self.form]}") from None
        return check_size(body, self.path)

    def _checksum(self, body: bytes, expected: Json) -> str:
        found = hashlib.sha256(body).hexdigest()
        if expected is not None and self._hexadecimal(expected) != found:
            raise self._fail("sha256", f"the content has another one ({found}), so one of the two is wrong")
        return found

    def _hexadecimal(self, value: Json) -> str:
        written = _SHA256.fullmatch(value) if isinstance(value, str) else None
        if written is None:
            raise self._fail("sha256", f"{show(value)} is not a SHA-256 (64 hex digits, or a bytea of 32 bytes)")
        return written[1].lower()

    def _metadata(self, known: Mapping[str, Json]) -> dict[str, str]:
        values = {name: self._described(name, value) for name, value in known.items() if name not in OWN}
        return {name: value for name, value in values.items() if value}

    def _described(self, name: str, value: Json) -> str:
        """One line of text: control characters, which neither headers nor XML can hold, become blanks."""
        try:
            text = "" if value is None else text_of(value)
        except Unfit as reason:
            raise self._fail(name, f"{show(value)}: {reason}") from None
        return "".join(each if each.isprintable() else " " for each in text).strip()

    def _type(self, text: str) -> str:
        if text and not _TYPE.fullmatch(text):
            raise self._fail("content_type", f"{show(text)} is not a media type such as application/pdf")
        return text or UNKNOWN_TYPE

    def _fail(self, name: str, reason: str) -> TransformError:
        return TransformError(f"{self.path}.{name}: {reason}")


def _bytes(value: str) -> bytes:
    if not value.startswith("\\x"):
        raise ValueError(value)
    return bytes.fromhex(value[2:])


_MEANING = {"bytes": "a bytea (\\x followed by hex digits)", "text": "text that can be written as UTF-8"}


def _compile(options: Node | None, path: str, _fields: Collection[str]) -> DocumentFormat:
    if options is None:
        return DocumentFormat(path)
    spec = options.object(("content",))
    return DocumentFormat(path, options.child("content").choice(_FORMS) if "content" in spec else "bytes")


def _check_fields(node: Node, names: Collection[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name) or name == "size":
            raise node.fail(f"{show(name)} cannot name metadata: letters, digits and _, at most 64, and not size")
    if "content" not in names:
        raise node.fail("a document needs content")


DOCUMENT = FormatKind("document", UNKNOWN_TYPE, _compile, _check_fields, deletes_have_bodies=False)
