"""The ``scheduler`` kind against the demo's stand-in, a process of its own that counts what it applied."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from ipaddress import ip_network
from itertools import count
from uuid import uuid4

import pytest
import requests
import simplejson
from pydantic import SecretStr

from connectors.channel import Bearer, Channel
from connectors.courier import Courier, deliver_now
from connectors.exchange import HttpConnector
from connectors.http.connector import RestConnector
from connectors.http.options import HttpOptions
from connectors.kind import probe_problem
from connectors.registry import kinds
from connectors.scheduler import SchedulerConnector
from connectors.transports import open_transport
from outbox.model import Action, Applied, ErrorClass, HmsSyncError, Json, Message, Outcome, Rejected, RemoteObject
from tests.exchanges import delivery
from tests.hostile import hostile, resets
from tests.servers import free_port

TOKEN = "t0ken"
LOOPBACK = (ip_network("127.0.0.0/8"),)
CHANGES = count(1)


@dataclass(frozen=True)
class Scheduler:
    url: str

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)

    def applied(self, key: str) -> int:
        return int(self.get("/receipts").json()["by_key"].get(key, 0))


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Scheduler]:
    command = [sys.executable, "-m", "cdc.demo.scheduler_api", "--port", "0"]
    environment = {**os.environ, "SCHEDULER_TOKEN": TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            yield Scheduler(process.stdout.readline().decode().strip())
        finally:
            process.terminate()


def hearing(title: str = "Hearing", **fields: Json) -> dict[str, Json]:
    base = {"id": str(uuid4()), "case_number": "C-1", "title": title, "room": "1", "status": "scheduled"}
    return {**base, "starts_at": "2026-03-01T10:00:00Z", "ends_at": "2026-03-01T11:00:00Z", **fields}


def upsert(document: dict[str, Json]) -> Message:
    return Message(Action.UPSERT, document, simplejson.dumps(document, use_decimal=True).encode())


@pytest.fixture(params=["curl", "requests"])
def courier(request: pytest.FixtureRequest, scheduler: Scheduler) -> Iterator[Courier]:
    opened = open_courier(SchedulerConnector(scheduler.url), request.param)
    yield opened
    opened.close()


def open_courier(connector: HttpConnector, kind: str = "curl", token: str = TOKEN) -> Courier:
    channel = Channel(auth=Bearer(SecretStr(token)), allow_addresses=LOOPBACK)
    return Courier(
        connector, open_transport(kind, channel, 4), deadline_seconds=5, concurrency=4, secrets=lambda: channel.secrets
    )


def deliver(courier: Courier, message: Message, change: int, remote: RemoteObject | None = None) -> Outcome:
    document = message.document
    return deliver_now(courier, delivery(change, str(document["id"])), message, remote).outcome


def test_create_change_and_remove(courier: Courier, scheduler: Scheduler) -> None:
    document = hearing()
    path = f"/hearings/{document['id']}"
    assert isinstance(deliver(courier, upsert(document), next(CHANGES)), Applied)
    held = RemoteObject(change_id=1)
    assert isinstance(deliver(courier, upsert({**document, "title": "Moved"}), next(CHANGES), held), Applied)
    assert scheduler.get(path).json()["title"] == "Moved"
    for _ in range(2):
        assert isinstance(deliver(courier, Message(Action.DELETE, document), next(CHANGES), held), Applied)
    assert scheduler.get(path).status_code == 404
    assert isinstance(deliver(courier, upsert(document), next(CHANGES), replace(held, absent=True)), Applied)
    assert scheduler.get(path).status_code == 200


def test_a_resend_of_a_create_takes_effect_once(courier: Courier, scheduler: Scheduler) -> None:
    document = hearing()
    change = next(CHANGES)
    key = str(delivery(change, str(document["id"])).key)
    for _ in range(3):
        assert isinstance(deliver(courier, upsert(document), change), Applied)
    assert scheduler.applied(key) == 1
    assert scheduler.get(f"/hearings/{document['id']}").json()["title"] == document["title"]


def test_a_record_that_is_there_is_changed_and_one_that_is_gone_created(courier: Courier, scheduler: Scheduler) -> None:
    document = hearing()
    assert isinstance(deliver(courier, upsert(document), next(CHANGES)), Applied)
    assert isinstance(deliver(courier, upsert({**document, "title": "Again"}), next(CHANGES)), Applied)
    assert scheduler.get(f"/hearings/{document['id']}").json()["title"] == "Again"
    unknown = hearing()
    assert isinstance(deliver(courier, upsert(unknown), next(CHANGES), RemoteObject(change_id=1)), Applied)
    assert scheduler.get(f"/hearings/{unknown['id']}").status_code == 200


def test_a_refused_record_is_to_blame_itself(courier: Courier) -> None:
    document = hearing()
    del document["room"]
    outcome = deliver(courier, upsert(document), next(CHANGES))
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.REFUSED, False)
    assert "room" in outcome.answer.excerpt


def test_a_wrong_token_stops_the_connector(scheduler: Scheduler) -> None:
    courier = open_courier(SchedulerConnector(scheduler.url), token="wrong")
    outcome = deliver(courier, upsert(hearing()), next(CHANGES))
    courier.close()
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)


def test_the_http_kind_reaches_an_upsert_api(scheduler: Scheduler) -> None:
    document = {
        "id": str(uuid4()),
        "title": "Brief",
        "sha256": "0" * 64,
        "content_type": "application/pdf",
        "size_bytes": 1,
    }
    paths = {"method": "PUT", "path": "/documents/{id}"}
    options = HttpOptions.model_validate({"create": paths, "delete": {**paths, "method": "DELETE"}})
    courier = open_courier(RestConnector(scheduler.url, options))
    assert isinstance(deliver(courier, upsert(document), next(CHANGES)), Applied)
    assert scheduler.get(f"/documents/{document['id']}").json()["title"] == "Brief"
    assert isinstance(deliver(courier, Message(Action.DELETE, document), next(CHANGES)), Applied)
    courier.close()
    assert scheduler.get(f"/documents/{document['id']}").status_code == 404


@pytest.mark.parametrize(
    ("path", "token", "expected"),
    [("", TOKEN, None), ("", "wrong", "credentials"), ("/nowhere", TOKEN, "no such resource")],
)
def test_the_probe_tells_what_is_wrong(scheduler: Scheduler, path: str, token: str, expected: str | None) -> None:
    kind = kinds()["scheduler"]
    assert kind.probe is not None
    channel = Channel(auth=Bearer(SecretStr(token)), allow_addresses=LOOPBACK)
    transport = open_transport("requests", channel, 1)
    problem = probe_problem(transport, kind.probe(scheduler.url + path, kind.options()), 5)
    transport.close()
    assert problem is None if expected is None else expected in (problem or "")


# ---------------------------------------------------------------- without daemon


def test_send_creates_and_changes(scheduler: Scheduler) -> None:
    connector = SchedulerConnector(scheduler.url, TOKEN)
    document = hearing(fee=Decimal("12345678901234567890.12"))
    assert connector.send(document) is True
    assert connector.send({**document, "title": "Changed"}) is True
    held = simplejson.loads(scheduler.get(f"/hearings/{document['id']}").content, use_decimal=True)
    assert (held["title"], held["fee"]) == ("Changed", Decimal("12345678901234567890.12"))


def test_send_tells_a_refusal_from_no_answer(scheduler: Scheduler) -> None:
    assert SchedulerConnector(scheduler.url, TOKEN).send({"id": "x"}) is False
    assert SchedulerConnector(scheduler.url, "wrong").send(hearing()) is False
    with pytest.raises(HmsSyncError, match="'nonsense' is not an http or https URL"):
        SchedulerConnector("nonsense", TOKEN).send(hearing())
    with pytest.raises(HmsSyncError, match="no clear answer"):
        SchedulerConnector(f"http://127.0.0.1:{free_port()}", TOKEN).send(hearing())
    with hostile(resets) as receiver, pytest.raises(HmsSyncError, match="no clear answer"):
        SchedulerConnector(receiver.url, TOKEN).send(hearing())
