"""Probes 8, 9 and 10 for receivers that promise to remember keys: how often did they really act?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.exchange import HttpRequest, HttpResponse, TransportFailure
from connectors.probing.lab import CannotTell, Finding, Lab, fails, holds, seen, untold
from outbox.model import Json

_PLAIN: Mapping[str, Json] = {}


@dataclass(frozen=True, slots=True)
class _Twice:
    """One request sent twice with one key; None: no answer, which is an answer too."""

    first: HttpResponse | None
    second: HttpResponse | None
    effects: int

    @property
    def fault(self) -> str | None:
        said = f"answered {_status(self.first)}, then {_status(self.second)}, and took effect {self.effects} times"
        if self.effects > 1:
            return said
        if self.first is not None and self.first.ok and self.effects != 1:
            return f"{said}, as counted by verify.count"
        return None


def keys_remembered(lab: Lab) -> Finding:
    """Probe 8: one key, one effect, whatever the first answer was; and no effect swallowed."""
    faults = [*_sequences(lab), *_others(lab), *_updates(lab)]
    parallel = _parallel_fault(lab)
    faults += [parallel] if parallel else []
    if faults:
        return fails("; ".join(faults))
    kinds = ", ".join(["success", *lab.effects.answers])
    return holds(f"a repeated key took effect once, one after the other ({kinds}) and {lab.parallel} at once")


def _sequences(lab: Lab) -> list[str]:
    """Each kind of answer, the same request twice."""
    faults = []
    for kind, members in {"success": _PLAIN, **lab.effects.answers}.items():
        fault = _twice(lab, members).fault
        if fault is not None:
            faults.append(f"a write with a repeated key ({kind}) was {fault}")
    return faults


def _twice(lab: Lab, members: Mapping[str, Json]) -> _Twice:
    record = lab.name()
    request = lab.effects.create(record, 1, members)
    first, second = _attempt(lab, record, request), _attempt(lab, record, request)
    return _Twice(first, second, _count(lab, record))


def _others(lab: Lab) -> list[str]:
    """What must not be taken for a repetition; and what must not be taken for a new write."""
    faults = []
    record, other = lab.name(), lab.name()
    request = lab.effects.create(record, 1, _PLAIN)
    _write(lab, record, request)
    reused = _write(lab, other, _with_headers_of(request, lab.effects.create(other, 1, _PLAIN)))
    if _count(lab, other):
        faults.append(f"another record under a used key was answered {reused.status} and took effect")
    if lab.effects.repeats and (fault := _merged(lab)):
        faults.append(fault)
    return faults


def _merged(lab: Lab) -> str | None:
    record = lab.name()
    request = lab.effects.without_key(lab.effects.create(record, 1, _PLAIN))
    answers = [_write(lab, record, request) for _ in range(2)]
    if all(answer.ok for answer in answers) and _count(lab, record) == 1:
        return "two equal writes without a key were taken for one, silently"
    return None


def _updates(lab: Lab) -> list[str]:
    """A late copy of an earlier change must do nothing: this is what a key of a change is for."""
    record = lab.name()
    created = _write(lab, record, lab.effects.create(record, 1, _PLAIN))
    update = lab.effects.update(record, 2, created)
    if update is None:
        return []
    before = _count(lab, record)
    answers = [_write(lab, record, update) for _ in range(2)]
    effects = _count(lab, record) - before
    if effects == 1:
        return []
    return [f"a change with a repeated key was answered {seen(answers)} and took effect {effects} times"]


def _parallel_fault(lab: Lab) -> str | None:
    rounds = max(1, lab.rounds // 20)
    for _ in lab.times(rounds):
        record = lab.name()
        request = lab.effects.create(record, 1, _PLAIN)
        answers = lab.race([request] * lab.parallel)
        _keep(lab, record, next((answer for answer in answers if answer.ok), answers[0]))
        effects = _count(lab, record)
        if effects != 1:
            return f"{lab.parallel} writes at once with one key ({seen(answers)}) took effect {effects} times"
    return None


def seen_at_once(lab: Lab) -> Finding:
    """Probe 9: an effect can be counted as soon as its write is answered."""
    for _ in lab.times(max(1, lab.rounds // 4)):
        record = lab.name()
        answer = _write(lab, record, lab.effects.create(record, 1, _PLAIN))
        if answer.ok and _count(lab, record) != 1:
            return fails(f"an effect was not to be seen right after its answer ({answer.status})")
    return holds(f"{lab.done} effects were each seen at once")


def not_applied(lab: Lab) -> Finding:
    """Probe 10: what is declared to mean "nothing happened" must mean it."""
    declared = lab.subject.not_applied
    contract = f"declared to mean 'nothing happened': {_listed(declared)}; 408, 425, 429, 503 else count as unknown"
    tried: list[int] = []
    answers = lab.effects.answers if lab.subject.effects is not None else {}
    for kind, members in answers.items():
        record = lab.name()
        response = _write(lab, record, lab.effects.create(record, 1, members))
        if response.status in declared:
            tried.append(response.status)
            if _count(lab, record):
                return fails(f"{kind} was answered {response.status} and took effect; {contract}")
    if tried:
        return holds(f"{_listed(tried)} was tried and had no effect; {contract}")
    return untold(f"not tried, as nothing provokes such an answer; {contract}")


def _listed(statuses: frozenset[int] | list[int]) -> str:
    return ", ".join(map(str, sorted(statuses))) or "none"


# ---------------------------------------------------------------- requests


def _attempt(lab: Lab, record: str, request: HttpRequest) -> HttpResponse | None:
    try:
        return _write(lab, record, request)
    except TransportFailure:
        return None


def _status(answer: HttpResponse | None) -> str:
    return "nothing" if answer is None else str(answer.status)


def _write(lab: Lab, record: str, request: HttpRequest) -> HttpResponse:
    answer = lab.send(_alone(request))
    _keep(lab, record, answer)
    return answer


def _keep(lab: Lab, record: str, created: HttpResponse) -> None:
    """Remember how to remove the record, by the answer that tells the platform's id of it."""
    removal = lab.effects.remove(record, created) if created.ok else None
    if removal is not None:
        lab.leftovers[record] = removal


def _count(lab: Lab, record: str) -> int:
    response = lab.send(_alone(lab.effects.count(record)))
    effects = lab.effects.counted(response) if response.ok else None
    if effects is None:
        raise CannotTell(f"verify.count was answered {response.status} and gives no number of effects")
    return effects


def _alone(request: HttpRequest) -> HttpRequest:
    """On a connection of its own: after an error many servers close theirs without saying so."""
    return replace(request, headers={**request.headers, "Connection": "close"})


def _with_headers_of(request: HttpRequest, other: HttpRequest) -> HttpRequest:
    return HttpRequest(other.method, other.url, request.headers, other.body)
