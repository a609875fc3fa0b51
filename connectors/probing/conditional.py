"""Probes 1 to 7 and 9 for receivers of conditional writes: does a precondition hold, at any moment, for anyone?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.conditional import GONE
from connectors.exchange import HttpRequest, HttpResponse, TransportFailure
from connectors.probing.lab import CannotTell, Finding, Lab, fails, holds, seen

CREATE: Mapping[str, str] = {"If-None-Match": "*"}
_UPDATES = 20
_CUTS = 20
_LATE_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Object:
    """What a GET showed; ``etag`` and ``number`` None: there is none."""

    number: int | None
    etag: str | None
    body: bytes


def create_once(lab: Lab) -> Finding:
    """Probe 1: the second create must be refused, and the first one stay."""
    name, _ = _created(lab)
    again = lab.send(_put(lab, name, 2, CREATE))
    held = _read(lab, name)
    if again.status == 412 and held is not None and held.number == 1:
        return holds("a second create was refused (412) and the first one stayed")
    kept = "kept the first" if held is not None and held.number == 1 else "replaced the first"
    return fails(f"a second create with If-None-Match: * was answered {again.status} and {kept}")


def stale_refused(lab: Lab) -> Finding:
    """Probe 2: an If-Match that does not hold changes nothing, be the resource newer or missing."""
    faults = [*_stale_faults(lab), *_missing_faults(lab)]
    if faults:
        return fails("; ".join(faults))
    return holds("a stale If-Match and one on a missing resource were refused (412), PUT and DELETE")


def _stale_faults(lab: Lab) -> list[str]:
    name, stale = _created(lab)
    _expect_ok(lab.send(_put(lab, name, 2, {"If-Match": stale})), "a PUT with the right If-Match")
    if _etag(lab, name) == stale:
        return []  # the versions cannot be told apart: probe 3 says so
    put = lab.send(_put(lab, name, 3, {"If-Match": stale}))
    delete = lab.send(_delete(lab, name, {"If-Match": stale}))
    faults = [
        f"a {method} with a stale If-Match was answered {response.status}"
        for method, response in (("PUT", put), ("DELETE", delete))
        if response.status != 412
    ]
    held = _read(lab, name)
    if held is None or held.number != 2:
        faults.append("a stale If-Match changed the resource")
    return faults


def _missing_faults(lab: Lab) -> list[str]:
    """With an ETag that the receiver gave: one of another form may be refused for its form."""
    name, gone = _created(lab)
    _expect_ok(lab.send(_delete(lab, name, {"If-Match": gone})), "a DELETE with the right If-Match")
    put = lab.send(_put(lab, name, 1, {"If-Match": gone}))
    created = _read(lab, name) is not None
    delete = lab.send(_delete(lab, name, {"If-Match": gone}))
    faults = []
    if put.status not in (412, *GONE) or created:
        done = " and created it" if created else ""
        faults.append(f"a PUT with If-Match on a missing resource was answered {put.status}{done}")
    elif delete.status not in (412, *GONE):
        faults.append(f"a DELETE with If-Match on a missing resource was answered {delete.status}")
    return faults


def etag_changes(lab: Lab) -> Finding:
    """Probe 3: the right If-Match is accepted, and every update has an ETag of its own, however fast they come."""
    name, etag = _created(lab)
    seen_before = {etag}
    for number in lab.times(_UPDATES):
        response = lab.send(_put(lab, name, number + 2, {"If-Match": etag}))
        if not response.ok:
            return fails(f"a PUT with the right If-Match was answered {response.status}")
        etag = response.headers.get("etag") or _etag(lab, name)
        if etag in seen_before:
            return fails(f"update {number + 1} of the same length left the ETag as it was ({etag})")
        seen_before.add(etag)
    return holds(f"{_UPDATES} updates of the same length, one after the other, had {_UPDATES} new ETags")


def etag_strong(lab: Lab) -> Finding:
    """Probe 4: the ETag is strong; where PUT does not give it, or another one, the next write reads it first."""
    name = lab.name()
    response = _create(lab, name)
    given, held = response.headers.get("etag"), _etag(lab, name)
    if held.startswith("W/"):
        return fails(f"the ETag is weak ({held}), so no If-Match may ever match it")
    if given is None:
        return holds("the ETag is strong; PUT does not give it, so each write is read back once")
    if given != held:
        return holds(f"the ETag is strong; PUT gives another one ({given}) than GET ({held}): more reads, no harm")
    return holds("the ETag is strong, and PUT gives the same one as GET")


def one_creator(lab: Lab) -> Finding:
    """Probe 5: of many creates at once exactly one wins."""
    faults: list[str] = []
    for _ in lab.times(lab.rounds):
        name = lab.name()
        faults += _race(lab, name, CREATE, 0)
        _remove(lab, name)
    return _judged(lab, faults, "creates", "created it")


def one_updater(lab: Lab) -> Finding:
    """Probe 6: of many updates against one version exactly one wins, and its content stands."""
    name, etag = _created(lab)
    faults: list[str] = []
    number = 2
    for _ in lab.times(lab.rounds):
        crowd = lab.crowd
        faults += _race(lab, name, {"If-Match": etag}, number)
        number += crowd  # no content twice: its ETag would be the old one
        etag = _etag(lab, name)
    return _judged(lab, faults, "updates with one If-Match", "was accepted")


def _race(lab: Lab, name: str, precondition: Mapping[str, str], first: int) -> list[str]:
    """One round; what was wrong with it, or nothing."""
    answers = lab.race([_put(lab, name, first + each, precondition) for each in range(lab.crowd)])
    winners = [first + index for index, answer in enumerate(answers) if answer.ok]
    if len(winners) != 1:
        return [f"{len(winners)} of {len(answers)} were accepted ({seen(answers)})"]
    held = _read(lab, name)
    if held is None or held.number != winners[0]:
        return ["the content is not that of the one that was accepted"]
    return []


def _judged(lab: Lab, faults: list[str], what: str, success: str) -> Finding:
    if not faults:
        return holds(f"of {lab.crowd} {what} at once exactly one {success}, {lab.rounds} times")
    return fails(f"{what} at once: in {len(faults)} of {lab.rounds} rounds not exactly one won, such as: {faults[0]}")


def cut_body(lab: Lab) -> Finding:
    """Probe 7: a body that breaks off leaves the old content."""
    name, etag = _created(lab)
    before = _read(lab, name)
    request = _put(lab, name, 2, {"If-Match": etag})
    whole = len(request.body)
    for turn in lab.times(_CUTS):
        size = (1, whole // 2, whole - 1)[turn % 3]
        try:
            lab.send_part(request, size)
        except OSError as error:
            raise CannotTell(f"half a request could not be sent ({error})") from error
        after = _read(lab, name)
        if before is None or after is None or after.body != before.body:
            left = "nothing" if after is None else f"{len(after.body)} bytes"
            return fails(f"a PUT that broke off after {size} of {whole} bytes left {left} there")
    return holds(f"{_CUTS} PUTs that broke off after 1 byte, half and all but one byte changed nothing")


def read_your_writes(lab: Lab) -> Finding:
    """Probe 9: what was written is read at once; and how late a write can appear whose sender gave up."""
    name, etag = _created(lab)
    seconds = []
    total = lab.rounds * 5 // 2
    for turn in lab.times(total):
        began = time.monotonic()
        response = lab.send(_put(lab, name, turn + 2, {"If-Match": etag}))
        _expect_ok(response, "a PUT with the right If-Match")
        seconds.append(time.monotonic() - began)
        held = _read(lab, name)
        if held is None or held.number != turn + 2:
            return fails(f"write {turn + 1} was not to be read at once after its answer")
        etag = held.etag or ""
    late = _lateness(lab, name, total + 2, statistics.median(seconds))
    return holds(f"{total} writes were each read back at once; {late}")


def _lateness(lab: Lab, name: str, first: int, usual_seconds: float) -> str:
    """For how long after our giving up an effect appeared (what the quiet period has to outlast)."""
    longest, gave_up, appeared = 0.0, 0, 0
    for number in range(first, first + max(1, lab.rounds // 20)):
        try:
            lab.send(_put(lab, name, number, {"If-Match": _etag(lab, name)}), usual_seconds / 2)
        except TransportFailure:
            gave_up += 1
            seconds = _appears(lab, name, number)
            if seconds is not None:
                appeared, longest = appeared + 1, max(longest, seconds)
    if not gave_up:
        return "every write was answered too fast to give one up"
    if not appeared:
        return f"of {gave_up} writes whose sender gave up none appeared later"
    return f"of {gave_up} writes whose sender gave up {appeared} appeared, at most {longest:.2f} s later"


def _appears(lab: Lab, name: str, number: int) -> float | None:
    began = time.monotonic()
    while (passed := time.monotonic() - began) < _LATE_WAIT_SECONDS:
        held = _read(lab, name)
        if held is not None and held.number == number:
            return passed
    return None


# ---------------------------------------------------------------- requests


def _put(lab: Lab, name: str, number: int, precondition: Mapping[str, str]) -> HttpRequest:
    lab.leftovers[name] = lab.objects.remove(name)
    return _with(lab.objects.write(name, number), precondition)


def _delete(lab: Lab, name: str, precondition: Mapping[str, str]) -> HttpRequest:
    return _with(lab.objects.remove(name), precondition)


def _with(request: HttpRequest, precondition: Mapping[str, str]) -> HttpRequest:
    return replace(request, headers={**request.headers, **precondition})


def _create(lab: Lab, name: str) -> HttpResponse:
    response = lab.send(_put(lab, name, 1, CREATE))
    _expect_ok(response, "a create with If-None-Match: *")
    return response


def _created(lab: Lab) -> tuple[str, str]:
    """A new object with content 1: its name and ETag."""
    name = lab.name()
    _create(lab, name)
    held = _read(lab, name)
    if held is not None and held.number != 1:
        raise CannotTell("the receiver does not keep our stamp, by which a resend is told from a stranger's edit")
    return name, _etag(lab, name)


def _read(lab: Lab, name: str) -> _Object | None:
    response = lab.send(lab.objects.read(name))
    if response.status in GONE:
        return None
    _expect_ok(response, "a GET")
    return _Object(lab.objects.number(response.body), response.headers.get("etag"), response.body)


def _etag(lab: Lab, name: str) -> str:
    held = _read(lab, name)
    if held is None or held.etag is None:
        raise CannotTell("the receiver gives no ETag" if held else "what was created is not to be found")
    return held.etag


def _remove(lab: Lab, name: str) -> None:
    response = lab.send(lab.leftovers.pop(name))
    if response.status not in GONE:
        _expect_ok(response, "a DELETE")


def _expect_ok(response: HttpResponse, what: str) -> None:
    if not response.ok:
        raise CannotTell(f"{what} was answered {response.status}")
