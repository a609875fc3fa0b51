"""How fast what is due goes out: one POST per change, to a receiver that answers at once and one that takes 50 ms."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.bench.courier import drained, patient_receiver, post, quick_receiver, reference
from tests.bench.figure import Figure
from tests.bench.place import Place

_CHANGES, _PATIENT_CHANGES = 50_000, 50_000
_WAIT_MILLISECONDS, _AT_ONCE = 50, 64
_SCRIPT_SHARE = 10
"""The script is slow; a tenth of the changes tell its rate."""


def draining(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """Against the bare loop and the hand-written script, at the same receiver."""
    changes = int(_CHANGES * scale)
    with quick_receiver(place) as url:
        bare = reference(place, "bare", url, changes)
        say(f"drain    bare loop: {bare.rate:,.0f}/s, {bare.cpu:.3f} CPU s per 1,000")
        script = reference(place, "script", url, changes // _SCRIPT_SHARE)
        say(f"drain    script: {script.rate:,.0f}/s, {script.cpu:.3f} CPU s per 1,000")
        place.fill(changes)
        ours = drained(place, place.config("drain", {"quick": post(url, concurrency=_AT_ONCE)}), changes)
        say(f"drain    hms-sync: {ours.rate:,.0f}/s, {ours.cpu:.3f} CPU s per 1,000, {ours.rss >> 20} MB")
    detail = f"{ours.rate:,.0f}/s; bare loop {bare.rate:,.0f}/s"
    yield Figure("drain, one POST each", ours.rate / bare.rate, "x", 0.6, "more", "the bare loop", detail)
    detail = f"{ours.rate:,.0f}/s; script {script.rate:,.0f}/s"
    yield Figure("drain, one POST each", ours.rate / script.rate, "x", 20, "more", "a hand-written script", detail)
    yield Figure(
        "CPU of the drain", ours.cpu, "s/1,000", 0.1, "less", "", f"script {script.cpu:.2f}, bare {bare.cpu:.3f}"
    )
    yield Figure("memory of the drain", ours.rss / 2**20, "MB", 120, "less", "", f"{changes:,} changes due")


def waiting(place: Place, say: Callable[[str], None], scale: float) -> Iterator[Figure]:
    """A receiver of 50 ms, 64 at once: the most that anybody could send is 1,280 a second."""
    changes = int(_PATIENT_CHANGES * scale)
    most = _AT_ONCE * 1000 / _WAIT_MILLISECONDS
    with patient_receiver(place, _WAIT_MILLISECONDS) as url:
        bare = reference(place, "bare", url, changes)
        place.fill(changes)
        ours = drained(place, place.config("wait", {"patient": post(url, concurrency=_AT_ONCE)}), changes)
    detail = f"{ours.rate:,.0f}/s; bare loop {bare.rate:,.0f}/s"
    say(f"wait     {detail}, of {most:,.0f}")
    yield Figure("receiver of 50 ms, 64 at once", ours.rate / most, "x", 0.95, "more", "64 / 50 ms", detail)
