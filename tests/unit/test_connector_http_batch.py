"""Batches of the ``http`` kind: one request, one outcome per record; what the answer does not say is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import simplejson
from pydantic import ValidationError

from connectors.batch import Item, OpenGate
from connectors.channel import Channel
from connectors.http.batch import HttpBatchConnector
from connectors.http.options import HttpOptions
from outbox.model import Applied, ErrorClass, Json, NotApplied, Outcome, Rejected, Unknown
from tests.exchanges import delete, delivery, upsert
from tests.wire import LOOPBACK

OPTIONS: dict[str, Any] = {
    "create": {"method": "PUT", "path": "/{id}"},
    "delete": {"method": "DELETE", "path": "/{id}"},
    "batch": {
        "path": "/bulk",
        "size": 8,
        "item": "{ref: key, op: action, data: document}",
        "body": "{operations: items}",
        "results": "results",
        "result_name": "ref",
    },
}
Operations = Sequence[dict[str, Json]]
Answering = Callable[[Operations], tuple[int, Json]]


@contextmanager
def bulk(answering: Answering) -> Iterator[tuple[str, list[Operations]]]:
    """A hostile receiver of batches; the batches that it got."""
    got: list[Operations] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/bulk"
            got.append(simplejson.loads(self.rfile.read(int(self.headers["Content-Length"])))["operations"])
            status, document = answering(got[-1])
            body = simplejson.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


def item(number: int, *, key: str = "", removes: bool = False) -> Item:
    document = {"id": number}
    return Item(delivery(number, key or str(number)), delete(document) if removes else upsert(document))


def delivered(answering: Answering, *items: Item, **batch: Any) -> tuple[list[Outcome], list[Operations]]:
    options = HttpOptions.model_validate({**OPTIONS, "batch": {**OPTIONS["batch"], **batch}})
    with bulk(answering) as (url, got):
        session = HttpBatchConnector(url, options).open(Channel(allow_addresses=LOOPBACK), 5)
        outcomes = list(session.deliver(items, OpenGate()))
        session.close()
    return outcomes, got


def each(*statuses: int) -> Answering:
    """Results in reverse, by the name of their record."""

    def answering(operations: Operations) -> tuple[int, Json]:
        found = [{"ref": one["ref"], "status": code} for one, code in zip(operations, statuses, strict=True)]
        return 207, {"results": found[::-1]}

    return answering


def test_each_record_has_the_outcome_of_its_own_result() -> None:
    items = [item(1), item(2), item(3, removes=True), item(4, removes=True), item(5), item(6)]
    outcomes, got = delivered(each(201, 422, 204, 404, 429, 500), *items)
    assert [type(outcome) for outcome in outcomes] == [Applied, Rejected, Applied, Applied, NotApplied, Unknown]
    assert not any(getattr(outcome, "platform", False) for outcome in outcomes[:4])
    assert [(one["op"], one["data"]) for one in got[0][1:3]] == [("upsert", {"id": 2}), ("delete", {"id": 3})]


def missing(operations: Operations) -> tuple[int, Json]:
    return 200, {"results": [{"ref": one["ref"], "status": 200} for one in operations[1:]]}


def twice(operations: Operations) -> tuple[int, Json]:
    return 200, {"results": [{"ref": one["ref"], "status": code} for one in operations for code in (200, 422)]}


def shapeless(operations: Operations) -> tuple[int, Json]:
    return 200, {"results": [{"ref": one["ref"], "status": "fine"} for one in operations]}


@pytest.mark.parametrize(
    ("answering", "unknown"),
    [
        (missing, [1]),
        (twice, [1, 2]),
        (shapeless, [1, 2]),
        (lambda _: (200, {"ok": True}), [1, 2]),
        (lambda _: (200, "?"), [1, 2]),
    ],
    ids=["missing", "twice", "shapeless", "without results", "no object"],
)
def test_what_the_answer_does_not_say_is_in_doubt(answering: Answering, unknown: list[int]) -> None:
    outcomes, _ = delivered(answering, item(1), item(2))
    assert [number for number, outcome in enumerate(outcomes, 1) if isinstance(outcome, Unknown)] == unknown
    assert all(isinstance(outcome, Applied | Unknown) for outcome in outcomes)


def test_results_without_names_stand_in_the_order_of_the_records_and_are_all_there() -> None:
    def in_order(operations: Operations) -> tuple[int, Json]:
        return 200, {"results": [{"status": 200}, {"status": 422}][: len(operations)]}

    outcomes, _ = delivered(in_order, item(1), item(2), result_name=None)
    assert [type(outcome) for outcome in outcomes] == [Applied, Rejected]
    outcomes, _ = delivered(in_order, item(1), item(2), item(3), result_name=None)
    assert {type(outcome) for outcome in outcomes} == {Unknown}


def test_a_batch_that_is_refused_whole_is_halved_until_one_record_is_to_blame() -> None:
    def picky(operations: Operations) -> tuple[int, Json]:
        if any(one["data"]["id"] == 3 for one in operations):
            return 400, {"detail": "id 3"}
        return each(*[200] * len(operations))(operations)

    outcomes, got = delivered(picky, *map(item, range(1, 7)))
    assert [number for number, outcome in enumerate(outcomes, 1) if isinstance(outcome, Rejected)] == [3]
    assert all(isinstance(outcome, Applied) for number, outcome in enumerate(outcomes, 1) if number != 3)
    assert len(got) < 8


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, (Rejected, ErrorClass.CREDENTIALS)),
        (500, (Unknown, ErrorClass.SERVER)),
        (429, (NotApplied, ErrorClass.UNAVAILABLE)),
    ],
)
def test_an_answer_about_the_whole_speaks_for_each(status: int, expected: tuple[type, ErrorClass]) -> None:
    outcomes, got = delivered(lambda _: (status, {}), item(1), item(2))
    assert [(type(outcome), getattr(outcome, "error_class", None)) for outcome in outcomes] == [expected] * 2
    assert len(got) == 1


def test_a_batch_has_its_size_and_each_record_once() -> None:
    def fine(operations: Operations) -> tuple[int, Json]:
        return each(*[200] * len(operations))(operations)

    outcomes, got = delivered(fine, *map(item, range(1, 12)))
    assert {type(outcome) for outcome in outcomes} == {Applied}
    assert max(map(len, got)) <= 8
    _, got = delivered(fine, item(1, key="same"), item(2, key="same"))
    assert [[one["data"]["id"] for one in operations] for operations in got] == [[1], [2]]


def test_a_record_that_cannot_be_written_stops_only_itself() -> None:
    broken = Item(delivery(2), upsert({"id": None}))
    outcomes, got = delivered(each(200, 200), item(1), broken, item(3))
    assert [type(outcome) for outcome in outcomes] == [Applied, Rejected, Applied]
    assert [len(operations) for operations in got] == [2]


def test_nobody_there_is_not_applied() -> None:
    options = HttpOptions.model_validate(OPTIONS)
    session = HttpBatchConnector("http://127.0.0.1:9", options).open(Channel(allow_addresses=LOOPBACK), 5)
    assert {type(outcome) for outcome in session.deliver([item(1), item(2)], OpenGate())} == {NotApplied}
    session.close()


@pytest.mark.parametrize(
    "change",
    [
        {"update": {"method": "PUT", "path": "/{id}"}},
        {"idempotency": {}},
        {"headers": {"X-Key": "{key}"}},
        {"batch": {**OPTIONS["batch"], "path": "/bulk/{id}"}},
        {"batch": {**OPTIONS["batch"], "body": "item"}},
    ],
)
def test_options_that_a_batch_cannot_keep_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpOptions.model_validate({**OPTIONS, **change})
