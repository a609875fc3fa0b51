"""The verdict on platforms that remember keys: three middlewares of the package index fail in three ways."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.channel import Bearer, Channel
from outbox.model import Guarantee, HmsSyncError
from tests.receivers import keyed_app
from tests.servers import free_port
from tests.trials import failed, result, subject, tried
from tests.wire import LOOPBACK

ANSWERS = ("text", "no_content", "refused", "busy", "failed", "exception")
THINGS: Mapping[str, Any] = {
    "create": {"method": "POST", "path": "/things"},
    "update": {"method": "PUT", "path": "/things/{record}"},
    "delete": {"method": "DELETE", "path": "/things/{record}"},
    "idempotency": {"window": "24h"},
    "verify": {
        "body": {"record": "{record_key}"},
        "count": {"path": "/effects/{record_key}", "found": "effects"},
        "answers": {answer: {"answer": answer} for answer in ANSWERS},
    },
}
TWICE = "a write with a repeated key ({}) was answered {}, then {}, and took effect 2 times"


def test_a_platform_that_stores_every_outcome_carries_its_class(tmp_path: Path) -> None:
    with keyed_app(tmp_path, "good") as url:
        verdict = tried(subject("http", url, THINGS))
    assert failed(verdict) == set(), verdict
    assert (verdict.carries, verdict.passed) == (Guarantee.EXACT_WINDOW, True)
    assert {each.number for each in verdict.results if each.passed is None} == {1, 2, 3, 4, 5, 6, 7}
    assert all(answer in result(verdict, 8).sentence for answer in ("success", *ANSWERS))
    assert result(verdict, 10).sentence.startswith("429 was tried and had no effect")


@pytest.mark.parametrize(
    ("middleware", "faults"),
    [
        ("asgi-idempotency-header", [TWICE.format("text", 201, 201), TWICE.format("no_content", 204, 204)]),
        (
            "fastapi-idempotency",
            [
                TWICE.format("failed", 500, 500),
                TWICE.format("exception", 500, 500),
                "two equal writes without a key were taken for one, silently",
            ],
        ),
        ("fastapi-idempotency-key", [TWICE.format("failed", 500, 500), TWICE.format("exception", 500, 500)]),
    ],
)
def test_each_middleware_is_refused_for_what_it_forgets(tmp_path: Path, middleware: str, faults: list[str]) -> None:
    with keyed_app(tmp_path, middleware) as url:
        verdict = tried(subject("http", url, THINGS))
    assert failed(verdict) == {8}, verdict
    assert (verdict.carries, verdict.passed) == (Guarantee.ONCE_OR_ASK, False)
    assert result(verdict, 8).sentence.split("; ") == faults


def test_a_platform_without_memory_fails_everything_and_asking_it_remains(tmp_path: Path) -> None:
    lookup = {"path": "/effects/{record_key}", "found": "effects"}
    with keyed_app(tmp_path, "none") as url:
        verdict = tried(subject("http", url, {**THINGS, "lookup": lookup}))
    assert verdict.carries is Guarantee.VERIFY
    said = result(verdict, 8).sentence
    assert "another record under a used key was answered 201 and took effect" in said
    assert "a change with a repeated key was answered 200 (2 times) and took effect 2 times" in said
    assert "16 writes at once with one key (201 (16 times)) took effect 16 times" in said


def test_a_status_that_is_wrongly_declared_to_mean_nothing_happened_is_found(tmp_path: Path) -> None:
    with keyed_app(tmp_path, "good") as url:
        verdict = tried(subject("http", url, {**THINGS, "statuses": {500: "retry"}}), only=(8, 10))
    assert failed(verdict) == {10}
    assert "failed was answered 500 and took effect" in result(verdict, 10).sentence
    assert not verdict.passed


def test_asking_is_enough_for_the_class_that_asks(tmp_path: Path) -> None:
    options = {**THINGS, "idempotency": {}, "lookup": {"path": "/effects/{record_key}", "found": "effects"}}
    with keyed_app(tmp_path, "none") as url:
        verdict = tried(subject("http", url, options), only=(9, 10))
    assert (verdict.declared, verdict.passed) == (Guarantee.VERIFY, True)


def test_without_a_way_to_count_nothing_is_taken_on_trust(tmp_path: Path) -> None:
    options = {name: value for name, value in THINGS.items() if name != "verify"}
    with keyed_app(tmp_path, "good") as url:
        verdict = tried(subject("http", url, options))
    assert not verdict.passed
    assert "options.verify does not say how to count" in result(verdict, 8).sentence


def test_an_answer_to_the_count_that_is_no_number_is_no_support(tmp_path: Path) -> None:
    verify = {**THINGS["verify"], "count": {"path": "/effects/{record_key}", "found": "nothing"}}
    with keyed_app(tmp_path, "good") as url:
        verdict = tried(subject("http", url, {**THINGS, "verify": verify}), only=(8,))
    assert (result(verdict, 8).passed, verdict.passed) == (None, False)
    assert "verify.count was answered 200 and gives no number" in result(verdict, 8).sentence


def test_a_body_that_cannot_be_sent_is_a_mistake_of_the_config(tmp_path: Path) -> None:
    with keyed_app(tmp_path, "good") as url:
        trial = subject("http", url, {**THINGS, "create": {"method": "POST", "path": "/things/{missing}"}})
        with pytest.raises(HmsSyncError, match=r"options\.verify\.body cannot be sent: \{missing\} has no value"):
            tried(trial, only=(8,))


def test_the_stand_in_of_the_demo_forgets_the_keys_of_changes() -> None:
    """It remembers those of creates; a late copy of a change would overwrite a newer one."""
    hearing = {"id": "{record_key}", "case_number": "C-1", "title": "Trial", "room": "1", "status": "scheduled"}
    body = {**hearing, "starts_at": "2026-03-01T10:00:00Z", "ends_at": "2026-03-01T11:00:00Z"}
    count = {"path": "/receipts", "found": "applied"}
    options = {"idempotency_window": "24h", "verify": {"body": body, "count": count}}
    command = [sys.executable, "-m", "cdc.demo.scheduler_api", "--port", str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "SCHEDULER_TOKEN": "t"}) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        try:
            channel = Channel(auth=Bearer(SecretStr("t")), allow_addresses=LOOPBACK)
            verdict = tried(subject("scheduler", url, options), channel, only=(8,))
        finally:
            process.terminate()
    assert verdict.carries is Guarantee.CONVERGE
    assert result(verdict, 8).sentence == (
        "a change with a repeated key was answered 200 (2 times) and took effect 2 times"
    )
