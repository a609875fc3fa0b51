"""Stands before every connection that is to be worked on: is this the database that was accepted, does it know all?

A proxy may hand out another server at any time, and a machine may be put back to yesterday: so each new connection is
proven, by the ledger's own lineage and by what the witness remembers.
"""

from __future__ import annotations

from pathlib import Path

from cdc.witness import NoWitness, Witness
from outbox import lineage
from outbox.db import Connection
from outbox.lineage import LineageBroken, Sent

FORGOTTEN = "the server is the accepted one, but its database was put back to an earlier state"


class Sentinel:
    """``open`` once, then ``prove`` each new connection. Both raise LineageBroken with all that was lost."""

    def __init__(self, folder: Path | None, writer: str, stamp: str = "%Y%m%dT%H%M%S%f") -> None:
        self.witness = NoWitness()
        self._folder = folder
        self._writer = writer
        self._stamp = stamp
        self._no = 0
        self._broken: LineageBroken | None = None

    def open(self, connection: Connection, *, actor: str, thorough: bool = True) -> None:
        """Before anything is delivered; accepts a database that none was accepted before.

        ``thorough``: what all processes remember is compared, and the witness must be writable now.
        """
        lineage.begin(connection, actor=actor)
        found = lineage.standing(connection)
        self.witness = witness_of(self._folder, found, self._writer, self._stamp)
        self.look(connection)
        self._no = found.no
        if thorough:
            self._compare(connection, self.witness.tail())
            self.witness.prove_writable()

    def prove(self, connection: Connection) -> None:
        """This connection leads to the database that was accepted, and that knows what was settled last."""
        if self._broken is not None:
            raise self._broken
        self.look(connection)
        self._compare(connection, self.witness.latest())

    def look(self, connection: Connection) -> None:
        """The quick half of ``prove``: who is the server?"""
        try:
            lineage.check(connection, expected=self._no or None)
        except LineageBroken as error:
            self._break(connection, error)

    def _compare(self, connection: Connection, remembered: list[Sent]) -> None:
        if lineage.unknown(connection, remembered):
            self._break(connection, LineageBroken(FORGOTTEN))

    def _break(self, connection: Connection, error: LineageBroken) -> None:
        lost = lineage.unknown(connection, self.witness.everything())
        self._broken = LineageBroken(error.reason, lost, cure=error.cure)
        raise self._broken from None


def witness_of(folder: Path | None, found: lineage.Standing, writer: str, stamp: str = "%Y%m%dT%H%M%S%f") -> NoWitness:
    """The witness of the ledger; none where the config goes without, or where nothing was ever registered."""
    return NoWitness() if folder is None or found.ledger is None else Witness(folder, found.ledger, writer, stamp)
