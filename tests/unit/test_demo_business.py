"""The office works the same with the same seed, and keeps a true picture of its world."""

from __future__ import annotations

import random
from datetime import date
from uuid import UUID

from cdc.demo import papers
from cdc.demo.business import FEWEST, MOST, MOST_SECTORS, Office, Transaction, World


def world() -> World:
    return World(
        hearings=list(range(1, 11)),
        shifts=[("NORTH-01", date(2026, 12, day), 1) for day in range(1, 11)],
        features=[f"GF-{number:05}" for number in range(1, 11)],
        sectors=["GF-00004", "GF-00005"],
        documents={UUID(int=number): number for number in range(1, 11)},
    )


def day(seed: int, transactions: int = 400) -> list[Transaction]:
    office = Office(world(), seed)
    return [office.next() for _ in range(transactions)]


def test_the_same_seed_does_the_same_work() -> None:
    assert day(7) == day(7)


def test_another_seed_does_other_work() -> None:
    assert day(7) != day(8)


def test_a_day_holds_everything_that_can_go_wrong() -> None:
    transactions = day(7)
    statements = {step.statement for transaction in transactions for step in transaction.steps}
    assert {"hearing_insert", "hearing_delete", "shift_move", "room_closed", "document_version"} <= statements
    assert {"sector_insert", "sector_redraw", "document_insert", "document_delete"} <= statements
    assert any(not transaction.commit for transaction in transactions)
    assert any(len(transaction.steps) > 1 for transaction in transactions if transaction.commit)
    assert any(
        [step.statement for step in transaction.steps] == ["hearing_delete", "hearing_insert"]
        for transaction in transactions
    )


def test_what_is_rolled_back_is_not_believed() -> None:
    known = world()
    office = Office(known, 7)
    before = (list(known.hearings), list(known.features))
    assert not office.think_again().commit
    assert (known.hearings, known.features) == before


def test_the_world_neither_empties_nor_overflows() -> None:
    known = world()
    office = Office(known, 3)
    for _ in range(3000):
        office.next()
    assert all(FEWEST <= len(keys) <= MOST for keys in (known.hearings, known.shifts, known.features))
    assert len(known.documents) <= MOST + 3


def test_a_patrol_area_is_a_ring_that_closes_and_has_its_size() -> None:
    """Counterclockwise, as maps want it: a ring drawn the other way would have a negative size."""
    dice = random.Random(4)
    for _ in range(200):
        geometry, size = papers.area(dice)
        (ring,) = geometry["coordinates"]
        assert ring[0] == ring[-1]
        assert len(ring) >= 5
        assert 10_000 < size < 2_000_000


def test_sectors_are_known_features_and_no_more_than_the_map_can_show() -> None:
    known = world()
    office = Office(known, 3)
    for _ in range(3000):
        office.next()
        assert set(known.sectors) <= set(known.features)
        assert len(known.sectors) <= MOST_SECTORS
