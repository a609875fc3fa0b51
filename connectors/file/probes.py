"""Six probes of a folder: is each delivery one line in it, whatever breaks and whoever else writes?

They go through the very sessions that deliver, into a scratch journal beside the real one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Barrier
from types import MappingProxyType
from uuid import UUID, uuid4, uuid5

import simplejson

from connectors.batch import Item, OpenGate
from connectors.channel import Channel
from connectors.file.options import FileOptions
from connectors.file.places import Places
from connectors.file.session import FileSession
from connectors.http.effects import scratch_delivery
from connectors.probing.judgement import carries
from connectors.probing.lab import CannotTell, Finding, Rounds, fails, holds, untold
from connectors.probing.model import SCRATCH, Progress, Verification
from outbox.model import Action, Applied, Guarantee, HmsSyncError, Json, Message, Outcome

_DEADLINE_SECONDS = 10.0
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "fuse.sshfs", "fuse.glusterfs"})
_MEMORY = frozenset({"tmpfs", "ramfs"})


@dataclass(slots=True)
class _Scratch(Rounds):
    """One folder under trial."""

    places: Places
    rounds: int
    sessions: list[FileSession] = field(default_factory=list)
    run: UUID = field(default_factory=uuid4)
    records: int = 0

    def session(self) -> FileSession:
        """One more sender."""
        self.sessions.append(made := FileSession(self.places, FileOptions(), _DEADLINE_SECONDS))
        return made

    def record(self) -> str:
        """The key of a record that was never written."""
        self.records += 1
        return f"{self.records}"

    def item(self, record: str, change: int) -> Item:
        """The delivery of a change of the record: always the same one."""
        delivery = scratch_delivery(SCRATCH, record, uuid5(self.run, f"{record} {change}"), change)
        return Item(delivery, Message(Action.UPSERT, {}, simplejson.dumps({"change": change}).encode()))

    def lines(self) -> list[Json]:
        """What somebody reads who only looks."""
        return [simplejson.loads(raw) for raw in self.places.current.read_bytes().splitlines()]

    def changes(self, record: str) -> list[int]:
        """The changes that were written of a record."""
        return [line["change"] for line in self.lines() if line["record_key"] == record]

    def clean(self) -> None:
        for session in self.sessions:
            session.close()
        for path in self.places.current.parent.glob(f"*{self.places.current.name}*"):
            path.unlink(missing_ok=True)


def _sent(session: FileSession, item: Item) -> Outcome:
    """One delivery, as a lane would do it."""
    (outcome,) = session.deliver([item], OpenGate())
    if not isinstance(outcome, Applied):
        raise CannotTell(f"a line could not be written ({outcome.reason})")
    return outcome


def all_or_nothing(scratch: _Scratch) -> Finding:
    """Probe 1: half a line, as a crash leaves it, is cut off, and its delivery is written once and whole."""
    for _ in scratch.times(scratch.rounds):
        record = scratch.record()
        _sent(scratch.sessions[0], scratch.item(record, 1))
        size = scratch.places.current.stat().st_size
        os.truncate(scratch.places.current, size - 5)
        scratch.places.index.unlink()
        _sent(scratch.session(), scratch.item(record, 1))
        if scratch.places.current.stat().st_size != size or scratch.changes(record) != [1]:
            return fails("a line that was cut in half was not written again, once and whole")
    return holds("lines that were cut in half were cut off, and written again once")


def one_first(scratch: _Scratch) -> Finding:
    """Probe 2: of two senders that write one delivery at once, one does, and the other notices."""
    both = Barrier(2)
    for _ in scratch.times(scratch.rounds):
        item = scratch.item(scratch.record(), 1)

        def send(session: FileSession, item: Item = item) -> Outcome:
            both.wait(_DEADLINE_SECONDS)
            return _sent(session, item)

        with ThreadPoolExecutor(2) as senders:
            list(senders.map(send, scratch.sessions[:2]))
        if scratch.changes(item.delivery.change.record_key) != [1]:
            return fails("two senders of one delivery did not come to one line: the lock does not hold")
    return holds(f"two senders of one delivery came to one line, {scratch.rounds} times")


def nothing_older(scratch: _Scratch) -> Finding:
    """Probe 3: an older change and a repeated delivery write nothing."""
    for _ in scratch.times(scratch.rounds):
        record = scratch.record()
        for session, change in ((0, 2), (1, 1), (1, 2), (0, 1)):
            _sent(scratch.sessions[session], scratch.item(record, change))
        if scratch.changes(record) != [2]:
            return fails("an older change or a repeated delivery was written")
    return holds("older changes and repeated deliveries wrote nothing")


def lost_answer(scratch: _Scratch) -> Finding:
    """Probe 4: what was written is known from the lines alone, when nothing else is left."""
    record = scratch.record()
    _sent(scratch.sessions[0], scratch.item(record, 1))
    scratch.places.index.unlink()
    _sent(scratch.session(), scratch.item(record, 1))
    if scratch.changes(record) != [1]:
        return fails("a delivery was written again when the index was lost")
    return holds("a delivery was known from its line when the index was lost")


def read_your_writes(scratch: _Scratch) -> Finding:
    """Probe 5: what is written is read at once, and the lines are numbered without a gap."""
    for turn in scratch.times(scratch.rounds):
        record = scratch.record()
        _sent(scratch.sessions[turn % 2], scratch.item(record, 1))
        if scratch.changes(record) != [1]:
            return fails("a line was not to be read at once")
    if [line["line"] for line in scratch.lines()] != list(range(1, len(scratch.lines()) + 1)):
        return fails("the lines are not numbered from 1 without a gap")
    return holds("each line was read at once, and they are numbered without a gap")


def durable(scratch: _Scratch) -> Finding:
    """Probe 6: the folder is on a disk of this machine, where a lock holds and fsync means what it says."""
    kind = _file_system(scratch.places.current.parent)
    if kind in _NETWORK:
        return fails(f"the folder is on {kind}: over a network a lock can be lost while its holder goes on writing")
    if kind in _MEMORY:
        return holds(f"the folder is on {kind}: when the machine stops, what was written is lost")
    return holds(f"the folder is on {kind}; each batch is on the disk before it is settled")


def _file_system(folder: Path) -> str:
    """The kind of the file system of a folder, as the kernel says."""
    best, kind = "", "an unknown file system"
    mounts = Path("/proc/self/mounts")
    for line in mounts.read_text().splitlines() if mounts.exists() else ():
        _, place, name, *_ = line.split(" ")
        place = place.encode().decode("unicode_escape")
        if folder.resolve().is_relative_to(place) and len(place) >= len(best):
            best, kind = place, name
    return kind


PROBES: Mapping[int, tuple[str, Callable[[_Scratch], Finding]]] = MappingProxyType(
    {
        number: (probe.__name__, probe)
        for number, probe in enumerate(
            (all_or_nothing, one_first, nothing_older, lost_answer, read_your_writes, durable), start=1
        )
    }
)
"""All of them take seconds; a quick run has fewer rounds."""


@dataclass(frozen=True, slots=True)
class FileVerifier:
    """Tries one folder; see :class:`~connectors.probing.model.Verifier`."""

    connector: str
    url: str

    def fingerprint(self, _channel: Channel) -> str:
        folder = self._folder()
        return f"folder on {_file_system(folder)}, {platform.system()}"

    def verify(self, channel: Channel, *, rounds: int, quick: bool, progress: Progress) -> Verification:
        known_as = self.fingerprint(channel)
        with self._scratch(rounds) as scratch:
            results = tuple(
                scratch.measured(number, name, partial(_asked, scratch, probe), progress)
                for number, (name, probe) in PROBES.items()
            )
        verdict = carries(Guarantee.EXACT_TX, Guarantee.ONCE_OR_ASK, results)
        return Verification(self.connector, Guarantee.EXACT_TX, verdict, known_as, results)

    def _folder(self) -> Path:
        places = Places.of(self.url)
        problem = FileSession(places, FileOptions(), _DEADLINE_SECONDS).problem()
        if problem is not None:
            raise HmsSyncError(f"the file of connector {self.connector} cannot be tried: {problem}")
        return places.current.parent

    @contextmanager
    def _scratch(self, rounds: int) -> Iterator[_Scratch]:
        """A journal beside the real one, removed whatever happens."""
        scratch = _Scratch(Places(self._folder() / f"{SCRATCH}-{uuid4().hex[:12]}.ndjson"), rounds)
        try:
            for _ in range(2):
                scratch.session()
            yield scratch
        finally:
            scratch.clean()


def _asked(scratch: _Scratch, probe: Callable[[_Scratch], Finding]) -> Finding:
    try:
        return probe(scratch)
    except CannotTell as reason:
        return untold(f"could not be told: {reason}")
    except OSError as error:
        return untold(f"could not be told: {error}")
