"""Real servers as the contract of connectors sees them: what each kind of ours is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import requests
import simplejson
from pydantic import SecretStr

from cdc.demo.platforms.maps import COLLECTION, MapClient
from connectors.caldav.connector import resource_name
from connectors.channel import Bearer, Channel
from connectors.registry import kinds
from hms_sync.testing import LOOPBACK, Platform
from outbox.model import Action, Json, Message, Record
from tests.sql_targets import SqlTarget
from tests.trials import HMS


def json_message(document: Mapping[str, Json]) -> Message:
    return Message(Action.UPSERT, document, simplejson.dumps(document).encode())


class Calendar(Platform):
    """A calendar; the text is the SUMMARY of an event."""

    kind = kinds()["caldav"]

    def __init__(self, url: str, channel: Channel, nowhere: str | None = None) -> None:
        self.url = url
        self.channel = channel
        self.nowhere = nowhere

    def upsert(self, key: str, text: str) -> Message:
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//HMS//test//EN", "BEGIN:VEVENT", f"UID:{key}"]
        lines += ["DTSTAMP:20260101T000000Z", "DTSTART:20260301T100000Z", f"SUMMARY:{text}"]
        lines += ["END:VEVENT", "END:VCALENDAR", ""]
        return Message(Action.UPSERT, {}, "\r\n".join(lines).encode(), "text/calendar")

    def delete(self, key: str) -> Message:
        return Message(Action.DELETE, {})

    def read(self, key: str) -> str | None:
        answer = self._call("GET", key)
        if answer.status_code == 404:
            return None
        lines = answer.content.decode().replace("\r\n ", "").splitlines()
        return next(line.removeprefix("SUMMARY:") for line in lines if line.startswith("SUMMARY:"))

    def remove(self, key: str) -> None:
        self._call("DELETE", key)

    def edit(self, key: str, text: str) -> None:
        there = self._call("GET", key).content.decode()
        edited = there.replace(f"SUMMARY:{self.read(key)}", f"SUMMARY:{text}").encode()
        self._call("PUT", key, edited)

    def _call(self, method: str, key: str, body: bytes | None = None) -> requests.Response:
        headers = {**self.channel.auth_headers, "Content-Type": "text/calendar"}
        address = self.url + resource_name(Record("contract", key))
        return requests.request(method, address, data=body, headers=headers, timeout=10)


class Scheduler(Platform):
    """The demo's scheduling API; the text is the title of a hearing."""

    kind = kinds()["scheduler"]

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.channel = Channel(auth=Bearer(SecretStr(token)), allow_addresses=LOOPBACK)

    def upsert(self, key: str, text: str) -> Message:
        times = {"starts_at": "2026-03-01T10:00:00Z", "ends_at": "2026-03-01T11:00:00Z"}
        return json_message(
            {"id": key, "case_number": "C-1", "title": text, "room": "1", "status": "scheduled", **times}
        )

    def delete(self, key: str) -> Message:
        return Message(Action.DELETE, {"id": key})

    def read(self, key: str) -> str | None:
        answer = self._call("GET", key)
        return None if answer.status_code == 404 else str(answer.json()["title"])

    def remove(self, key: str) -> None:
        self._call("DELETE", key)

    def edit(self, key: str, text: str) -> None:
        self._call("PUT", key, self.upsert(key, text).body)

    def _call(self, method: str, key: str, body: bytes | None = None) -> requests.Response:
        headers = {**self.channel.auth_headers, "Content-Type": "application/json"}
        return requests.request(method, f"{self.url}/hearings/{key}", data=body, headers=headers, timeout=10)


UPSERTS: Mapping[str, Any] = {
    "create": {"method": "PUT", "path": "/{record_key}"},
    "delete": {"method": "DELETE", "path": "/{record_key}"},
}
CONDITIONAL: Mapping[str, Any] = {
    **UPSERTS,
    "conditional": {"stamp": "data.hms_sync"},
    "verify": {"body": {"data": {"title": "Trial"}}},
}
ITS_OWN_IDS: Mapping[str, Any] = {
    "create": {"method": "POST", "path": "/records"},
    "update": {"method": "PATCH", "path": "/records/{external_id}", "body": "{data: document.data.{title: title}}"},
    "delete": {"method": "DELETE", "path": "/records/{external_id}"},
    "external_id": "data.id",
    "lookup": {"path": "/records?ref={record_key}", "found": "data[0].id", "quiet": "1s"},
}
_RECORDS = "/buckets/court/collections/hearings/records"
BATCH: Mapping[str, Any] = {
    "create": {"method": "PUT", "path": f"{_RECORDS}/{{id}}", "body": "{data: document.data}"},
    "delete": {"method": "DELETE", "path": f"{_RECORDS}/{{id}}"},
    "batch": {
        "path": "/batch",
        "size": 25,
        "item": "action == 'upsert' && {method: method, path: path, body: body} || {method: method, path: path}",
        "body": "{requests: items}",
        "results": "responses",
        "name": "join('', ['/v1', path])",
        "result_name": "path",
    },
}


class KintoRecords(Platform):
    """The records of Kinto through the ``http`` kind; the text is the member ``title``."""

    kind = kinds()["http"]
    channel = HMS

    def __init__(self, records: str, options: Mapping[str, Any]) -> None:
        self._records = records
        place = records.removesuffix(options["create"]["path"].partition("/{")[0])
        self.url = f"{place}/" if place.endswith("/v1") else place  # it redirects where the one or the other is missing
        self.nowhere = place.replace("hearings", "nowhere") if "hearings" in place else None
        self.options = options

    def upsert(self, key: str, text: str) -> Message:
        document = {"id": key, "data": {"title": text, "ref": key}}
        return Message(Action.UPSERT, document, simplejson.dumps({"data": document["data"]}).encode())

    def delete(self, key: str) -> Message:
        return Message(Action.DELETE, {"id": key})

    def read(self, key: str) -> str | None:
        found = self._found(key)
        assert len(found) < 2, "the platform holds the record twice"
        return str(found[0]["title"]) if found else None

    def remove(self, key: str) -> None:
        for each in self._found(key):
            self._call("DELETE", f"/{each['id']}")

    def edit(self, key: str, text: str) -> None:
        for each in self._found(key):
            self._call("PATCH", f"/{each['id']}", {"data": {"title": text}})

    def effects(self, key: str) -> int:
        return len(self._found(key))

    def _found(self, key: str) -> list[dict[str, Json]]:
        return list(self._call("GET", f"?ref={key}").json()["data"])

    def _call(self, method: str, path: str, document: Json = None) -> requests.Response:
        return requests.request(method, self._records + path, json=document, auth=("hms", "secret"), timeout=10)


SOMEWHERE: Json = {"type": "Point", "coordinates": [13.4, 52.5]}


class AreaItems(Platform):
    """Items of a collection of pygeoapi; the text is the property ``title``."""

    kind = kinds()["ogc_features"]
    options: Mapping[str, Json] = {"collection": COLLECTION, "key": "ref", "ids": "ours"}

    def __init__(self, client: MapClient) -> None:
        self._client = client
        self.url = client.url

    def upsert(self, key: str, text: str) -> Message:
        properties = {"ref": key, "title": text}
        document = {"type": "Feature", "id": key, "geometry": SOMEWHERE, "properties": properties}
        return Message(Action.UPSERT, document, simplejson.dumps(document).encode(), "application/geo+json")

    def delete(self, key: str) -> Message:
        return Message(Action.DELETE, {"type": "Feature", "id": key, "geometry": None, "properties": {"ref": key}})

    def read(self, key: str) -> str | None:
        titles = [one["properties"]["title"] for one in self._client.features() if one["id"] == key]
        assert len(titles) < 2, "the platform holds the record twice"
        return str(titles[0]) if titles else None

    def remove(self, key: str) -> None:
        self._client.send("DELETE", key)

    def edit(self, key: str, text: str) -> None:
        self._client.send("PUT", key, self.upsert(key, text).document)


class SqlTable(Platform):
    """A table whose trigger counts what was written; the text is its column ``title``."""

    kind = kinds()["sql"]
    _keys = count(1)

    def __init__(self, target: SqlTarget) -> None:
        self._target = target
        self.url = target.url
        self.nowhere = f"{target.url}_nowhere"
        self.channel = target.channel
        self.options = {"table": target.table, "key": ["id"], **target.options}

    def new_key(self) -> str:
        return str(next(self._keys))

    def upsert(self, key: str, text: str) -> Message:
        return Message(Action.UPSERT, {"id": int(key), "title": text})

    def delete(self, key: str) -> Message:
        return Message(Action.DELETE, {"id": int(key)})

    def read(self, key: str) -> str | None:
        found = self._target.query(f"SELECT title FROM {self._target.table} WHERE id = {int(key)}")
        return str(found[0][0]) if found else None

    def remove(self, key: str) -> None:
        self._target.query(f"DELETE FROM {self._target.table} WHERE id = {int(key)}")

    def edit(self, key: str, text: str) -> None:
        self._target.query(f"UPDATE {self._target.table} SET title = '{text}' WHERE id = {int(key)}")

    def effects(self, key: str) -> int:
        return sum(number == int(key) for _, number, _ in self._target.effects())
