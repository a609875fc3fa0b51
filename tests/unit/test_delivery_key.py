"""The key that a receiver remembers: made from what no failover, resend or mapping can change."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from tests.exchanges import delivery


def test_a_resend_has_the_key_of_the_first_attempt() -> None:
    first = delivery()
    again = replace(first, attempt=7, mapping_version="newer", fence=9, doubt=True)
    assert again.key == first.key


def test_a_replay_has_another_key_and_so_has_another_connector() -> None:
    first = delivery()
    assert len({first.key, replace(first, generation=1).key, replace(first, connector="other").key}) == 3


def test_ids_that_a_failover_used_again_give_another_key() -> None:
    """A promoted standby repeats the ids that it never saw; what it never repeats is the event's own id."""
    first = delivery()
    reused = replace(first, change=replace(first.change, event_id=UUID(int=4711)))
    assert reused.key != first.key
