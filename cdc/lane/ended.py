"""What became of a row in this process, before the ledger knows: settled, or given a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cdc.lane.verdict import Verdict
from outbox.claims import Row, Settled, Unsettled
from outbox.model import Action, Answer, Applied, AuditOutcome, Delivery, DeliveryState, Json, Message, RemoteObject
from outbox.nouns import noun

_NOTHING = RemoteObject()


@noun(frozen=True, slots=True)
class Ended:
    """A row whose attempt is over: exactly one of ``settled`` and ``verdict`` is set."""

    row: Row
    settled: Settled | None = None
    verdict: Verdict | None = None
    request_hash: str | None = None

    @property
    def delivery(self) -> Delivery:
        return self.row.delivery

    @property
    def is_applied(self) -> bool:
        """True when the platform said so."""
        return self.settled is not None and self.settled.outcome is AuditOutcome.APPLIED

    @property
    def external_id(self) -> str | None:
        """The name that the platform gave to what it holds."""
        return self.settled.remote.external_id if self.settled is not None and self.settled.remote is not None else None

    @property
    def had_no_effect(self) -> bool:
        """True when certainly nothing of the delivery was ever applied. (A dead one in trouble died of silence.)"""
        verdict = self.verdict
        if verdict is None or self.delivery.doubt:
            return False
        return verdict.state is DeliveryState.WAITING or (verdict.state is DeliveryState.DEAD and not verdict.trouble)

    @property
    def unsettled(self) -> Unsettled:
        """The row's next place in ``outbox.delivery``."""
        verdict = self.verdict
        assert verdict is not None  # noqa: S101  asked only of rows with a verdict
        return Unsettled(
            self.delivery,
            verdict.state,
            verdict.due_in,
            verdict.error_class,
            verdict.fingerprint,
            verdict.reason,
            answer_json(verdict.answer),
            self.request_hash,
            verdict.attempts,
            verdict.doubt,
        )


def settled_here(row: Row, outcome: AuditOutcome) -> Ended:
    """Settled without sending: filtered by the route, or superseded by something newer."""
    return Ended(row, Settled(row.delivery, outcome))


def applied(row: Row, outcome: Applied, message: Message, request_hash: str | None) -> Ended:
    """The platform has it; remember what it holds now."""
    change = row.delivery.change
    known = row.remote or _NOTHING
    remote = RemoteObject(
        external_id=outcome.external_id or known.external_id,
        version=outcome.version,
        absent=message.action is Action.DELETE,
        change_id=change.id,
        xid=change.xid,
        command_id=change.command_id,
        content_hash=request_hash,
    )
    answer = answer_json(outcome.answer, external_id=outcome.external_id)
    settled = Settled(row.delivery, AuditOutcome.APPLIED, request_hash, answer, remote)
    return Ended(row, settled=settled, request_hash=request_hash)


def held(row: Row) -> Unsettled:
    """A row that waits behind an earlier open one of its record; its own attempts are not touched."""
    return Unsettled(row.delivery, DeliveryState.HELD, attempts=row.delivery.attempt - 1)


def in_flight(row: Row) -> Unsettled:
    """The row as an open delivery whose attempt is under way."""
    return Unsettled(row.delivery, DeliveryState.IN_FLIGHT)


def under(row: Row, fences: Mapping[int, int | None]) -> Row:
    """The row as an open delivery, where it became one."""
    fence = fences.get(row.delivery.change.id)
    return row if fence is None else replace(row, delivery=replace(row.delivery, fence=fence))


def answer_json(answer: Answer, **extra: Json) -> Mapping[str, Json] | None:
    """The kept part of an answer as the audit stores it; None when there is nothing to keep."""
    found = {"status": answer.status, "excerpt": answer.excerpt or None, **extra}
    return {name: value for name, value in found.items() if value is not None} or None
