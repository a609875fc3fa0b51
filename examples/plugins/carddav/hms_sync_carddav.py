"""Contacts in an address book: a connector kind `carddav` and a format `vcard` (RFC 6352, RFC 2426)."""

from urllib.parse import quote

from hms_sync.connector import Action, Applied, ConnectorKind, Guarantee, HttpRequest, Options, Probe, answer, classify
from hms_sync.format import FormatKind

PROPERTIES = {"uid": "UID", "name": "FN", "email": "EMAIL", "phone": "TEL"}


class CardDavConnector:
    """One card per record, at an address of ours."""

    guarantee = Guarantee.CONVERGE  # the same PUT again leaves the same card, but nothing compares before it writes
    quiet_seconds = 0.0
    window_seconds = None

    def __init__(self, url):
        self._book = url.rstrip("/")

    def exchange(self, delivery, message, remote):
        url = f"{self._book}/{quote('-'.join(delivery.record), safe='')}.vcf"
        if message.action is Action.DELETE:
            response = yield HttpRequest("DELETE", url)
            return Applied(answer(response)) if response.status == 404 else classify(response)
        response = yield HttpRequest("PUT", url, {"Content-Type": message.content_type}, message.body)
        return classify(response, missing_is_wrong_url=True)


class VCard:
    """The same bytes for the same document: no clock, no chance."""

    def complete(self, document, change):
        return {"uid": f"{change.record_type}-{change.record_key}", **document}

    def encode(self, document, change):
        lines = [f"{name}:{escaped(str(document[field]))}" for field, name in PROPERTIES.items() if document.get(field)]
        return "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", "N:;;;;", *lines, "END:VCARD", ""]).encode()


def escaped(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace(",", "\\,").replace(";", "\\;")


def check_fields(node, names):
    for name in names:
        if name not in PROPERTIES:
            raise node.fail(f"a card has no {name!r}; known: {', '.join(PROPERTIES)}")


KIND = ConnectorKind(
    "carddav",
    Options,  # a subclass of it would hold options of this kind
    build=lambda _name, url, _options: CardDavConnector(url),
    probe=lambda url, _options: Probe(HttpRequest("PROPFIND", url, {"Depth": "0"})),
)
FORMAT = FormatKind("vcard", "text/vcard; charset=utf-8", lambda _options, _path: VCard(), check_fields, identity="uid")
