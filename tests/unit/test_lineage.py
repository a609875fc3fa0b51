"""Which differences between the server and the accepted one are another database, told by numbers alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from outbox.lineage import Identity, Standing, judge

ACCEPTED = Identity(7_000, 1, 16_384)
SAME = Standing(ACCEPTED, ACCEPTED, 1, UUID(int=1), datetime(2026, 11, 23, tzinfo=UTC), next_xid=900, known_xid=900)


def test_the_accepted_server_is_served() -> None:
    assert judge(SAME) is None


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (replace(SAME, here=replace(ACCEPTED, system_identifier=7_001)), "another server"),
        (replace(SAME, here=replace(ACCEPTED, timeline=2)), "a standby was promoted"),
        (replace(SAME, here=replace(ACCEPTED, database=16_385)), "another database of the server"),
        (replace(SAME, known_xid=901), "ran backwards"),
    ],
    ids=["server", "timeline", "database", "transaction ids"],
)
def test_each_difference_is_named(found: Standing, told: str) -> None:
    assert told in (judge(found) or "")
