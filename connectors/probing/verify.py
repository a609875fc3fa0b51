"""Runs the probes against a receiver, in a scratch place that is removed at the end."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from connectors.certificates import public_key
from connectors.channel import Channel
from connectors.exchange import HttpRequest, HttpResponse, TransportFailure
from connectors.probing import conditional, keys
from connectors.probing.judgement import carries
from connectors.probing.lab import CannotTell, Finding, Lab, untold
from connectors.probing.model import ProbeResult, Progress, Subject, Verification
from connectors.transports import open_transport
from connectors.transports.dialling import connection
from outbox.model import Guarantee, HmsSyncError

QUICK_PROBES = (1, 2, 3, 4, 7, 8, 10)
"""Those that take seconds; 8 only where the receiver promises to remember keys."""

_TELLING = ("server", "x-powered-by", "dav")


@dataclass(frozen=True, slots=True)
class _Probe:
    """How one question is put to a receiver of conditional writes, and to one that remembers keys."""

    name: str
    conditional: Callable[[Lab], Finding] | None = None
    keyed: Callable[[Lab], Finding] | None = None


PROBES: Mapping[int, _Probe] = MappingProxyType(
    {
        1: _Probe("create_once", conditional.create_once),
        2: _Probe("stale_refused", conditional.stale_refused),
        3: _Probe("etag_changes", conditional.etag_changes),
        4: _Probe("etag_strong", conditional.etag_strong),
        5: _Probe("one_creator", conditional.one_creator),
        6: _Probe("one_updater", conditional.one_updater),
        7: _Probe("cut_body", conditional.cut_body),
        8: _Probe("keys_remembered", None, keys.keys_remembered),
        9: _Probe("read_your_writes", conditional.read_your_writes, keys.seen_at_once),
        10: _Probe("not_applied", keys.not_applied, keys.not_applied),
    }
)


@dataclass(frozen=True, slots=True)
class HttpVerifier:
    """Tries a receiver of HTTP; see :class:`~connectors.probing.model.Verifier`."""

    subject: Subject

    def fingerprint(self, channel: Channel) -> str:
        return fingerprint(self.subject, channel)

    def verify(self, channel: Channel, *, rounds: int, quick: bool, progress: Progress) -> Verification:
        only = QUICK_PROBES if quick else None
        return verify(self.subject, channel, rounds=rounds, only=only, progress=progress)


def verify(
    subject: Subject,
    channel: Channel,
    *,
    rounds: int = 200,
    parallel: int = 16,
    only: Collection[int] | None = None,
    progress: Progress = lambda _name, _done, _total: None,
) -> Verification:
    """Run the probes (or ``only`` some) and judge.

    HmsSyncError where the receiver cannot be reached or no scratch place can be made.
    """
    known_as = fingerprint(subject, channel)
    with _lab(subject, channel, rounds, parallel) as lab:
        numbers = sorted(PROBES if only is None else only)
        results = tuple(
            lab.measured(number, PROBES[number].name, partial(_finding, lab, PROBES[number]), progress)
            for number in numbers
        )
    verdict = carries(subject.declared, subject.otherwise, results)
    return Verification(subject.connector, subject.declared, verdict, known_as, results)


def nothing_to_verify(connector: str, declared: Guarantee) -> Verification:
    """The verdict about a kind or class that rests on nothing which a probe could show."""
    sentence = f"{declared} rests on nothing that a probe could show"
    results = tuple(ProbeResult(number, probe.name, None, sentence) for number, probe in PROBES.items())
    return Verification(connector, declared, declared, "", results)


def fingerprint(subject: Subject, channel: Channel) -> str:
    """Product, version and TLS key of the receiver, by one harmless request; the same as long as they are."""
    transport = open_transport("curl", channel, 1)
    try:
        response = Lab(subject, channel, transport, rounds=1, crowd=1).send(subject.harmless)
        parts = [f"{name}: {response.headers[name]}" for name in _TELLING if name in response.headers]
        if subject.harmless.url.startswith("https:"):
            parts.append(f"tls: {_tls_key(channel, subject.harmless.url)}")
    except (TransportFailure, OSError) as failure:
        raise HmsSyncError(
            f"the receiver of connector {subject.connector} cannot be reached ({failure}); check its url"
        ) from failure
    finally:
        transport.close()
    return "; ".join(parts)


def _tls_key(channel: Channel, url: str) -> str:
    with connection(channel, url, channel.connect_timeout_seconds) as opened:
        certificate = opened.sock.getpeercert(binary_form=True) if isinstance(opened.sock, ssl.SSLSocket) else None
    return "sha256=" + hashlib.sha256(public_key(certificate or b"")).hexdigest()


@contextmanager
def _lab(subject: Subject, channel: Channel, rounds: int, parallel: int) -> Iterator[Lab]:
    """A lab with its scratch place made, and removed whatever happens."""
    transport = open_transport("curl", channel, parallel)
    lab = Lab(subject, channel, transport, rounds, parallel)
    try:
        if subject.make is not None:
            _make(lab, subject.make)
        yield lab
    finally:
        lab.clean()
        transport.close()


def _make(lab: Lab, request: HttpRequest) -> None:
    try:
        made: HttpResponse | TransportFailure = lab.send(request)
    except TransportFailure as failure:
        made = failure
    if isinstance(made, HttpResponse) and made.ok:
        lab.made = True
        return
    said = f"answered HTTP {made.status}" if isinstance(made, HttpResponse) else made.reason
    raise HmsSyncError(
        f"no scratch place can be made beside the one of connector {lab.subject.connector} "
        f"({request.method} {request.url}: {said}); make one by hand and pass its URL as scratch url"
    )


def _finding(lab: Lab, probe: _Probe) -> Finding:
    run = probe.conditional if lab.subject.objects is not None else probe.keyed
    if run is None or (lab.subject.effects is None and lab.subject.objects is None and run is not keys.not_applied):
        return untold(_why_not(lab.subject, probe))
    try:
        return run(lab)
    except CannotTell as reason:
        return untold(f"could not be told: {reason}")
    except TransportFailure as failure:
        return untold(f"could not be told: no answer ({failure.reason})")


def _why_not(subject: Subject, probe: _Probe) -> str:
    if probe.keyed is not None and subject.objects is None:
        return "could not be told: options.verify does not say how to count what the platform did; add it"
    return f"does not apply to {subject.declared}"
