"""What each answer means: the table of docs/guarantees.md, line by line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.answers import EXCERPT_CHARACTERS, classify, redacted, retry_after
from connectors.exchange import HttpResponse
from connectors.hiding import printable
from outbox.model import Answer, Applied, ErrorClass, NotApplied, Outcome, Rejected, Unknown

PLATFORM, RECORD = True, False


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207])
@pytest.mark.parametrize("complete", [True, False])
def test_a_2xx_is_applied_even_with_a_cut_body(status: int, *, complete: bool) -> None:
    assert isinstance(classify(HttpResponse(status, complete=complete)), Applied)


@pytest.mark.parametrize(
    ("status", "error_class", "platform"),
    [
        (300, ErrorClass.MISCONFIGURED, PLATFORM),
        (301, ErrorClass.MISCONFIGURED, PLATFORM),
        (302, ErrorClass.MISCONFIGURED, PLATFORM),
        (303, ErrorClass.MISCONFIGURED, PLATFORM),
        (304, ErrorClass.MISCONFIGURED, PLATFORM),
        (307, ErrorClass.MISCONFIGURED, PLATFORM),
        (308, ErrorClass.MISCONFIGURED, PLATFORM),
        (400, ErrorClass.REFUSED, RECORD),
        (401, ErrorClass.CREDENTIALS, PLATFORM),
        (403, ErrorClass.CREDENTIALS, PLATFORM),
        (404, ErrorClass.REFUSED, RECORD),
        (405, ErrorClass.MISCONFIGURED, PLATFORM),
        (406, ErrorClass.REFUSED, RECORD),
        (407, ErrorClass.CREDENTIALS, PLATFORM),
        (409, ErrorClass.CONFLICT, RECORD),
        (410, ErrorClass.REFUSED, RECORD),
        (412, ErrorClass.CONFLICT, RECORD),
        (413, ErrorClass.REFUSED, RECORD),
        (415, ErrorClass.REFUSED, RECORD),
        (422, ErrorClass.REFUSED, RECORD),
        (451, ErrorClass.REFUSED, RECORD),
    ],
)
def test_rejections(status: int, error_class: ErrorClass, *, platform: bool) -> None:
    outcome = classify(HttpResponse(status, body=b"why"))
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform, outcome.answer) == (error_class, platform, Answer(status, "why"))


def test_404_at_a_collection_is_a_wrong_url() -> None:
    outcome = classify(HttpResponse(404), missing_is_wrong_url=True)
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.MISCONFIGURED, True)


@pytest.mark.parametrize(
    "text", [b"<center>No required SSL certificate was sent</center>", b"The SSL certificate error"]
)
def test_a_400_of_nginx_about_certificates_is_no_fault_of_the_record(text: bytes) -> None:
    outcome = classify(HttpResponse(400, body=b"<html>" + text))
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)


@pytest.mark.parametrize("status", [408, 425, 503])
def test_unavailable_is_unknown_until_the_receiver_declares_otherwise(status: int) -> None:
    response = HttpResponse(status, {"retry-after": "7"})
    undeclared = classify(response)
    assert isinstance(undeclared, Unknown)
    assert (undeclared.error_class, undeclared.retry_after_seconds) == (ErrorClass.UNAVAILABLE, 7)
    declared = classify(response, not_applied=frozenset({status}))
    assert isinstance(declared, NotApplied)
    assert (declared.error_class, declared.retry_after_seconds, declared.platform) == (ErrorClass.UNAVAILABLE, 7, True)


def test_429_is_declared_by_its_meaning_and_may_be_undeclared() -> None:
    assert isinstance(classify(HttpResponse(429)), NotApplied)
    assert isinstance(classify(HttpResponse(429), not_applied=frozenset()), Unknown)


@pytest.mark.parametrize("status", [100, 101, 500, 501, 502, 504, 505, 520, 599, 600, 999])
def test_everything_else_is_unknown(status: int) -> None:
    outcome = classify(HttpResponse(status))
    assert isinstance(outcome, Unknown)
    assert outcome.error_class is ErrorClass.SERVER


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 120 "}, 120),
        ({"retry-after": "999999999999999999999"}, 3600),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT"}, 10),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT"}, 0),
        ({"retry-after": "Thu, 22 Oct 2026 07:28:00 GMT"}, 3600),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT", "date": "Wed, 21 Oct 2026 07:28:05 GMT"}, 5),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:10 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=datetime(2026, 10, 21, 7, 28, tzinfo=UTC)) == seconds


def test_what_is_kept_is_short_escaped_and_without_secrets() -> None:
    body = b"\x1b[31mtoken t0ps3cret\r\n" + b"x" * 1000
    outcome = redacted(classify(HttpResponse(422, body=body)), ["t0ps3cret"])
    assert outcome.answer.excerpt.startswith("\\x1b[31mtoken ***\\r\\nxxx")
    assert len(outcome.answer.excerpt) == EXCERPT_CHARACTERS


def test_a_secret_across_the_cut_leaves_no_part_of_itself() -> None:
    secret = "s" * 40 + "e" * 40
    body = b"-" * (EXCERPT_CHARACTERS - 20) + secret.encode() + b"-" * 100
    excerpt = redacted(classify(HttpResponse(500, body=body)), [secret]).answer.excerpt
    assert "s" not in excerpt
    assert "***" in excerpt


@pytest.mark.parametrize(
    "outcome",
    [
        Applied(Answer(200, "a secret")),
        NotApplied(ErrorClass.NETWORK, "a secret", Answer(1, "a secret")),
        Rejected(ErrorClass.REFUSED, "a secret", Answer(1, "a secret")),
        Unknown(ErrorClass.SERVER, "a secret", Answer(1, "a secret")),
    ],
)
def test_every_outcome_is_redacted(outcome: Outcome) -> None:
    assert "secret" not in repr(redacted(outcome, ["secret"]))


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert "\ufffd" in classify(HttpResponse(500, body=b"\xff\xfe")).answer.excerpt


def test_printable_escapes_what_could_forge_a_log_line() -> None:
    assert printable("a\nb\u2028c\u202ed", 99) == "a\\nb\\u2028c\\u202ed"
