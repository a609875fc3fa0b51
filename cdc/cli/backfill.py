"""`backfill`: rows that were there before the capture, brought to one connector beside the live changes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Annotated, TypeAlias

import simplejson
import typer

from cdc.cli.ending import Exit
from cdc.cli.options import Actor, Reason, key_values
from cdc.cli.output import Output
from cdc.cli.session import acting_person, session_of
from outbox import backfill as chunkwise
from outbox.backfill import Chunk, Order
from outbox.model import Json
from outbox.ondemand import key_parts
from outbox.operate import Person

AHEAD = 2
"""Chunks that may wait for their delivery."""
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.05

Progress: TypeAlias = Callable[..., None]
Placed: TypeAlias = Callable[[Chunk], bool]


@dataclass(slots=True)
class Account:
    """How far the backfill came; ``after``: the key to go on behind, None where all was captured."""

    connector: str
    record_type: str
    act_id: int
    captured: int = 0
    after: Json = None
    why: str = field(default="")


def register(app: typer.Typer) -> None:
    app.command("backfill")(backfill)


def backfill(
    context: typer.Context,
    connector: Annotated[str, typer.Argument(metavar="CONNECTOR", help="The connector.")],
    record_type: Annotated[str, typer.Argument(metavar="TYPE", help="The record type.")],
    *,
    reason: Reason,
    after: Annotated[
        str | None, typer.Option("--after", metavar="KEY", help="Go on behind this key, as an earlier run said.")
    ] = None,
    actor: Actor = None,
) -> Exit:
    """Bring all rows of a table to one connector, beside the live changes and in order with them."""
    session = session_of(context)
    person = Person(acting_person(actor), reason)
    with session.database() as connection:
        key = key_parts(connection, record_type, key_values(after)) if after is not None else None
        order = Order(connector, record_type, key)
        account = Account(connector, record_type, chunkwise.begin(connection, order, person))
        total = chunkwise.rows_estimated(connection, record_type) if key is None else None
        with session.output.progress(f"Backfill of {connector}") as progress:
            _carry(
                chunkwise.chunks(connection, order, person.actor, account.act_id),
                lambda chunk: chunkwise.is_placed(connection, connector, chunk),
                account,
                lambda: progress(account.captured, total and max(total, account.captured)),
            )
    session.output.show(asdict(account), lambda: _tell(session.output, account))
    return Exit.NOT_DONE if account.why else Exit.OK


def _carry(chunks: Iterable[Chunk], placed: Placed, account: Account, tell: Callable[[], None]) -> None:
    """Captures while the connector keeps up; stops, with a word on how to go on, where it does not or on Ctrl-C."""
    waiting: deque[Chunk] = deque()
    try:
        for chunk in chunks:
            account.captured += chunk.captured
            account.after = chunk.last
            tell()
            waiting.append(chunk)
            if len(waiting) > AHEAD and not _awaited(placed, waiting.popleft()):
                account.why = (
                    f"{account.connector} has taken nothing for {PATIENCE_SECONDS:.0f} s (see hms-sync status)"
                )
                return
    except KeyboardInterrupt:
        account.why = "interrupted"
        return
    account.after = None


def _awaited(placed: Placed, chunk: Chunk) -> bool:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not placed(chunk):
        if time.monotonic() > give_up:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _tell(output: Output, account: Account) -> None:
    rows = f"{account.captured} rows of {account.record_type} captured for {account.connector} (act {account.act_id})"
    if not account.why:
        output.line(f"{rows}; what is not there yet is on its way.")
        return
    output.line(f"{rows}, then {account.why}. They will be delivered; go on with the others:")
    output.line(f"  --after '{simplejson.dumps(account.after, use_decimal=True, ensure_ascii=False)}'")
