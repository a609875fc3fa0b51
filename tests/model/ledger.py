"""The transactions of the ledger, each one step: claim, settle, hold, promote, recover."""

from __future__ import annotations

from collections.abc import Iterable

from tests.model.rules import Rule
from tests.model.state import (
    AFTER_QUIET,
    DEAD,
    HELD,
    IN_FLIGHT,
    NEVER,
    NOW,
    UNKNOWN,
    WAITING,
    Delivery,
    Ledger,
    Row,
    World,
    put,
)


def blocks(delivery: Delivery | None) -> bool:
    """True when an open delivery stands in the way of its record's next change (after_reject: continue)."""
    return delivery is not None and delivery.state != DEAD


def is_blocked(ledger: Ledger, world: World, change: int) -> bool:
    """True when the change's record has an open delivery (read_page, read_claim: blocked)."""
    return any(blocks(ledger.deliveries[other]) for other in world.siblings[change])


def is_behind_doubt(ledger: Ledger, world: World, change: int) -> bool:
    """True when an earlier change of the record has a delivery in doubt (read_claim: blocked)."""
    earlier = [ledger.deliveries[other] for other in world.siblings[change] if other < change]
    return any(delivery is not None and delivery.state == UNKNOWN for delivery in earlier)


def settles(ledger: Ledger, change: int, row: Row, outcome: str) -> Ledger:
    """An audit entry; a delivery of this attempt leaves."""
    settled = put(ledger.settled, change, (*ledger.settled[change], (row.generation, outcome)))
    deliveries = put(ledger.deliveries, change, None) if row.fence else ledger.deliveries
    return ledger._replace(settled=settled, deliveries=deliveries)


def is_settled(ledger: Ledger, change: int, generation: int) -> bool:
    return any(entry[0] == generation for entry in ledger.settled[change])


def remembers(ledger: Ledger, world: World, change: int, version: int) -> Ledger:
    """The remote object, never set back; dead letters that this change has overtaken are superseded."""
    record = world.record_of[change]
    if ledger.remotes[record][0] <= change:
        ledger = ledger._replace(remotes=put(ledger.remotes, record, (change, version)))
    for other in world.siblings[change]:
        dead = ledger.deliveries[other]
        if other < change and dead is not None and dead.state == DEAD:
            ledger = settles(ledger, other, Row(generation=dead.generation, fence=1), "superseded")
    return ledger


def enters(ledger: Ledger, change: int, row: Row, state: str, due: str = NEVER) -> Ledger:
    """enter_delivery, change_delivery: a row becomes an open delivery, or its delivery gets its next state."""
    known = ledger.deliveries[change]
    fence = known.fence if known else row.generation * 10
    attempts = row.attempt - 1 if state == HELD else row.attempt
    fence += state == IN_FLIGHT
    delivery = Delivery(state, row.generation, attempts, fence, row.doubt, due)
    return ledger._replace(deliveries=put(ledger.deliveries, change, delivery))


def promotes(ledger: Ledger, world: World, change: int) -> Ledger:
    """promote_next: the record's first open delivery becomes due where it was held; not behind a doubt."""
    if Rule.PROMOTE_HEADS not in world.rules:
        return ledger
    opened = [
        (other, delivery)
        for other in world.siblings[change]
        if (delivery := ledger.deliveries[other]) is not None and blocks(delivery)
    ]
    doubt = Rule.REPLAY_BEHIND_DOUBT in world.rules and any(one.state in (IN_FLIGHT, UNKNOWN) for _, one in opened)
    if doubt or not opened or opened[0][1].state != HELD:
        return ledger
    first, delivery = opened[0]
    return ledger._replace(deliveries=put(ledger.deliveries, first, delivery._replace(state=WAITING, due=NOW)))


def steps_back(ledger: Ledger, world: World, change: int) -> Ledger:
    """step_back: a person's replays that wait are held behind a newer change that was perhaps sent."""
    if Rule.REPLAY_BEHIND_DOUBT not in world.rules:
        return ledger
    for other in world.siblings[change]:
        delivery = ledger.deliveries[other]
        if other != change and delivery is not None and delivery.state == WAITING:
            held = delivery._replace(state=HELD, due=NEVER)
            ledger = ledger._replace(deliveries=put(ledger.deliveries, other, held))
    return ledger


def ends_page(ledger: Ledger) -> Ledger:
    """The open page ends with the transaction that gives its last row a place of its own."""
    if ledger.claim and are_placed(ledger, range(ledger.position, ledger.claim)):
        return ledger._replace(position=ledger.claim, claim=0)
    return ledger


def are_placed(ledger: Ledger, changes: Iterable[int]) -> bool:
    """True when each has a place of its own: settled, or a delivery."""
    return all(ledger.settled[change] or ledger.deliveries[change] is not None for change in changes)


def doubts(ledger: Ledger, world: World, due: str) -> Ledger:
    """recover_in_flight: what a dead owner had in flight was perhaps applied."""
    for change, delivery in enumerate(ledger.deliveries):
        if delivery is None or delivery.state != IN_FLIGHT:
            continue
        if Rule.DOUBT_AFTER_TAKEOVER in world.rules:
            found = delivery._replace(state=UNKNOWN, due=due)
            ledger = ledger._replace(deliveries=put(ledger.deliveries, change, found))
        else:
            again = delivery._replace(state=WAITING, due=NOW)
            ledger = ledger._replace(deliveries=put(ledger.deliveries, change, again))
    return ledger


def falls_due(delivery: Delivery | None) -> bool:
    """True when the daemon may claim this delivery now."""
    return delivery is not None and delivery.state in (WAITING, UNKNOWN) and delivery.due == NOW


def is_quiet_over(delivery: Delivery | None) -> bool:
    return delivery is not None and delivery.state == UNKNOWN and delivery.due == AFTER_QUIET
