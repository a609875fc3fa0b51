"""One record on a map platform, delivered through a real mapping, and what the ledger remembers of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from connectors.channel import Channel
from connectors.courier import Attempt, Courier, deliver_now
from connectors.exchange import HttpConnector
from connectors.registry import kinds
from connectors.transports import open_transport
from hms_sync.testing import Platform
from outbox.model import Applied, Change, Delivery, Json, Message, Operation, RemoteObject
from tests.records import Lossy
from tests.wire import LOOPBACK
from transformers import compile_mapping

ANYBODY = Channel(allow_addresses=LOOPBACK)
AREA: Mapping[str, Json] = {
    "output": "geojson",
    "key": ["external_id"],
    "fields": {
        "external_id": {"template": "area-{id}"},
        "title": "title",
        "fee": "fee",
        "starts": "starts",
        "open": "open",
        "geometry": {"from": "shape", "geometry": {"srid": 4326, "decimals": 6}},
    },
}
PERMIT: Mapping[str, Json] = {
    "output": "geojson",
    "key": ["external_id"],
    "fields": {
        "external_id": {"template": "permit-{id}"},
        "title": "title",
        "geometry": {"point": {"x": "lon", "y": "lat"}, "geometry": {"srid": 4326, "decimals": 6}},
    },
}


def triangle(east: float, north: float, size: float) -> dict[str, Json]:
    """A ring that is drawn clockwise, so that it has to be turned."""
    corners = [[east, north], [east, north + size], [east + size, north + size], [east, north]]
    return {"type": "Polygon", "coordinates": [corners]}


@dataclass(frozen=True)
class Ground:
    """Two shapes near Berlin in one reference system."""

    srid: int
    here: dict[str, Json]
    there: dict[str, Json]

    @property
    def mapping(self) -> Mapping[str, Json]:
        fields = {**AREA["fields"], "geometry": {"from": "shape", "geometry": {"srid": self.srid, "decimals": 6}}}
        return {**AREA, "fields": fields}


DEGREES = Ground(4326, triangle(13.4, 52.5, 0.1), triangle(9, 50, 0.2))
METRES = Ground(25832, triangle(800_000, 5_820_000, 1000), triangle(500_000, 5_540_000, 2000))
GROUNDS = {"ogc_features": DEGREES, "wfs": METRES}
"""QGIS Server takes CRS84 by OGC API Features; by WFS an Update stores the numbers as they are: those of the layer."""


def qgis_options(kind: str, layer: str) -> dict[str, Any]:
    """What QGIS Server wants to be told about one of its layers."""
    if kind == "ogc_features":
        return {"collection": layer, "key": "external_id", "refused": [500]}
    srs_name = "EPSG:25832" if layer == "area" else "EPSG:4326"
    return {"type_name": layer, "namespace": "http://www.qgis.org/gml", "key": "external_id", "srs_name": srs_name}


START: Mapping[str, Json] = {"title": "first", "fee": 10, "starts": "2026-07-01T08:00:00+00:00", "open": True}


class MapLayer(Platform):
    """A layer of areas as the contract sees it; the text is the property ``title``."""

    def __init__(self, url: str, options: Mapping[str, Any], ground: Ground, channel: Channel = ANYBODY) -> None:
        self.url = url
        self.options = options
        self.channel = channel
        self._ground = ground

    def upsert(self, key: str, text: str) -> Message:
        return self._message(Operation.UPDATE, {**START, "id": key, "title": text, "shape": self._ground.here})

    def delete(self, key: str) -> Message:
        return self._message(Operation.DELETE, {"id": key})

    def _message(self, operation: Operation, row: Mapping[str, Json]) -> Message:
        before, after = (row, None) if operation.removes else (None, row)
        key, now = str(row["id"]), datetime.now(UTC)
        change = Change(1, UUID(int=1), 1, 0, "area", key, operation, before, after, now)
        message = compile_mapping("area", self._ground.mapping)(change)
        assert message is not None
        return message


@dataclass
class MapRecord:
    """One record of the application; ``row`` is its row, changed by :meth:`put`."""

    courier: Courier
    wire: Lossy
    mapping: Mapping[str, Json]
    row: dict[str, Json]
    remote: RemoteObject | None = None
    last: int = 100
    key: str = field(default_factory=lambda: uuid4().hex[:12])

    def delivery(self, operation: Operation = Operation.UPDATE) -> Delivery:
        self.last += 1
        row = {"id": self.key, **self.row}
        change = Change(
            self.last,
            UUID(int=self.last, version=4),
            self.last,
            0,
            "area",
            self.key,
            operation,
            row if operation.removes else None,
            None if operation.removes else row,
            datetime.now(UTC),
        )
        return Delivery("map", change)

    def send(self, delivery: Delivery) -> Attempt:
        message = compile_mapping("area", self.mapping)(delivery.change)
        assert message is not None
        attempt = deliver_now(self.courier, delivery, message, self.remote)
        if isinstance(attempt.outcome, Applied):
            change, outcome = delivery.change, attempt.outcome
            self.remote = RemoteObject(
                outcome.external_id, outcome.version, change.operation.removes, change.id, change.xid
            )
        return attempt

    def put(self, **changed: Any) -> Attempt:
        self.row |= changed
        return self.send(self.delivery())

    def delete(self) -> Attempt:
        return self.send(self.delivery(Operation.DELETE))

    def again(self, delivery: Delivery) -> Attempt:
        """The same delivery once more, as after an answer that never came."""
        return self.send(replace(delivery, doubt=True, attempt=2))


@contextmanager
def map_record(
    kind: str,
    url: str,
    options: Mapping[str, Any],
    mapping: Mapping[str, Json] = AREA,
    channel: Channel = ANYBODY,
    **row: Json,
) -> Iterator[MapRecord]:
    found = kinds()[kind]
    connector = found.build("map", url, found.options.model_validate(options))
    wire = Lossy(open_transport("curl", channel, 4))
    courier = Courier(_http(connector), wire, deadline_seconds=30, concurrency=4)
    try:
        yield MapRecord(courier, wire, mapping, {**START, "shape": DEGREES.here, **row})
    finally:
        courier.close()


def _http(connector: Any) -> HttpConnector:
    return connector  # type: ignore[no-any-return]


def applied(attempt: Attempt) -> Applied:
    assert isinstance(attempt.outcome, Applied), attempt.outcome
    return attempt.outcome
