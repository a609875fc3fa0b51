"""The bounded worlds that are searched to the end, and the smaller ones in which a rule is taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from outbox.model import Guarantee
from tests.model.state import Budgets, Change, World

A, B, A_GONE = Change("a"), Change("b"), Change("a", removes=True)
EVERYTHING = Budgets(crash=2, expire=1, lose=2, late=2, refuse=1, database=1, forget=1, replay=1, detach=1)
WEATHER = EVERYTHING._replace(crash=1, lose=1, late=1, database=0, forget=0)


def one_page(guarantee: Guarantee) -> World:
    """Two changes of one record in one page; any three faults."""
    return World(guarantee, (A, A), EVERYTHING._replace(together=3))


def two_pages(guarantee: Guarantee) -> World:
    """The same in two pages: the second change may find the first one open."""
    return World(guarantee, (A, A), EVERYTHING._replace(together=3), page_size=1)


def deletes(guarantee: Guarantee) -> World:
    """A record that comes, goes and comes again; any two faults."""
    return World(guarantee, (A, A_GONE, A), EVERYTHING._replace(together=2))


def two_records(guarantee: Guarantee) -> World:
    """A record with two changes and one with a single one, in two pages; any two faults of network and workers."""
    return World(guarantee, (A, B, A), WEATHER._replace(together=2))


def four_changes(guarantee: Guarantee) -> World:
    """Two records with two changes each, in two pages; any single fault of network and workers."""
    return World(guarantee, (A, B, A, B), WEATHER._replace(together=1))


def a_delete(guarantee: Guarantee) -> World:
    """A record that comes and goes, in one page; any three faults."""
    return World(guarantee, (A, A_GONE), EVERYTHING._replace(together=3))


WORLDS: Mapping[str, Callable[[Guarantee], World]] = {
    "one page": one_page,
    "two pages": two_pages,
    "deletes": deletes,
    "two records": two_records,
    "four changes": four_changes,
}
