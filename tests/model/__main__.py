"""Prints the table of docs/model.md, and the trace of each rule's absence: ``python -m tests.model``."""

from __future__ import annotations

from dataclasses import replace

from outbox.model import Guarantee
from tests.model.checker import check
from tests.model.test_model import FIRST_LINE, STANDS_ON
from tests.model.worlds import WORLDS


def table() -> str:
    """States of each class in each world."""
    lines = ["| class | " + " | ".join(WORLDS) + " |", "|---" * (len(WORLDS) + 1) + "|"]
    for guarantee in Guarantee:
        cells = [f"{check(make(guarantee)).states:,}" for make in WORLDS.values()]
        lines.append(f"| `{guarantee}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    print(table())
    for rule, (guarantee, make, _) in FIRST_LINE.items():
        world = make(guarantee)
        print(f"\nwithout {rule.name} ({guarantee}): {check(replace(world, rules=world.rules - {rule}))}")
    for assumption, (guarantee, make, _) in STANDS_ON.items():
        world = make(guarantee)
        without = replace(world, assumptions=world.assumptions - {assumption})
        print(f"\nwithout {assumption.name} ({guarantee}): {check(without)}")


if __name__ == "__main__":
    main()
