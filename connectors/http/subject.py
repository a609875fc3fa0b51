"""What ``verify-receiver`` tries at a REST platform: records made as the connector makes real ones."""

from __future__ import annotations

from uuid import UUID

import simplejson

from connectors.exchange import HttpConnector, HttpRequest
from connectors.http.effects import RestEffects, filled, scratch_delivery
from connectors.http.options import HttpOptions
from connectors.http.writes import headers_of
from connectors.probing.judgement import NEEDED
from connectors.probing.model import ScratchObjects, Subject
from connectors.probing.stamped import number_of, with_number
from connectors.stamps import StampCodec, in_member
from connectors.templates import Values, names
from outbox.model import Action, Guarantee, Json, Message

_NAMES = UUID("0f6c8a1e-3a53-5f5a-9a52-0b1d5cf0a6d4")


def subject(
    name: str,
    url: str,
    options: HttpOptions,
    scratch_url: str | None,
    harmless: HttpRequest,
    *,
    sender: HttpConnector | None = None,
) -> Subject | None:
    """Records of their own at the configured URL, or at ``scratch_url``; None where nothing of it can be verified.

    ``sender`` makes the requests where another kind borrows these options.
    """
    base = (scratch_url or url).rstrip("/")
    declared = options.guarantee
    counts = options.verify is not None and options.verify.count is not None
    if declared not in NEEDED or (declared is Guarantee.VERIFY and not counts):
        return None
    if options.conditional is not None:
        objects = _json_objects(name, base, options, in_member(options.conditional.stamp))
        return Subject(name, declared, Guarantee.CONVERGE, harmless, options.not_applied, objects=objects)
    otherwise = options.model_copy(update={"idempotency": None}).guarantee
    if declared is Guarantee.VERIFY:
        otherwise = Guarantee.ONCE_OR_ASK
    effects = RestEffects(name, base, options, sender) if counts else None
    return Subject(name, declared, otherwise, harmless, options.not_applied, effects=effects)


def _json_objects(connector: str, base: str, options: HttpOptions, codec: StampCodec) -> ScratchObjects:
    create = options.create
    assert create is not None  # noqa: S101 - options.conditional needs it

    def request(method: str, name: str, body: bytes = b"") -> HttpRequest:
        message = Message(Action.UPSERT, document(name))
        values = Values.of(scratch_delivery(connector, name, _NAMES), message, None)
        headers = headers_of(options, values) | ({"Content-Type": "application/json"} if body else {})
        return HttpRequest(method, base + values.path(create.path), headers, body)

    def document(name: str) -> dict[str, Json]:
        return filled(options.verify.body, name) if options.verify else dict.fromkeys(names(create.path), name)

    def write(name: str, number: int) -> HttpRequest:
        return request("PUT", name, with_number(codec, name, number, simplejson.dumps(document(name)).encode()))

    return ScratchObjects(
        write,
        read=lambda name: request("GET", name),
        remove=lambda name: request("DELETE", name),
        number=lambda body: number_of(codec, body),
    )
