"""Does every platform hold exactly what the database says? Read back from the platforms, never from our ledger.

Objects are compared field by field. Effects are compared one by one with what the ledger calls applied:
an effect too many is a duplicate, one too few is a loss, both counted at the platform, where it keeps count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cdc.demo.cast import CLIENTS, Platforms
from cdc.demo.expected import Objects, rows
from cdc.demo.findings import Fault, Finding
from outbox.db import Connection
from outbox.model import Json


def verify(connection: Connection, platforms: Platforms) -> list[Finding]:
    """Everything that is wrong; an empty list means that all platforms hold exactly what they should."""
    should, does = expected(connection), held(platforms)
    findings = [finding for place in should for finding in compare(place, should[place], does[place])]
    applied = rows(connection, "applied")
    for one in platforms:
        findings += one.client.effects(applied, one.server.log)
    return findings


def expected(connection: Connection) -> dict[str, Objects]:
    """What must be where, by place; one snapshot of the database."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return {
            place: dict(map(make, rows(connection, source)))
            for client in CLIENTS
            for place, (source, make) in client.should.items()
        }


def held(platforms: Platforms) -> dict[str, Objects]:
    """What the platforms hold, by place."""
    return {place: objects for one in platforms for place, objects in one.client.held().items()}


def compare(place: str, should: Objects, does: Objects) -> Iterator[Finding]:
    """Missing, extra and wrong objects of one collection."""
    for object_id in sorted(should.keys() | does.keys()):
        if object_id not in does:
            yield Finding(place, Fault.MISSING, object_id)
        elif object_id not in should:
            yield Finding(place, Fault.EXTRA, object_id)
        else:
            yield from _wrong_fields(place, object_id, should[object_id], does[object_id])


def _wrong_fields(
    place: str, object_id: str, should: Mapping[str, Json], does: Mapping[str, Json]
) -> Iterator[Finding]:
    for name in sorted(should.keys() | does.keys()):
        if name not in should or name not in does or not _same(should[name], does[name]):
            detail = f"{name} is {does.get(name, 'absent')!s}, should be {should.get(name, 'absent')!s}"
            yield Finding(place, Fault.WRONG, object_id, detail)


def _same(one: Json, other: Json) -> bool:
    """Equal, and not only to Python: true is not 1 and 1 is not "1"."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
