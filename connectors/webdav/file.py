"""One file of a WebDAV server, replaced as a whole: under a temporary name it gets its bytes and our mark, then it is
moved to its address. A body that breaks off leaves the old file as it was, and content and mark change at once.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from connectors.answers import answer
from connectors.conditional import Seen, Steps
from connectors.exchange import HttpRequest, HttpResponse, TransportFailure
from connectors.stamps import Stamp
from connectors.webdav.properties import ETAG, STAMP, ask, change, read
from outbox.model import Message

_XML = {"Content-Type": "application/xml; charset=utf-8"}
NO_PARENT = frozenset({404, 409})


def look_at(url: str) -> HttpRequest:
    """Asks for version and mark of what stands at ``url``."""
    return HttpRequest("PROPFIND", url, {**_XML, "Depth": "0"}, ask(ETAG, STAMP))


@dataclass(slots=True)
class DavFile:
    """See :class:`~connectors.conditional.Resource`; made for one exchange."""

    base: str
    external_id: str
    """The path below ``base``, as it stands in the URL."""
    temporary: str
    message: Message
    properties: Mapping[str, str]
    """What is set beside the content, our mark among it."""
    preconditions_hold: bool = field(default=False, init=False)
    """Some servers do not mind the precondition of a MOVE, so that nothing is written without a look."""
    _uploaded: bool = field(default=False, init=False)

    @property
    def url(self) -> str:
        return self.base + self.external_id

    @property
    def _beside(self) -> str:
        return f"{self.url.rpartition('/')[0]}/{self.temporary}"

    def look(self) -> HttpRequest:
        return look_at(self.url)

    def seen(self, response: HttpResponse) -> Seen:
        properties = read(response.body)
        if properties is None or ETAG not in properties.found:
            return Seen(None, None, answer(response))
        stamp = Stamp.parse(properties.found.get(STAMP, ""))
        return Seen(_plain(properties.found[ETAG]), stamp, answer(response))

    def write(self, etag: str | None) -> Steps:
        if not self._uploaded:
            refusal = yield from self._upload()
            if refusal is not None:
                return refusal
            self._uploaded = True
        response = yield self._move(etag)
        if response.status in (404, 412):  # 404: a twin of this delivery has moved the file already
            self._uploaded = response.status == 412
            return None
        if response.status == 207 or not response.ok:
            yield from self._discard()
        return None if response.status == 207 else response

    def remove(self, etag: str) -> HttpRequest:
        return HttpRequest("DELETE", self.url, {"If": self._only(etag)})

    def _upload(self) -> Generator[HttpRequest, HttpResponse, HttpResponse | None]:
        """Content and properties under the temporary name; the answer that refuses one of them."""
        headers = {"Content-Type": self.message.content_type}
        put = HttpRequest("PUT", self._beside, headers, self.message.body, self.message.file)
        response = yield put
        if response.status in NO_PARENT and self._folders:
            yield from self._make_collections()
            response = yield put
        if not response.ok:
            return response
        response = yield HttpRequest("PROPPATCH", self._beside, _XML, change(self.properties))
        properties = read(response.body) if response.status == 207 else None
        if properties is None or STAMP not in properties.found:
            yield from self._discard()
            return _keeps_no_properties(response)
        return None

    @property
    def _folders(self) -> list[str]:
        return self.external_id.split("/")[1:-1]

    def _make_collections(self) -> Generator[HttpRequest, HttpResponse, None]:
        """Those on the way from the base to the file. A refusal says little: it may be there, or made at this moment
        for another file (405, or WsgiDAV's 500); whether it is, the next PUT tells."""
        place = self.base
        for name in self._folders:
            place = f"{place}/{name}"
            yield HttpRequest("MKCOL", place + "/")

    def _move(self, etag: str | None) -> HttpRequest:
        headers = {"Destination": self.url, "Overwrite": "F"}
        if etag is not None:
            headers |= {"Overwrite": "T", "If": self._only(etag)}
        return HttpRequest("MOVE", self._beside, headers)

    def _only(self, etag: str) -> str:
        """The version as a condition on this address, in whichever of its two forms the server has it just now."""
        return f"<{self.url}> ([{etag}]) ([W/{etag}])"

    def _discard(self) -> Generator[HttpRequest, HttpResponse, None]:
        try:
            yield HttpRequest("DELETE", self._beside)
        except TransportFailure:
            return  # it stays under its temporary name, where nobody looks for it


def _keeps_no_properties(response: HttpResponse) -> HttpResponse:
    """Whatever it was, the connector cannot work with this server."""
    return HttpResponse(501, response.headers, response.body, response.complete)


def _plain(etag: str) -> str:
    """The ETag as a strong one: mod_dav calls it weak for a second and strong ever after; some forget the quotes."""
    text = etag.removeprefix("W/")
    return text if text.startswith('"') else f'"{text}"'
