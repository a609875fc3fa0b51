"""What the stand-in platform holds and how it answers: pure state, one lock, no HTTP.

Every write that takes effect is counted, by object and by Idempotency-Key: duplicates are counted
here, on the platform, and not in a log of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType

from outbox.model import Json


@dataclass(frozen=True, slots=True)
class Collection:
    """One kind of object. ``put_creates``: PUT makes what is missing; else only POST creates."""

    name: str
    required: tuple[str, ...]
    put_creates: bool = False


HEARINGS = Collection("hearings", ("id", "case_number", "title", "starts_at", "ends_at", "room", "status"))
DOCUMENTS = Collection("documents", ("id", "title", "sha256", "content_type", "size_bytes"), put_creates=True)
FEATURES = Collection("features", ("id", "kind", "name", "geometry"), put_creates=True)
COLLECTIONS: Mapping[str, Collection] = MappingProxyType({c.name: c for c in (HEARINGS, DOCUMENTS, FEATURES)})


@dataclass(frozen=True, slots=True)
class Call:
    """One request, parsed: what, to which object, with which document and Idempotency-Key."""

    method: str
    collection: Collection
    object_id: str | None = None
    document: Json = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer; ``applied`` is True when this very call changed the register."""

    status: int
    document: Json = None
    applied: bool = False


@dataclass(slots=True)
class Receipts:
    """How many writes arrived and took effect; ``by_key`` counts effects, 0 for a key that had none."""

    received: int = 0
    applied: int = 0
    without_key: int = 0
    by_object: dict[str, int] = field(default_factory=dict)
    by_key: dict[str, int] = field(default_factory=dict)

    def note(self, call: Call, object_id: str, *, applied: bool) -> None:
        self.received += 1
        self.applied += applied
        name = f"{call.collection.name}/{object_id}"
        self.by_object[name] = self.by_object.get(name, 0) + applied
        if call.key is None:
            self.without_key += applied
        else:
            self.by_key[call.key] = self.by_key.get(call.key, 0) + applied

    def document(self) -> dict[str, Json]:
        return {
            "received": self.received,
            "applied": self.applied,
            "applied_without_key": self.without_key,
            "by_object": dict(self.by_object),
            "by_key": dict(self.by_key),
        }


def problem(status: int, title: str, detail: str) -> Reply:
    """An error that says what is wrong (RFC 9457)."""
    return Reply(status, {"type": "about:blank", "title": title, "status": status, "detail": detail})


class Register:
    """All objects of the platform, in memory, in the order in which they came."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._objects: dict[str, dict[str, Json]] = {name: {} for name in COLLECTIONS}
        self._created: dict[str, tuple[str, Reply]] = {}
        self._receipts = Receipts()

    def answer(self, call: Call) -> Reply:
        """What the platform says to ``call``; a write takes effect at most once per call."""
        with self._lock:
            if call.method == "GET":
                return self._get(call)
            reply = self._write(call)
            self._receipts.note(call, _id_of(call), applied=reply.applied)
            return reply

    def receipts(self) -> dict[str, Json]:
        with self._lock:
            return self._receipts.document()

    def objects(self, collection: Collection) -> list[Json]:
        with self._lock:
            return list(self._objects[collection.name].values())

    def _get(self, call: Call) -> Reply:
        held = self._objects[call.collection.name]
        if call.object_id is None:
            return Reply(200, {"items": list(held.values()), "total": len(held)})
        return Reply(200, held[call.object_id]) if call.object_id in held else _missing(call)

    def _write(self, call: Call) -> Reply:
        if call.method == "DELETE":
            return self._delete(call)
        reason = _fault(call)
        if reason is not None:
            return problem(422, "Unprocessable", reason)
        return self._post(call) if call.method == "POST" else self._put(call)

    def _post(self, call: Call) -> Reply:
        object_id = _id_of(call)
        if call.key is not None and call.key in self._created:
            first_id, first = self._created[call.key]
            return first if first_id == object_id else _key_reused(first_id)
        held = self._objects[call.collection.name]
        if object_id in held:
            return problem(409, "Conflict", f"{call.collection.name}/{object_id} exists already; use PUT to change it")
        held[object_id] = call.document
        if call.key is not None:
            self._created[call.key] = (object_id, Reply(201, call.document))
        return Reply(201, call.document, applied=True)

    def _put(self, call: Call) -> Reply:
        held = self._objects[call.collection.name]
        object_id = _id_of(call)
        new = object_id not in held
        if new and not call.collection.put_creates:
            return _missing(call)
        held[object_id] = call.document
        return Reply(201 if new else 200, call.document, applied=True)

    def _delete(self, call: Call) -> Reply:
        if self._objects[call.collection.name].pop(_id_of(call), None) is None:
            return _missing(call)
        return Reply(204, applied=True)


def _fault(call: Call) -> str | None:
    """Why the document cannot be taken, or None."""
    if not isinstance(call.document, dict):
        return "the body must be a JSON object"
    missing = [name for name in call.collection.required if call.document.get(name) in (None, "")]
    if missing:
        return f"missing: {', '.join(missing)}"
    if call.object_id is not None and str(call.document["id"]) != call.object_id:
        return f"the body says id {call.document['id']}, the address says {call.object_id}"
    return None


def _id_of(call: Call) -> str:
    if call.object_id is not None:
        return call.object_id
    return str(call.document.get("id", "")) if isinstance(call.document, dict) else ""


def _missing(call: Call) -> Reply:
    return problem(404, "Not found", f"there is no {call.collection.name}/{_id_of(call)}")


def _key_reused(first_id: str) -> Reply:
    return problem(422, "Unprocessable", f"this Idempotency-Key created {first_id}; a new object needs a new key")
