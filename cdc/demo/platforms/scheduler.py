"""The scheduling API of the demo, a stand-in of ours: hearings, a register of documents, places of the map."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

import requests
import simplejson
from psycopg.rows import DictRow

from cdc.demo.effects import by_key
from cdc.demo.expected import Objects, local
from cdc.demo.findings import Fault, Finding
from cdc.demo.platforms.platform import Expectation, Started
from cdc.demo.platforms.wire import PlatformSilent, ask, expect, open_session
from cdc.demo.register import COLLECTIONS
from cdc.demo.scheduler_page import table
from cdc.demo.servers import launch, log_of, wait_until
from outbox.model import Json

_STATUS: Final = MappingProxyType(
    {"scheduled": "confirmed", "adjourned": "postponed", "cancelled": "cancelled", "concluded": "held"}
)
_SHOWN = 6


def _scheduled(row: DictRow) -> tuple[str, dict[str, Json]]:
    hearing: dict[str, Json] = {
        "id": row["id"],
        "case_number": row["case_number"],
        "title": row["title"],
        "kind": row["kind"],
        "starts_at": local(row["starts_at"]).isoformat(),
        "ends_at": local(row["ends_at"]).isoformat(),
        "room": row["room_code"],
        "presiding": row["presiding"],
        "participants": row["participants"],
        "status": _STATUS[row["status"]],
        "fee": {"amount": str(row["court_fee"]), "currency": "EUR"},
    }
    if row["language"] is not None:
        hearing["language"] = row["language"]
    return str(row["id"]), hearing


def _registered(row: DictRow) -> tuple[str, dict[str, Json]]:
    names = ("id", "hearing_id", "title", "classification", "content_type", "size_bytes", "sha256", "tags")
    filed = row["filed_at"].astimezone(UTC).isoformat().replace("+00:00", "Z")
    return row["id"], {**{name: row[name] for name in names}, "version": row["version_no"], "filed_at": filed}


def _mapped(row: DictRow) -> tuple[str, dict[str, Json]]:
    names = ("kind", "name", "geometry", "attributes", "valid_from", "area_m2", "valid_to")
    present = {name: row[name] for name in names if row[name] is not None}
    return row["code"], {"id": row["code"], **present}


@dataclass(frozen=True, slots=True)
class SchedulerClient:
    """The scheduler stand-in as any client sees it."""

    url: str
    token: str
    _http: requests.Session = field(default_factory=open_session, repr=False)

    title: ClassVar = "Public hearings"
    about: ClassVar = "a scheduling API of our own, over REST"
    connectors: ClassVar = frozenset({"PublicHearingScheduler", "DocumentRegister", "FeatureMap"})
    should: ClassVar[Mapping[str, Expectation]] = MappingProxyType(
        {
            "scheduler/hearings": ("hearings", _scheduled),
            "scheduler/documents": ("documents", _registered),
            "scheduler/features": ("features", _mapped),
        }
    )

    @property
    def settings(self) -> Mapping[str, str]:
        return {"@SCHEDULER@": self.url}

    @property
    def secrets(self) -> Mapping[str, str]:
        return {"scheduler-token": self.token}

    @property
    def home(self) -> str:
        return f"{self.url}/"

    @property
    def login(self) -> str:
        return ""

    def send(self, method: str, path: str, document: Json = None, *, key: str | None = None) -> requests.Response:
        """One request with our token; ``key`` is the Idempotency-Key."""
        headers = {"Authorization": f"Bearer {self.token}", **({"Idempotency-Key": key} if key else {})}
        body = None if document is None else simplejson.dumps(document, use_decimal=True).encode()
        return ask(self._http, method, self.url + path, data=body, headers=headers)

    def objects(self, collection: str) -> dict[str, Json]:
        """Everything that the collection holds, by id as text."""
        answer = expect(self.send("GET", f"/{collection}"), 200)
        return {str(item["id"]): item for item in simplejson.loads(answer.content, use_decimal=True)["items"]}

    def receipts(self) -> Mapping[str, Json]:
        """The platform's own count of writes that arrived and took effect."""
        return MappingProxyType(simplejson.loads(expect(self.send("GET", "/receipts"), 200).content))

    def is_up(self) -> bool:
        try:
            return self.send("GET", "/receipts").status_code == 200
        except PlatformSilent:
            return False

    def held(self) -> dict[str, Objects]:
        return {f"scheduler/{name}": self.objects(name) for name in COLLECTIONS}

    def effects(self, applied: Sequence[DictRow], log: Path) -> Iterator[Finding]:
        return at_scheduler([row for row in applied if row["connector"] in self.connectors], self.receipts())

    def card(self) -> str:
        hearings = list(self.objects("hearings").values())
        return f"<p>{len(hearings)} hearings, the next ones:</p>{table(hearings, most=_SHOWN)}"


def at_scheduler(applied: Sequence[DictRow], receipts: Mapping[str, Json]) -> Iterator[Finding]:
    """The scheduler counts by Idempotency-Key, so every single effect has a name."""
    yield from by_key("scheduler", applied, receipts["by_key"])
    if receipts["applied_without_key"]:
        detail = f"{receipts['applied_without_key']} effects without an Idempotency-Key"
        yield Finding("scheduler", Fault.EXTRA, "(no key)", detail)


def start_scheduler(directory: Path, *, port: int = 0) -> Started[SchedulerClient]:
    """The stand-in on ``port`` (0: a free one) with a new token; ``directory`` takes its log."""
    token = secrets.token_urlsafe(24)
    server = launch(
        "scheduler",
        ["cdc.demo.scheduler_api", "--port", str(port)],
        directory=directory,
        environment={"SCHEDULER_TOKEN": token},
    )
    wait_until(server, lambda: "http://" in log_of(server))
    client = SchedulerClient(log_of(server).strip(), token)
    wait_until(server, client.is_up)
    return Started(server, client)
