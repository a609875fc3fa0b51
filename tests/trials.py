"""How the suites of ``verify-receiver`` try a receiver: few rounds, more by HMS_TEST_PROBE_ROUNDS."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from connectors.channel import Basic, Channel
from connectors.probing.model import ProbeResult, Subject, Verification
from connectors.probing.verify import HttpVerifier, verify
from connectors.registry import kinds
from tests.wire import LOOPBACK

ROUNDS = int(os.environ.get("HMS_TEST_PROBE_ROUNDS", "5"))
ANYBODY = Channel(allow_addresses=LOOPBACK)
HMS = Channel(auth=Basic("hms", SecretStr("secret")), allow_addresses=LOOPBACK)
JSON_FILES: Mapping[str, Any] = {
    "create": {"method": "PUT", "path": "/{id}.json"},
    "delete": {"method": "DELETE", "path": "/{id}.json"},
    "conditional": {"stamp": "hms_sync"},
}


def subject(kind: str, url: str, options: Mapping[str, Any] | None = None, scratch_url: str | None = None) -> Subject:
    """What is tried at a receiver of this kind."""
    found = kinds()[kind]
    made = found.verifier("platform", url, found.options.model_validate(options or {}), scratch_url)
    assert isinstance(made, HttpVerifier)
    return made.subject


def tried(trial: Subject, channel: Channel = ANYBODY, **how: Any) -> Verification:
    return verify(trial, channel, **{"rounds": ROUNDS, **how})


def failed(verification: Verification) -> set[int]:
    return {result.number for result in verification.results if result.passed is False}


def passed(verification: Verification) -> set[int]:
    return {result.number for result in verification.results if result.passed is True}


def result(verification: Verification, number: int) -> ProbeResult:
    return next(each for each in verification.results if each.number == number)
