"""A stand-in for one layer of an ArcGIS feature service, made from its specification: no server can be had here.

It knows ``applyEdits`` with ``useGlobalIds`` and ``rollbackOnFailure``, ``query`` by GlobalID, tokens, and what the
specification says of failures: HTTP 200 with an error, or with a result per edit that is not a success.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import simplejson

TOKEN = "a-token"


@dataclass
class Layer:
    """What the layer holds, by GlobalID; ``required`` fields may not be null."""

    url: str = ""
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ("title",)
    next_id: int = 1
    edits: Counter[str] = field(default_factory=Counter)
    """How many edits each feature has seen."""

    def apply(self, form: dict[str, str]) -> dict[str, Any]:
        if form.get("useGlobalIds") != "true":
            return error(400, "useGlobalIds is false: attributes must hold an OBJECTID")
        before = dict(self.features)
        results = {
            "addResults": [self._add(each) for each in simplejson.loads(form.get("adds", "[]"))],
            "updateResults": [self._update(each) for each in simplejson.loads(form.get("updates", "[]"))],
            "deleteResults": [self._delete(each) for each in simplejson.loads(form.get("deletes", "[]"))],
        }
        failed = any(not each["success"] for group in results.values() for each in group)
        if failed and form.get("rollbackOnFailure", "true") == "true":
            self.features = before
        return results

    def _add(self, feature: dict[str, Any]) -> dict[str, Any]:
        key = feature["attributes"]["GlobalID"].upper()
        if key in self.features:
            return refused(key, 1000, "Setting of Value for GlobalID failed: it exists")
        self.next_id += 1
        return self._store(key, {"attributes": {"OBJECTID": self.next_id}}, feature)

    def _update(self, feature: dict[str, Any]) -> dict[str, Any]:
        key = feature["attributes"]["GlobalID"].upper()
        return (
            self._store(key, self.features[key], feature) if key in self.features else refused(key, 1019, "not found")
        )

    def _store(self, key: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        attributes = {**old["attributes"], **new["attributes"], "GlobalID": key}
        if any(attributes.get(name) is None for name in self.required):
            return refused(key, 1000, "Field title is not nullable.")
        self.edits[key] += 1
        self.features[key] = {"attributes": attributes, "geometry": new.get("geometry")}
        return {"objectId": attributes["OBJECTID"], "globalId": key, "success": True}

    def _delete(self, key: str) -> dict[str, Any]:
        found = self.features.pop(key.upper(), None)
        self.edits[key.upper()] += found is not None
        return {"globalId": key, "success": True} if found else refused(key, 1019, "not found")

    def query(self, asked: dict[str, str]) -> dict[str, Any]:
        wanted = re.fullmatch(r"GlobalID = '(\{[0-9A-F-]{36}\})'", asked["where"])
        if wanted is None:
            return error(400, "Unable to complete operation.")
        found = self.features.get(wanted[1])
        return {"globalIdFieldName": "GlobalID", "features": [found] if found else []}


def error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": []}}


def refused(key: str, code: int, description: str) -> dict[str, Any]:
    return {"objectId": -1, "globalId": key, "success": False, "error": {"code": code, "description": description}}


@contextmanager
def feature_service() -> Iterator[Layer]:
    """Run it in this process; ``url`` of what is yielded is the layer."""
    layer = Layer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            self._answer("query", lambda: layer.query(query))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._answer("applyEdits", lambda: layer.apply(form))

        def _answer(self, operation: str, act: Any) -> None:
            if not urlsplit(self.path).path.endswith(f"/FeatureServer/0/{operation}"):
                answer = error(404, "Layer not found")
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                answer = error(498, "Invalid token.")
            else:
                answer = act()
            body = simplejson.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        layer.url = f"http://127.0.0.1:{server.server_port}/arcgis/rest/services/court/FeatureServer/0"
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield layer
        finally:
            server.shutdown()
            thread.join()
