"""The ``webdav`` kind: one file per record on a WebDAV server, replaced as a whole."""

from __future__ import annotations

import re

from connectors.answers import answer, classify
from connectors.conditional import ConditionalWrite, Manner
from connectors.contents import sha256_of
from connectors.exchange import Exchange, HttpResponse
from connectors.stamps import Stamp
from connectors.templates import Unfillable, Values
from connectors.webdav.file import NO_PARENT, DavFile
from connectors.webdav.options import WebDavOptions
from connectors.webdav.properties import METADATA, OURS, STAMP
from outbox.model import (
    Delivery,
    ErrorClass,
    Guarantee,
    Message,
    NotApplied,
    Outcome,
    Rejected,
    RemoteObject,
)

_SLASH = re.compile("%2F|%5C")


class WebDavConnector:
    """Delivers to the collection ``url``.

    Not above CONVERGE: servers of WebDAV compare the version before they move the file, not while they do, so that
    two writers at the same moment can both win (seen on WsgiDAV and on mod_dav).
    """

    guarantee = Guarantee.CONVERGE
    quiet_seconds = 0.0
    window_seconds: float | None = None

    def __init__(self, url: str, options: WebDavOptions) -> None:
        self._base = url.rstrip("/")
        self._options = options
        self._manner = Manner(options.conflict, self._classify)

    def exchange(self, delivery: Delivery, message: Message, remote: RemoteObject | None) -> Exchange:
        """The requests of one delivery; what the record cannot fill is refused before anything is sent."""
        try:
            path = self._path(Values.of(delivery, message, remote), remote)
        except Unfillable as problem:
            return Rejected(ErrorClass.MAPPING, str(problem))
        temporary = f".hms-sync-{delivery.key}"
        file = DavFile(self._base, path, temporary, message, _properties(delivery, message))
        return (yield from ConditionalWrite(self._manner, file, delivery, message.action, remote).exchange())

    def _path(self, values: Values, remote: RemoteObject | None) -> str:
        """Where the record's file is, or will be: a file keeps its address while it is there."""
        if remote is not None and not remote.absent and remote.external_id:
            return remote.external_id
        path = values.path(self._options.path)
        if _SLASH.search(path):
            raise Unfillable(
                "a value in options.path holds a slash, which servers take for a folder; see {record_name}"
            )
        return path

    def _classify(self, response: HttpResponse) -> Outcome:
        if response.status in (405, 501):
            reason = (
                f"the server does not keep properties of files (HTTP {response.status}): PROPFIND, PROPPATCH and MOVE "
                "are needed; correct the url, or write by kind http with PUT"
            )
            return Rejected(ErrorClass.MISCONFIGURED, reason, answer(response), platform=True)
        if response.status == 423:
            return NotApplied(ErrorClass.CONFLICT, "somebody has locked the file (HTTP 423)", answer(response))
        if response.status in NO_PARENT:
            reason = f"there is no collection at the url, or none can be made in it (HTTP {response.status})"
            return Rejected(ErrorClass.MISCONFIGURED, reason, answer(response), platform=True)
        return classify(response, not_applied=self._options.not_applied)


def _properties(delivery: Delivery, message: Message) -> dict[str, str]:
    described = {f"{{{METADATA}}}{name}": value for name, value in message.metadata.items()}
    return {STAMP: str(Stamp.of(delivery)), f"{{{OURS}}}sha256": sha256_of(message), **described}
