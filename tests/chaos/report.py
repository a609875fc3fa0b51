"""The account as a table for persons and as JSON for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

from outbox.model import Json
from tests.chaos.account import Account

_NOT_KEPT = "NOT AS IT SHOULD BE: a promise was broken, a figure not reached, or something else went wrong"
_COLUMNS = ("connector", "class", "due", "effects", "lost", "twice", "order", "phantom", "wrong", "faults", "promise")


def table(account: Account) -> str:
    """One line per connector, then what was done to all of them."""
    rows = [_COLUMNS, *_rows(account)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *_notes(account)])


def document(account: Account) -> Mapping[str, Json]:
    return {
        "kept": account.kept,
        "seed": account.seed,
        "seconds": round(account.seconds, 1),
        "transactions": account.transactions,
        "kills": dict(account.kills),
        "stops": dict(account.stops),
        "drained": account.drained,
        "restarts": account.restarts,
        "resolved": account.resolved,
        "snapshots_held": account.snapshots,
        "prepared_forgotten": account.forgotten,
        "database_faults": _plain(account.database_faults),
        "faults": {name: _plain(faults) for name, faults in account.faults.items()},
        "connectors": {
            name: {"class": guarantee.value, "kept": tally.keeps(guarantee), **asdict(tally)}
            for name, (guarantee, tally) in account.tallies.items()
        },
        "missed": list(account.missed),
        "findings": account.findings,
    }


def _rows(account: Account) -> list[tuple[str, ...]]:
    rows = []
    for name, (guarantee, tally) in account.tallies.items():
        numbers = (
            tally.due,
            tally.effects,
            tally.lost,
            tally.duplicated,
            tally.out_of_order,
            tally.phantom,
            tally.wrong,
        )
        faults = account.faults[name].total()
        verdict = "kept" if tally.keeps(guarantee) else "BROKEN"
        rows.append((name, guarantee.value, *map(str, numbers), str(faults), verdict))
    return rows


def _notes(account: Account) -> list[str]:
    return [
        f"seed {account.seed}, {account.seconds:.0f} s, {account.storm_seconds:.0f} s of them storm; "
        f"{account.transactions} transactions of the application",
        f"kills at work {account.kills.total()}: {_list(account.kills)}; {account.idle_kills} others",
        f"stops beyond the lease {account.stops.total()}: {_list(account.stops)}",
        f"restarts of PostgreSQL {account.restarts}; daemons drained {account.drained}",
        f"faults of database connections {account.database_faults.total()}: {_list(account.database_faults)}",
        *(f"faults of {name} {faults.total()}: {_list(faults)}" for name, faults in account.faults.items()),
        f"doubts resolved by asking the platform {account.resolved}; "
        f"snapshots held {account.snapshots}; prepared transactions forgotten for a while {account.forgotten}",
        *(f"NOT REACHED: {figure}" for figure in account.missed),
        *(f"FOUND: {finding}" for finding in account.findings),
        "every class kept its promise" if account.kept else _NOT_KEPT,
    ]


def _list(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(_plain(counter).items()))


def _plain(counter: Mapping[str, int]) -> dict[str, int]:
    return {str(name): number for name, number in counter.items()}
