"""Delivers to every hostile receiver over every transport, again and again, and counts what came of it."""

from __future__ import annotations

import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import trustme

from connectors.channel import Channel
from connectors.courier import Attempt, Courier, deliver_now
from connectors.http.connector import RestConnector
from connectors.http.options import HttpOptions
from connectors.transports import KINDS, open_transport
from outbox.model import Applied, NotApplied, Outcome, Rejected, Unknown
from tests.exchanges import delivery, upsert
from tests.hostile.catalog import APPLIED, CATALOG, NOT_APPLIED, REJECTED, UNKNOWN, Hostility
from tests.hostile.receiver import Hostile, hostile
from tests.hostile.talk import OK, answers

DEADLINE_SECONDS = 1.5
MARGIN_SECONDS = 1.0
MEMORY_BYTES = 64 * 1024 * 1024
HOUR = 3600.0

_NAMES: dict[type[Outcome], str] = {
    Applied: APPLIED,
    NotApplied: NOT_APPLIED,
    Rejected: REJECTED,
    Unknown: UNKNOWN,
}
_LOOPBACK = (ip_network("127.0.0.0/8"),)


@dataclass
class Line:
    """What one behaviour came to over one transport."""

    hostility: Hostility
    transport: str
    rounds: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    grown: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return not self.faults


class Authority:
    """Certificates of every kind, and the file of the authority that the sender trusts."""

    def __init__(self, folder: Path) -> None:
        self._ca, self._other = trustme.CA(), trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def context(self, kind: str | None) -> ssl.SSLContext | None:
        """The server's side of TLS; None where the receiver speaks plainly, whatever the sender expects."""
        if kind in (None, "none"):
            return None
        expired = datetime.now(UTC) - timedelta(days=1) if kind == "expired" else None
        authority = {"another authority": self._other, "self-signed": trustme.CA()}.get(str(kind), self._ca)
        host = "elsewhere.example" if kind == "wrong host" else "127.0.0.1"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host, not_after=expired).configure_cert(context)
        return context


def trial(
    folder: Path,
    *,
    rounds: int,
    transports: Sequence[str] = KINDS,
    catalog: Sequence[Hostility] = CATALOG,
    tell: Callable[[Line], None] = lambda _line: None,
) -> list[Line]:
    """``rounds`` deliveries to each receiver over each transport; certificates are written to ``folder``."""
    authority = Authority(folder)
    lines = []
    for hostility in catalog:
        for transport in transports:
            lines.append(_line(hostility, transport, authority, rounds))
            tell(lines[-1])
    return lines


def _line(hostility: Hostility, transport: str, authority: Authority, rounds: int) -> Line:
    line = Line(hostility, transport)
    with memory_grown() as grown:
        for _ in range(rounds):
            _round(line, authority)
    line.grown = grown()
    if line.grown > MEMORY_BYTES:
        line.faults.append(f"memory grew by {line.grown >> 20} MiB")
    return line


def _round(line: Line, authority: Authority) -> None:
    hostility = line.hostility
    with ExitStack() as stack:
        decoy = stack.enter_context(hostile(answers(OK)))
        receiver = stack.enter_context(hostile(hostility.build(decoy.url), authority.context(hostility.tls)))
        courier = stack.enter_context(_courier(line.transport, receiver, authority, tls=hostility.tls is not None))
        for number in range(hostility.honest):
            before = deliver_now(courier, delivery(number + 1), upsert(), None)
            if not isinstance(before.outcome, Applied):
                line.faults.append(f"an honest answer was taken for {before.outcome}")
        already = len(receiver.requests)
        began = time.monotonic()
        attempt = deliver_now(courier, delivery(9), upsert(body=hostility.body), None)
        seconds = time.monotonic() - began
        _note(line, attempt, seconds)
        if len(receiver.requests) - already > 1:
            line.faults.append(f"the request was sent {len(receiver.requests) - already} times")
        if decoy.connections:
            line.faults.append("another server was called")


def _note(line: Line, attempt: Attempt, seconds: float) -> None:
    outcome = attempt.outcome
    name = _NAMES[type(outcome)]
    line.rounds += 1
    line.outcomes[name] += 1
    line.slowest = max(line.slowest, seconds)
    if name not in line.hostility.right:
        line.faults.append(f"{name} instead of {' or '.join(sorted(line.hostility.right))}: {outcome}")
    if seconds > DEADLINE_SECONDS + MARGIN_SECONDS:
        line.faults.append(f"it took {seconds:.1f} s")
    if not isinstance(outcome, Applied):
        if isinstance(outcome, NotApplied | Unknown) and not 0 <= (outcome.retry_after_seconds or 0.0) <= HOUR:
            line.faults.append(f"to be tried again after {outcome.retry_after_seconds} s")
        if not outcome.reason.isprintable():
            line.faults.append(f"a reason that cannot be printed: {outcome.reason!r}")
    if not outcome.answer.excerpt.isprintable():
        line.faults.append(f"an excerpt that cannot be printed: {outcome.answer.excerpt!r}")


@contextmanager
def _courier(kind: str, receiver: Hostile, authority: Authority, *, tls: bool) -> Iterator[Courier]:
    channel = Channel(ca=authority.file if tls else None, allow_addresses=_LOOPBACK)
    url = f"{'https' if tls else 'http'}://127.0.0.1:{receiver.port}"
    options = HttpOptions.model_validate({"create": {"method": "POST", "path": "/h"}, "external_id": "id"})
    courier = Courier(
        RestConnector(url, options),
        open_transport(kind, channel, 1),
        deadline_seconds=DEADLINE_SECONDS,
        concurrency=1,
    )
    try:
        yield courier
    finally:
        courier.close()


@contextmanager
def memory_grown() -> Iterator[Callable[[], int]]:
    """How much the highest use of memory of this process rose above its use at the beginning."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _status("VmRSS")
    yield lambda: _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def table(lines: Sequence[Line]) -> str:
    """One row per behaviour and transport, and below it everything that went wrong."""
    rows = [
        "| receiver | transport | rounds | outcomes | slowest s | memory MiB | faults |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        outcomes = ", ".join(f"{name} {count}" for name, count in line.outcomes.items())
        cells = (line.hostility.name, line.transport, str(line.rounds), outcomes, f"{line.slowest:.2f}")
        rows.append(f"| {' | '.join(cells)} | {max(0, line.grown) >> 20} | {len(line.faults)} |")
    faults = [f"{line.hostility.name} over {line.transport}: {each}" for line in lines for each in line.faults]
    names = {line.hostility.name for line in lines}
    return "\n".join([*rows, "", f"{len(names)} behaviours, {len(faults)} faults", *faults])
