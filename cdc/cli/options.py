"""Options that several commands share, and how their words become values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Annotated, Any, TypeAlias, get_type_hints

import simplejson
import typer

from outbox.model import Json
from outbox.selector import Selector

_AGE = re.compile(r"(\d+)\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime:
    """A time as ISO 8601 (UTC where it names no zone), or an age such as 90s, 15m, 2h, 3d."""
    if age := _AGE.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is no time: write 2026-03-01T08:00 or an age such as 15m or 3d") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def record(text: str) -> tuple[str, str]:
    """``hearing_schedule:123`` as type and key; ``shift:["K9", 2]`` where the key has several columns."""
    record_type, colon, key = text.partition(":")
    if not (record_type and colon and key):
        raise typer.BadParameter(f"'{text}' names no record: write TYPE:KEY, such as hearing_schedule:123")
    return record_type, _canonical(key)


def _canonical(key: str) -> str:
    """A key of several columns as the log writes it, whatever the blanks between its values."""
    parts = key_values(key)
    return simplejson.dumps(parts, use_decimal=True, ensure_ascii=False) if isinstance(parts, list) else key


def key_values(key: str) -> str | list[Json]:
    """A key as the command line takes it: one value, or the values of a JSON array."""
    try:
        return simplejson.loads(key, use_decimal=True) if key.startswith("[") else key
    except ValueError:
        return key


Connector: TypeAlias = Annotated[str | None, typer.Option("--connector", help="Only this connector.")]
Record: TypeAlias = Annotated[str | None, typer.Option("--record", metavar="TYPE:KEY", help="Only this record.")]
RecordType: TypeAlias = Annotated[str | None, typer.Option("--type", help="Only this record type.")]
Changes: TypeAlias = Annotated[list[int] | None, typer.Option("--change", help="Only this change id; may be repeated.")]
State: TypeAlias = Annotated[str | None, typer.Option("--state", help="Only this state: dead, unknown, waiting, held.")]
ErrorClass: TypeAlias = Annotated[str | None, typer.Option("--error-class", help="Only failures of this class.")]
Fingerprint: TypeAlias = Annotated[
    str | None, typer.Option("--fingerprint", help="Only failures with this cause (see failures --groups).")
]
Since: TypeAlias = Annotated[
    datetime | None, typer.Option("--since", parser=moment, metavar="TIME", help="From this time, or age such as 2h.")
]
Until: TypeAlias = Annotated[
    datetime | None, typer.Option("--until", parser=moment, metavar="TIME", help="Before this time, or age such as 1h.")
]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", help="Why; kept with the act for ever.")]
Actor: TypeAlias = Annotated[
    str | None, typer.Option("--actor", help="Who acts (default: the operating system's user).")
]


def selector(
    *,
    connector: Connector = None,
    record_type: RecordType = None,
    record_name: Record = None,
    change: Changes = None,
    state: State = None,
    error_class: ErrorClass = None,
    fingerprint: Fingerprint = None,
    since: Since = None,
    until: Until = None,
) -> Selector:
    """The deliveries that a person means."""
    named_type, key = record(record_name) if record_name else (record_type, None)
    return Selector(
        connector=connector,
        record_type=named_type,
        record_key=key,
        change_ids=tuple(change or ()),
        state=state,
        error_class=error_class,
        fingerprint=fingerprint,
        since=since,
        until=until,
    )


def selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of :func:`selector`; it receives their value as ``chosen``."""
    marks = inspect.signature(selector).parameters
    own = {name: each for name, each in inspect.signature(command).parameters.items() if name != "chosen"}

    @wraps(command)
    def run(**given: Any) -> Any:
        chosen = selector(**{name: given.pop(name) for name in marks})
        return command(chosen=chosen, **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    hints = {**get_type_hints(command, include_extras=True), **get_type_hints(selector, include_extras=True)}
    both = {**own, **marks}
    run.__annotations__ = {name: hints[name] for name in both}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(kind=keyword, annotation=hints[name]) for name, each in both.items()]
    )
    return run
