"""A content that stays in its file until it is sent: found below its root, measured, and sent as it was measured.

What a row names is not trusted: the way from the root to the file is gone folder by folder, so that no link leads out
of it. A file that changes meanwhile is never sent whole: the last piece leaves only when all are what was measured.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from io import FileIO
from pathlib import Path
from stat import S_ISREG

from connectors.exchange import HttpRequest, TransportFailure
from outbox.model import ErrorClass, FileContent, Message, Rejected

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY  # to open a pipe must not wait for its writer
_MEASURED_AT_ONCE = 1 << 20
_SENT_AT_ONCE = 1 << 16


class BadContent(Exception):
    """The file cannot be sent; the sentence says which one, why, and how to mend it.

    ``everywhere``: it is the root that is wrong, so that no other record is better off.
    """

    def __init__(self, sentence: str, *, everywhere: bool = False) -> None:
        super().__init__(sentence)
        self.everywhere = everywhere

    @property
    def outcome(self) -> Rejected:
        """What becomes of the delivery, of which nothing was sent."""
        error_class = ErrorClass.MISCONFIGURED if self.everywhere else ErrorClass.MAPPING
        return Rejected(error_class, str(self), platform=self.everywhere)


def sha256_of(carrier: Message | HttpRequest) -> str:
    """The checksum of its content, in hexadecimal."""
    return hashlib.sha256(carrier.body).hexdigest() if carrier.file is None else carrier.file.sha256


def measured(content: FileContent) -> Generator[None, None, FileContent]:
    """Reads the file once, a piece at each step, and returns what was found. Raises BadContent."""
    digest, size = hashlib.sha256(), 0
    with _open(content) as file:
        while piece := _read(file, _MEASURED_AT_ONCE, content):
            digest.update(piece)
            size += len(piece)
            yield
    found = digest.hexdigest()
    if content.sha256 not in ("", found):
        raise _bad(content, f"has another SHA-256 ({found}) than its row says ({content.sha256}): one of them is wrong")
    return replace(content, sha256=found, size=size)


class ContentStream:
    """The bytes of a measured content for a transport. TransportFailure where they are not those any more."""

    def __init__(self, content: FileContent) -> None:
        self._content = content
        self._left = content.size
        self._digest = hashlib.sha256()
        try:
            self._file = _open(content)
        except BadContent as problem:
            raise TransportFailure(ErrorClass.MAPPING, str(problem), sent=False) from None
        if os.fstat(self._file.fileno()).st_size != content.size:
            self.close()
            raise self._broken("has changed since it was measured", sent=False)

    def __len__(self) -> int:
        return self._content.size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.piece(_SENT_AT_ONCE):
            yield piece

    def piece(self, limit: int) -> bytes:
        """The next bytes, at most ``limit``; none at the end."""
        try:
            piece = _read(self._file, min(limit, self._left), self._content)
        except BadContent as problem:
            raise TransportFailure(ErrorClass.MAPPING, str(problem), sent=True) from None
        if not piece and self._left:
            raise self._broken("became shorter while it was sent")
        self._digest.update(piece)
        self._left -= len(piece)
        if piece and not self._left:
            self._check()
        return piece

    def close(self) -> None:
        self._file.close()

    def _check(self) -> None:
        if self._digest.hexdigest() != self._content.sha256:
            raise self._broken("changed while it was sent")
        if _read(self._file, 1, self._content):
            raise self._broken("became longer while it was sent")

    def _broken(self, reason: str, *, sent: bool = True) -> TransportFailure:
        said = f"{_named(self._content)} {reason}: the upload was broken off, and the next one reads the file anew"
        return TransportFailure(ErrorClass.MAPPING, said, sent=sent)


def stream_of(request: HttpRequest) -> ContentStream | None:
    """What to send in pieces; None where the body is all there is. TransportFailure where it cannot be opened."""
    return ContentStream(request.file) if request.file is not None and request.file.size else None


def _open(content: FileContent) -> FileIO:
    """The file itself, whatever links there are: none of them leads out of the root. Raises BadContent."""
    if content.problem is not None:
        raise _bad(content, content.problem)
    root = _root(content)
    try:
        place = (root / content.name).resolve(strict=True)
        if place == root or not place.is_relative_to(root):
            raise _bad(content, "leads out of its root by a link: put the file itself there")
        return _regular(_descriptor(root, place.relative_to(root).parts), content)
    except FileNotFoundError:
        raise _bad(content, "does not exist: put it there, then replay this delivery") from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        raise _bad(content, f"cannot be opened ({_cause(error)}): mend it, then replay this delivery") from None


def _root(content: FileContent) -> Path:
    try:
        root = Path(content.root).resolve(strict=True)
        os.close(os.open(root, _FOLDER))
    except (OSError, RuntimeError, ValueError) as error:
        said = f"the folder of the documents {content.root} cannot be used ({_cause(error)})"
        raise BadContent(f"{said}: mount it, or correct document.root of the mapping", everywhere=True) from None
    return root


def _descriptor(root: Path, parts: tuple[str, ...]) -> int:
    """Opened from folder to folder: what has become a link since it was looked at is not followed."""
    *folders, name = parts
    here = os.open(root, _FOLDER)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(name, _FILE, dir_fd=here)
    finally:
        os.close(here)


def _regular(descriptor: int, content: FileContent) -> FileIO:
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _bad(content, "is not a regular file: a document is one")
    return FileIO(descriptor, "r")


def _read(file: FileIO, limit: int, content: FileContent) -> bytes:
    try:
        return file.read(limit) or b""
    except OSError as error:
        raise _bad(content, f"cannot be read ({_cause(error)})") from None


def _bad(content: FileContent, reason: str) -> BadContent:
    return BadContent(f"{_named(content)} {reason}")


def _named(content: FileContent) -> str:
    return f"the file {content.name[:300]!r} below {content.root}"


def _cause(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
