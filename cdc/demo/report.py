"""The demo's verdict: one object for machines, a few lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cdc.demo.board import Counts
from cdc.demo.findings import Fault, Finding
from outbox.model import Json

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Report:
    """How the demo ended. ``failure`` says why it could not be brought to its end."""

    counts: Counts
    findings: Sequence[Finding]
    seconds: float
    failure: str | None = None

    @property
    def ok(self) -> bool:
        """True only if all is settled, nothing is dead and every platform holds exactly what the database says."""
        idle = self.counts.waiting == 0 and self.counts.dead == 0
        return self.failure is None and idle and not self.findings

    def document(self) -> dict[str, Json]:
        return {
            "ok": self.ok,
            "captured": self.counts.captured,
            "delivered": {one.name: one.applied for one in self.counts.connectors},
            "waiting": {one.name: one.waiting for one in self.counts.connectors},
            "dead": self.counts.dead,
            "audit_entries": self.counts.audit_entries,
            "duplicates": self._by_place(Fault.DUPLICATE, Fault.EXTRA),
            "losses": self._by_place(Fault.MISSING, Fault.LOST),
            "mismatches": self._by_place(Fault.WRONG),
            "findings": [
                {"place": one.place, "fault": one.fault.value, "object": one.object_id, "detail": one.detail}
                for one in self.findings[:_SHOWN]
            ],
            "seconds": round(self.seconds, 3),
            "failure": self.failure,
        }

    def lines(self) -> Iterator[str]:
        """For a person."""
        document = self.document()
        captured, audited = self.counts.captured, self.counts.audit_entries
        yield f"{captured} changes captured, {audited} audit entries, {self.seconds:.1f} s"
        width = max((len(one.name) for one in self.counts.connectors), default=0)
        for one in self.counts.connectors:
            yield f"  {one.name:<{width}}  {one.applied:>6} applied, {one.waiting} waiting, {one.dead} dead"
        totals = {name: sum(document[name].values()) for name in ("duplicates", "losses", "mismatches")}
        yield "counted at the platforms: " + ", ".join(f"{total} {name}" for name, total in totals.items())
        for one_finding in self.findings[:_SHOWN]:
            yield f"  {one_finding.place}: {one_finding.fault} {one_finding.object_id} {one_finding.detail}".rstrip()
        if self.failure is not None:
            yield self.failure
        yield "every platform holds exactly what the database says" if self.ok else "NOT everything is as it should be"

    def _by_place(self, *faults: Fault) -> Mapping[str, int]:
        return dict(Counter(one.place for one in self.findings if one.fault in faults))
