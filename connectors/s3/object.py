"""One object of a bucket: content, mark and metadata change together, in one conditional PUT."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from email.header import Header
from urllib.parse import quote

from connectors.answers import answer
from connectors.conditional import Seen, Steps, precondition
from connectors.contents import sha256_of
from connectors.exchange import HttpRequest, HttpResponse
from connectors.stamps import Stamp
from outbox.model import Message

_MARK = "x-amz-meta-hms-sync"
_LOST = frozenset({409, 412})
"""The condition did not hold, or another write of the object was under way (ConditionalRequestConflict)."""


@dataclass(frozen=True, slots=True)
class S3Object:
    """See :class:`~connectors.conditional.Resource`."""

    url: str
    external_id: str
    message: Message
    stamp: Stamp
    preconditions_hold: bool = True

    def look(self) -> HttpRequest:
        return HttpRequest("HEAD", self.url)

    def seen(self, response: HttpResponse) -> Seen:
        stamp = Stamp.parse(response.headers.get(_MARK, ""))
        return Seen(response.headers.get("etag"), stamp, answer(response))

    def write(self, etag: str | None) -> Steps:
        headers = {**described(self.message, self.stamp), **precondition(etag)}
        response = yield HttpRequest("PUT", self.url, headers, self.message.body, self.message.file)
        gone = etag is not None and response.status == 404  # what some answer to If-Match where nothing is
        return None if gone or response.status in _LOST else response

    def remove(self, etag: str) -> HttpRequest:
        return HttpRequest("DELETE", self.url, precondition(etag))


def described(message: Message, stamp: Stamp) -> dict[str, str]:
    """All that travels beside the content; the platform holds the checksum against what it received."""
    checksum = b64encode(bytes.fromhex(sha256_of(message))).decode()
    headers = {"Content-Type": message.content_type, "x-amz-checksum-sha256": checksum, _MARK: str(stamp)}
    if name := message.document.get("file_name"):
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(str(name), safe='')}"
    return headers | _metadata(message.metadata)


def _metadata(lines: Mapping[str, str]) -> dict[str, str]:
    """Names with dashes, because proxies drop headers with underscores; text beyond ASCII as RFC 2047 has it."""
    return {
        f"x-amz-meta-{name.lower().replace('_', '-')}": text if text.isascii() else Header(text, "utf-8", 998).encode()
        for name, text in lines.items()
    }
