"""What ``verify-receiver`` tries at a bucket: objects of its own in it."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

from connectors.exchange import HttpRequest
from connectors.probing.model import ScratchObjects, Subject
from connectors.s3.object import described
from connectors.s3.options import S3Options
from connectors.stamps import Stamp
from outbox.model import Action, Guarantee, Message


def subject(name: str, url: str, options: S3Options, scratch_url: str | None, harmless: HttpRequest) -> Subject:
    """Objects beside the real ones, or at ``scratch_url``; each is removed."""
    base = (scratch_url or url).rstrip("/")

    def write(object_name: str, number: int) -> HttpRequest:
        message = Message(Action.UPSERT, {}, f"{object_name} {number:010}".encode(), "text/plain")
        stamp = Stamp(uuid5(NAMESPACE_URL, f"{object_name} {number}"), number, 1, 0)
        return HttpRequest("PUT", f"{base}/{object_name}", described(message, stamp), message.body)

    objects = ScratchObjects(
        write,
        read=lambda each: HttpRequest("GET", f"{base}/{each}"),
        remove=lambda each: HttpRequest("DELETE", f"{base}/{each}"),
        number=_number,
    )
    return Subject(name, Guarantee.EXACT_CAS, Guarantee.CONVERGE, harmless, options.not_applied, objects=objects)


def _number(body: bytes) -> int | None:
    digits = body.rpartition(b" ")[2]
    return int(digits) if len(digits) == 10 and digits.isdigit() else None
