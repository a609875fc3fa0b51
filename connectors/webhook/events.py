"""The event that tells of one change, and its forms on the wire: Standard Webhooks or CloudEvents 1.0, pure.

All of it is made of the change and the mapped document: a resend is the same to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from string import printable
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import quote

from connectors.bodies import embedded
from connectors.webhook.options import Mode, WebhookOptions
from outbox import exact_json
from outbox.model import Delivery, Json, Message

Content: TypeAlias = tuple[Mapping[str, str], bytes]
"""Headers and body."""
_UNQUOTED = "".join(each for each in printable if "!" <= each <= "~" and each not in '"%')


@dataclass(frozen=True, slots=True)
class Event:
    """One change, told. ``content_type`` is that of ``data``; no data where the mapping writes none for a delete."""

    id: str
    source: str
    type: str
    record: str
    time: str
    sequence: str
    content_type: str
    data: bytes

    @classmethod
    def of(cls, delivery: Delivery, message: Message, options: WebhookOptions) -> Event:
        change = delivery.change
        return cls(
            id=str(delivery.key),
            source=options.source or f"/hms-sync/{delivery.connector}",
            type=options.type.format(record_type=change.record_type, action=message.action.value),
            record=f"{change.record_type}:{change.record_key}",
            time=change.captured_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            sequence=f"{change.id:019d}",
            content_type=message.content_type,
            data=message.body,
        )

    @property
    def attributes(self) -> dict[str, str]:
        """Those of CloudEvents, with its extensions Partitioning and Sequence."""
        told = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.record,
            "time": self.time,
            "partitionkey": self.record,
            "sequence": self.sequence,
        }
        return told | ({"datacontenttype": self.content_type} if self.data else {})


def content(event: Event, mode: Mode) -> Content:
    """The event as a request that is not signed yet. Raises NotJson."""
    return _MODES[mode](event)


def _plain(event: Event) -> Content:
    return {"Content-Type": event.content_type}, event.data


def _standard(event: Event) -> Content:
    told = {
        "type": event.type,
        "timestamp": event.time,
        "record": event.record,
        **_data(event),
    }
    return {"Content-Type": "application/json"}, exact_json.encode(told)


def _structured(event: Event) -> Content:
    return {"Content-Type": "application/cloudevents+json"}, exact_json.encode({**event.attributes, **_data(event)})


def _batch(event: Event) -> Content:
    told = [{**event.attributes, **_data(event)}]
    return {"Content-Type": "application/cloudevents-batch+json"}, exact_json.encode(told)


def _data(event: Event) -> dict[str, Json]:
    return embedded(event.content_type, event.data)


def _binary(event: Event) -> Content:
    attributes = event.attributes
    content_type = attributes.pop("datacontenttype", None)
    headers = {f"ce-{name}": quote(value, safe=_UNQUOTED) for name, value in attributes.items()}
    return headers | ({"Content-Type": content_type} if content_type else {}), event.data


_MODES: Mapping[Mode, Callable[[Event], Content]] = MappingProxyType(
    {"standard": _standard, "plain": _plain, "structured": _structured, "binary": _binary, "batch": _batch}
)
