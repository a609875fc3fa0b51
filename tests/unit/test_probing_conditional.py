"""The probes of conditional writes on receivers that are wrong in ways that no server at hand is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from connectors.channel import Channel
from connectors.exchange import HttpRequest, HttpResponse, TransportFailure
from connectors.probing import conditional
from connectors.probing.lab import CannotTell, Finding, Lab
from tests.trials import JSON_FILES, subject


@dataclass
class Shelf:
    """A receiver in memory, obedient but for ``quirks``."""

    quirks: frozenset[str] = frozenset()
    held: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    versions: int = 0
    ended: list[tuple[Hashable, HttpResponse | TransportFailure]] = field(default_factory=list)

    def start(self, token: Hashable, request: HttpRequest, deadline_seconds: float) -> None:
        assert deadline_seconds > 0
        self.ended.append((token, self.answer(request)))

    def poll(self, timeout_seconds: float) -> Sequence[tuple[Hashable, HttpResponse | TransportFailure]]:
        assert timeout_seconds >= 0
        ended, self.ended = self.ended, []
        return ended

    def close(self) -> None:
        """Nothing is open."""

    def answer(self, request: HttpRequest) -> HttpResponse:
        there = self.held.get(request.url)
        if request.method == "GET":
            return HttpResponse(404) if there is None else HttpResponse(200, self.etag(there[0], "GET"), there[1])
        refusal = self.refusal(request.method, request.headers, there)
        if refusal is not None:
            return HttpResponse(refusal)
        if request.method == "DELETE":
            self.held.pop(request.url, None)
            return HttpResponse(204)
        return self.put(request)

    def put(self, request: HttpRequest) -> HttpResponse:
        self.versions += "one etag" not in self.quirks
        body = b"{}" if "drops the stamp" in self.quirks else request.body
        self.held[request.url] = (self.versions, body)
        return HttpResponse(201, self.etag(self.versions, "PUT"))

    def refusal(self, method: str, headers: Mapping[str, str], there: tuple[int, bytes] | None) -> int | None:
        if "If-None-Match" in headers and there is not None:
            return 409 if "says 409" in self.quirks else 412
        wanted = headers.get("If-Match")
        if wanted is None or (there is not None and wanted == self.etag(there[0], "GET").get("etag")):
            return 403 if wanted is not None and "refuses updates" in self.quirks else None
        if method == "DELETE" and "deletes anything" in self.quirks:
            return None
        return 409 if "says 409" in self.quirks else 412

    def etag(self, version: int, method: str) -> dict[str, str]:
        if "no etag" in self.quirks or (method == "PUT" and "etag on GET only" in self.quirks):
            return {}
        other = "-put" if method == "PUT" and "another etag" in self.quirks else ""
        return {"etag": f'{"W/" if "weak" in self.quirks else ""}"{version}{other}"'}


def lab(*quirks: str) -> Lab:
    return Lab(subject("http", "http://p.example", JSON_FILES), Channel(), Shelf(frozenset(quirks)), rounds=2, crowd=3)


def test_an_obedient_receiver_passes() -> None:
    for probe in (
        conditional.create_once,
        conditional.stale_refused,
        conditional.etag_changes,
        conditional.etag_strong,
        conditional.one_creator,
        conditional.one_updater,
        conditional.read_your_writes,
    ):
        finding = probe(lab())
        assert finding.passed is True, finding


@pytest.mark.parametrize(
    ("quirk", "probe", "sentence"),
    [
        ("says 409", conditional.create_once, "was answered 409 and kept the first"),
        ("says 409", conditional.stale_refused, "a PUT with a stale If-Match was answered 409"),
        ("deletes anything", conditional.stale_refused, "a DELETE with a stale If-Match was answered 204"),
        ("refuses updates", conditional.etag_changes, "a PUT with the right If-Match was answered 403"),
        ("one etag", conditional.etag_changes, "update 1 of the same length left the ETag as it was"),
        ("weak", conditional.etag_strong, 'the ETag is weak (W/"1")'),
        ("refuses updates", conditional.one_updater, "0 of 3 were accepted (403 (3 times))"),
        ("one etag", conditional.one_updater, "3 of 3 were accepted (201 (3 times))"),
    ],
)
def test_what_breaks_the_class_is_found(quirk: str, probe: Callable[[Lab], Finding], sentence: str) -> None:
    finding = probe(lab(quirk))
    assert finding.passed is False, finding
    assert sentence in finding.sentence


@pytest.mark.parametrize(
    ("quirk", "sentence"),
    [
        ("etag on GET only", "PUT does not give it, so each write is read back once"),
        ("another etag", 'PUT gives another one ("1-put") than GET ("1")'),
    ],
)
def test_an_etag_that_only_get_gives_is_enough(quirk: str, sentence: str) -> None:
    finding = conditional.etag_strong(lab(quirk))
    assert finding.passed is True
    assert sentence in finding.sentence


@pytest.mark.parametrize(
    ("quirk", "sentence"), [("no etag", "gives no ETag"), ("drops the stamp", "does not keep our stamp")]
)
def test_without_etag_or_stamp_nothing_can_be_told(quirk: str, sentence: str) -> None:
    with pytest.raises(CannotTell, match=sentence):
        conditional.create_once(lab(quirk))


def test_what_the_probes_leave_is_removed() -> None:
    tried = lab("says 409")
    conditional.create_once(tried)
    conditional.stale_refused(tried)
    assert isinstance(tried.transport, Shelf)
    assert tried.transport.held
    tried.clean()
    assert tried.transport.held == {}
