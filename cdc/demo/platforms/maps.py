"""pygeoapi, a server of maps that is not ours: patrol areas as one collection of OGC API Features.

It keeps the collection in one file (TinyDB), without locks, so it is served by a single thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final
from urllib.parse import quote

import requests
import simplejson
from psycopg.rows import DictRow

from cdc.demo.expected import Objects
from cdc.demo.findings import Finding
from cdc.demo.platforms.drawing import draw
from cdc.demo.platforms.platform import Expectation, Started
from cdc.demo.platforms.wire import PlatformSilent, ask, expect, open_session
from cdc.demo.servers import installed, launch, on_a_free_port, wait_until
from outbox.model import Json

COLLECTION: Final = "patrol_areas"
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_MOST = 1000
_NAMES = ("code", "name", "area_m2", "valid_from", "valid_to")


def _area(row: DictRow) -> tuple[str, dict[str, Json]]:
    return row["code"], {**{name: row[name] for name in _NAMES}, "geometry": row["geometry"]}


@dataclass(frozen=True, slots=True)
class MapClient:
    """A server of OGC API Features as any client sees it; ``url`` is its landing page."""

    url: str
    _http: requests.Session = field(default_factory=open_session, repr=False)

    title: ClassVar = "Patrol areas"
    about: ClassVar = "pygeoapi, over OGC API Features"
    connectors: ClassVar = frozenset({"PatrolMap"})
    should: ClassVar[Mapping[str, Expectation]] = MappingProxyType({f"map/{COLLECTION}": ("patrol_areas", _area)})

    @property
    def settings(self) -> Mapping[str, str]:
        return {"@MAP@": self.url}

    @property
    def secrets(self) -> Mapping[str, str]:
        return {}

    @property
    def home(self) -> str:
        return f"{self.items}?f=html"

    @property
    def login(self) -> str:
        return ""

    @property
    def items(self) -> str:
        return f"{self.url}/collections/{COLLECTION}/items"

    def send(self, method: str, item: str = "", feature: Json = None) -> requests.Response:
        """One request about the collection, or about one item of it."""
        address = f"{self.items}/{quote(item, safe='')}" if item else f"{self.items}?f=json&limit={_MOST}"
        headers = {"Accept": "application/geo+json"}
        if feature is None:
            return ask(self._http, method, address, headers=headers)
        body = simplejson.dumps(feature, use_decimal=True).encode()
        return ask(self._http, method, address, data=body, headers={**headers, "Content-Type": "application/geo+json"})

    def features(self) -> list[dict[str, Json]]:
        """Every feature of the collection."""
        document = simplejson.loads(expect(self.send("GET"), 200).content, use_decimal=True)
        return list(document["features"])

    def is_up(self) -> bool:
        try:
            return self.send("GET").status_code == 200
        except PlatformSilent:
            return False

    def held(self) -> dict[str, Objects]:
        return {f"map/{COLLECTION}": areas(self.features())}

    def effects(self, applied: Sequence[DictRow], log: Path) -> Iterator[Finding]:
        """None that could be counted: this server keeps no record of what was written to it."""
        yield from ()

    def card(self) -> str:
        features = self.features()
        names = ", ".join(sorted(escape(str(one["properties"].get("name"))) for one in features))
        return f"<p>{len(features)} patrol areas</p>{draw(features)}<p>{names}</p>"


def areas(features: Sequence[Mapping[str, Json]]) -> Objects:
    """The features by id; a second one of the same id stands under a name of its own."""
    found: dict[str, Mapping[str, Json]] = {}
    for number, feature in enumerate(features):
        name = str(feature["id"])
        held = {**feature["properties"], "geometry": feature["geometry"]}
        found[name if name not in found else f"{name}, item {number}"] = held
    return found


def start_pygeoapi(directory: Path) -> Started[MapClient]:
    """pygeoapi with one empty collection, which may be written to, below ``directory``."""
    installed("pygeoapi", "pygeoapi, the map server of the demo,")
    installed("waitress", "waitress, which runs the map server of the demo,")
    return on_a_free_port(lambda port: _start(directory.absolute(), port))


def _start(home: Path, port: int) -> Started[MapClient]:
    folder = home / "map"
    folder.mkdir(parents=True, exist_ok=True)
    client = MapClient(f"http://127.0.0.1:{port}")
    (folder / "areas.json").write_text("{}", encoding="utf-8")
    documents = {"config.yml": _config(client.url, port, folder / "areas.json"), "openapi.json": _API}
    for name, document in documents.items():
        (folder / name).write_text(simplejson.dumps(document), encoding="utf-8")  # JSON is YAML
    server = launch(
        "pygeoapi",
        ["waitress", f"--listen=127.0.0.1:{port}", "--threads=1", "pygeoapi.flask_app:APP"],
        directory=home,
        environment={
            "PYGEOAPI_CONFIG": str(folder / "config.yml"),
            "PYGEOAPI_OPENAPI": str(folder / "openapi.json"),
        },
    )
    wait_until(server, client.is_up)
    return Started(server, client)


_API: Final[Mapping[str, Json]] = {
    "openapi": "3.0.2",
    "info": {"title": "Maps of HMS-DEV", "version": "1.0.0"},
    "paths": {},
}


def _config(url: str, port: int, store: Path) -> Mapping[str, Json]:
    provider = {"type": "feature", "name": "TinyDB", "data": str(store), "editable": True, "id_field": "id"}
    spatial = {"bbox": [4.33, 50.83, 4.40, 50.87], "crs": _CRS84}
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": port},
            "url": url,
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "languages": ["en-US"],
            "limits": {"default_items": 100, "max_items": _MOST, "on_exceed": "throttle"},
            "map": {
                "url": "https://tile.openstreetmap.org/{z}/{x}/{y}.png",
                "attribution": "© OpenStreetMap contributors",
            },
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {
                "title": "Maps of HMS-DEV",
                "description": "Patrol areas of a fictional public authority",
                "keywords": ["patrol"],
                "keywords_type": "theme",
                "terms_of_service": "https://hms-dev.example",
                "url": "https://hms-dev.example",
            },
            "license": {"name": "none"},
            "provider": {"name": "HMS-DEV", "url": "https://hms-dev.example"},
            "contact": {"name": "Registry", "position": "Clerk", "email": "registry@hms-dev.example"},
        },
        "resources": {
            COLLECTION: {
                "type": "collection",
                "title": "Patrol areas",
                "description": "Which area is whose",
                "keywords": ["patrol"],
                "links": [],
                "extents": {"spatial": spatial},
                "providers": [{**provider, "title_field": "name"}],
            }
        },
    }
