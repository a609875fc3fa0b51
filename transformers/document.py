"""One file per record: its bytes from a column or its name, what it is (type, name, checksum), and what describes it.

The document of the mapping keeps everything but the bytes, so that templates of URLs and headers can name it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from outbox.model import Action, Change, FileContent, Json, Message
from transformers.body import check_document, check_size
from transformers.definition import Node
from transformers.errors import TransformError, Unfit, show
from transformers.format import FormatKind
from transformers.rows import missing
from transformers.values import text_of

OWN = ("content", "content_type", "file_name", "sha256")
"""The fields with a meaning; every other one is metadata."""
UNKNOWN_TYPE = "application/octet-stream"
_FORMS = ("bytes", "text", "file")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*( ?;[ -~]*)?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SHA256 = re.compile(r"(?:\\x)?([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class DocumentFormat:
    """The ``document:`` block of a mapping."""

    path: str
    form: str = "bytes"
    root: str = ""
    """The folder of the files that ``content`` names; empty where it is the content itself."""

    def message(self, action: Action, made: Mapping[str, Json], _change: Change) -> Message:
        """The whole message; a delete needs no content."""
        known: dict[str, Json] = {name: value for name, value in made.items() if name != "content"}
        check_document(known, self.path)
        described = {name: self._described(name, known.get(name)) for name in ("content_type", "file_name")}
        metadata = self._metadata(known)
        body, file, facts = self._carried(made) if action is Action.UPSERT else (b"", None, {})
        document: dict[str, Json] = {name: value for name, value in described.items() if value} | metadata | facts
        content_type = self._type(described["content_type"])
        lines = {each: metadata[each] for each in sorted(metadata)}
        return Message(action, document, body, content_type, lines, file)

    def _carried(self, made: Mapping[str, Json]) -> tuple[bytes, FileContent | None, dict[str, Json]]:
        """The content, or the file that has it, and what is known of it by now."""
        if self.root:
            file = self._file(self._text(made), made.get("sha256"))
            return b"", file, {"content": file.name} | ({"sha256": file.sha256} if file.sha256 else {})
        body = self._content(self._text(made))
        return body, None, {"sha256": self._checksum(body, made.get("sha256")), "size": len(body)}

    def _text(self, made: Mapping[str, Json]) -> str:
        value = made.get("content")
        if reason := missing(value):
            raise self._fail("content", f"the value {reason} and cannot be mapped")
        if not isinstance(value, str):
            raise self._fail("content", f"a document needs {_MEANING[self.form]}, found {show(value)}")
        return value

    def _file(self, name: str, expected: Json) -> FileContent:
        file = FileContent(self.root, name, "" if expected is None else self._hexadecimal(expected))
        if file.problem is not None:
            raise self._fail("content", f"{show(name)} {file.problem}")
        return file

    def _content(self, value: str) -> bytes:
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


_MEANING = {
    "bytes": "a bytea (\\x followed by hex digits)",
    "text": "text that can be written as UTF-8",
    "file": "the name of a file below root",
}


def _compile(options: Node | None, path: str, _fields: Collection[str]) -> DocumentFormat:
    if options is None:
        return DocumentFormat(path)
    spec = options.object(("content", "root"))
    form = options.child("content").choice(_FORMS) if "content" in spec else "bytes"
    if ("root" in spec) != (form == "file"):
        raise options.fail("root names the folder of the files: it goes with content: file, and only with that")
    return DocumentFormat(path, form, _folder(options.child("root")) if form == "file" else "")


def _folder(node: Node) -> str:
    text = node.text()
    if not text.startswith("/") or not text.strip("/") or "\0" in text:
        raise node.fail(f"expected the absolute path of a folder such as /srv/documents, found {show(text)}")
    return text


def _check_fields(node: Node, names: Collection[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name) or name == "size":
            raise node.fail(f"{show(name)} cannot name metadata: letters, digits and _, at most 64, and not size")
    if "content" not in names:
        raise node.fail("a document needs content")


DOCUMENT = FormatKind("document", UNKNOWN_TYPE, _compile, _check_fields, deletes_have_bodies=False)
