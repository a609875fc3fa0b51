"""The protocol keeps its promises in every reachable state, and each of its rules is there for a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from outbox.model import Guarantee
from tests.model.checker import Result, check
from tests.model.rules import Assumption, Rule
from tests.model.state import World
from tests.model.worlds import WORLDS, a_delete, deletes, one_page, two_pages

DOCUMENT = Path(__file__).parents[2] / "docs" / "model.md"
Breach: TypeAlias = tuple[Guarantee, Callable[[Guarantee], World], str]
"""A class, a world, and what goes wrong there."""

TX, CAS, WINDOW = Guarantee.EXACT_TX, Guarantee.EXACT_CAS, Guarantee.EXACT_WINDOW
VERIFY, CONVERGE, ONCE = Guarantee.VERIFY, Guarantee.CONVERGE, Guarantee.ONCE_OR_ASK
AT_LEAST = Guarantee.AT_LEAST

FIRST_LINE: Mapping[Rule, Breach] = {
    Rule.CLAIM_NAMES_ITS_ROWS: (AT_LEAST, one_page, "a1 is lost"),
    Rule.CLAIM_NAMES_THE_REST: (AT_LEAST, two_pages, "a1 is lost"),
    Rule.CLAIM_KEEPS_THE_ORDER: (VERIFY, deletes, "a2-gone is stuck"),
    Rule.CLAIM_IS_FLUSHED: (AT_LEAST, one_page, "its transaction is undone"),
    Rule.RECOVERY_MINUS_SETTLED: (ONCE, one_page, "a1 is sent again by itself"),
    Rule.RECOVERY_MINUS_OPEN: (VERIFY, one_page, "a1 has two effects"),
    Rule.REPLAY_BEHIND_DOUBT: (WINDOW, one_page, "a1 overwrites the newer a2"),
    Rule.DOUBT_AFTER_TAKEOVER: (ONCE, one_page, "a1 is sent again by itself"),
    Rule.EPOCH_AT_WRITE: (AT_LEAST, one_page, "a settle succeeded under an old epoch"),
    Rule.LEASE_BEFORE_SEND: (CONVERGE, one_page, "which a2 had replaced"),
    Rule.DEADLINE_INSIDE_LEASE: (VERIFY, one_page, "a1 has two effects"),
    Rule.ONE_UNDER_WAY: (WINDOW, one_page, "a1 overwrites the newer a2"),
    Rule.NEXT_AFTER_COMMIT: (WINDOW, one_page, "a1 overwrites the newer a2"),
    Rule.FOLLOWERS_HELD: (VERIFY, one_page, "a1 overwrites the newer a2"),
    Rule.PROMOTE_HEADS: (AT_LEAST, one_page, "a2 is stuck"),
    Rule.NEVER_OLDER: (CAS, one_page, "a1 overwrites the newer a2"),
    Rule.INTENT: (ONCE, one_page, "a1 is sent again by itself"),
    Rule.SAME_KEY: (WINDOW, one_page, "a1 has two effects"),
    Rule.ASK_FIRST: (VERIFY, one_page, "a1 has two effects"),
    Rule.CONDITIONAL_WRITE: (CAS, one_page, "a1 has two effects"),
    Rule.QUIET_PERIOD: (VERIFY, one_page, "a1 has two effects"),
    Rule.DELETE_AFTER_COPIES: (CAS, a_delete, "a1 overwrites the newer a2-gone"),
    Rule.PERSON_DECIDES: (ONCE, one_page, "a1 is sent again by itself"),
    Rule.WINDOW_BEFORE_RESEND: (WINDOW, one_page, "a1 has two effects"),
    Rule.BUSY_KEEPS_DOUBT: (WINDOW, one_page, "a1 overwrites the newer a2"),
    Rule.SPENT_DOUBT_STAYS_OPEN: (WINDOW, one_page, "a1 has two effects"),
}
"""Without the rule, by itself, this class breaks this promise."""

SECOND_LINE: Mapping[Rule, Breach] = {
    Rule.UNIQUE_SETTLE: (WINDOW, one_page, "a1 is settled twice"),
    Rule.FENCE: (ONCE, one_page, "a1 overwrites the newer a2"),
}
"""Rules that nothing needs while writes are bound to the epoch: what breaks when that falls, and they with it."""

STANDS_ON: Mapping[Assumption, Breach] = {
    Assumption.QUIET_OUTLIVES_COPIES: (VERIFY, one_page, "a1 has two effects"),
    Assumption.WINDOW_OUTLIVES_COPIES: (WINDOW, one_page, "a1 has two effects"),
    Assumption.COPIES_DIE_BEFORE_NEXT: (CONVERGE, one_page, "the platform shows a1, which a2 had replaced"),
    Assumption.QUIET_OUTLIVES_CREATES: (CAS, a_delete, "a1 overwrites the newer a2-gone"),
}
"""What the guarantee's conditions ask of the platform and the network, and what happens where it is not so."""


@pytest.fixture(scope="module")
def explored() -> dict[tuple[str, Guarantee], Result]:
    return {}


@pytest.mark.parametrize("guarantee", Guarantee)
@pytest.mark.parametrize("name", WORLDS)
def test_no_reachable_state_breaks_a_promise(
    name: str, guarantee: Guarantee, explored: dict[tuple[str, Guarantee], Result]
) -> None:
    found = explored[name, guarantee] = check(WORLDS[name](guarantee))
    print(f"{guarantee}, {name}: {found.states} states")
    assert found.breach is None, str(found)


def test_the_document_gives_the_number_of_states(explored: dict[tuple[str, Guarantee], Result]) -> None:
    text = DOCUMENT.read_text()
    for guarantee in Guarantee:
        cells = [explored[name, guarantee] for name in WORLDS if (name, guarantee) in explored]
        if len(cells) == len(WORLDS):
            assert f"| `{guarantee}` | {' | '.join(f'{found.states:,}' for found in cells)} |" in text


def test_every_rule_is_taken_away_once() -> None:
    assert FIRST_LINE.keys() | SECOND_LINE.keys() == set(Rule)
    assert STANDS_ON.keys() == set(Assumption)


@pytest.mark.parametrize("rule", FIRST_LINE, ids=lambda rule: rule.name)
def test_without_this_rule_a_promise_is_broken(rule: Rule) -> None:
    guarantee, make, breach = FIRST_LINE[rule]
    world = make(guarantee)
    found = check(replace(world, rules=world.rules - {rule}))
    assert breach in (found.breach or ""), str(found)


@pytest.mark.parametrize("rule", SECOND_LINE, ids=lambda rule: rule.name)
def test_behind_the_epoch_this_rule_is_the_second_line(rule: Rule) -> None:
    guarantee, make, breach = SECOND_LINE[rule]
    world = make(guarantee)
    assert check(replace(world, rules=world.rules - {rule})).breach is None
    both = check(replace(world, rules=world.rules - {rule, Rule.EPOCH_AT_WRITE}, forgives_old_epochs=True))
    assert breach in (both.breach or ""), str(both)


@pytest.mark.parametrize("assumption", STANDS_ON, ids=lambda assumption: assumption.name)
def test_this_condition_of_the_guarantee_is_needed(assumption: Assumption) -> None:
    guarantee, make, breach = STANDS_ON[assumption]
    world = make(guarantee)
    found = check(replace(world, assumptions=world.assumptions - {assumption}))
    assert breach in (found.breach or ""), str(found)


def test_a_trace_is_the_shortest_way_in_sentences() -> None:
    world = replace(one_page(ONCE), rules=one_page(ONCE).rules - {Rule.INTENT})
    assert check(world).trace == (
        "worker 1 takes the lane over and recovers",
        "worker 1 claims a page: a1 a2",
        "[a1] worker 1 sends",
        "worker 1 is killed",
        "worker 1 takes the lane over and recovers",
        "[a1] worker 1 sends",
    )
