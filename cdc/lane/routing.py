"""What a change means for one connector: which message, or none; pure and compiled once per mapping version.

A connector sees the rows that its condition lets through. When a row leaves that set, it is deleted at the
platform; a row that was never in the set, as far as anybody knows, is filtered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import simplejson

from outbox.model import Action, Change, Json, Message, RemoteObject
from transformers import MappingError, Transformer, TransformError, compile_condition, compile_mapping, engine

Condition: TypeAlias = Callable[[Mapping[str, Json]], bool]


@dataclass(frozen=True, slots=True)
class Route:
    """One record type on its way to one connector; no condition means every row."""

    transformer: Transformer
    condition: Condition | None = None

    def plan(self, change: Change, remote: RemoteObject | None) -> Message | None:
        """The message for ``change``, None when it is filtered. Raises TransformError."""
        if change.after is not None and self._lets_through(change.after):
            return self.transformer(change)
        if _holds(remote) or self._lets_through(change.before):
            return self.transformer(change, action=None if change.operation.removes else Action.DELETE)
        return None

    def _lets_through(self, row: Mapping[str, Json] | None) -> bool:
        if self.condition is None:
            return True
        return row is not None and self.condition(row)


@dataclass(frozen=True, slots=True)
class LostRoute:
    """A route whose mapping was good when a page or delivery was pinned to it, and cannot be made any more."""

    reason: str

    def plan(self, change: Change, _remote: RemoteObject | None) -> Message | None:
        raise TransformError(
            f"change {change.id} is pinned to a mapping that cannot be used any more: {self.reason}; "
            "install its code again, or replay the change with the mapping of today"
        )


@dataclass(frozen=True, slots=True)
class Routes:
    """All routes of one connector, by record type."""

    by_type: Mapping[str, Route | LostRoute]
    same_engine: bool = True
    """False for routes of a daemon that may have written other bytes from the same mapping."""

    @property
    def record_types(self) -> frozenset[str]:
        return frozenset(self.by_type)

    def plan(self, change: Change, remote: RemoteObject | None) -> Message | None:
        """The message for ``change``, None when it is filtered (also: no route for its type)."""
        route = self.by_type.get(change.record_type)
        return route.plan(change, remote) if route is not None else None


def compile_routes(definition: Mapping[str, Json]) -> Routes:
    """The routes of a connector's stored definition (see ``cdc.config.definition``)."""
    return Routes({record_type: compile_route(parts) for record_type, parts in definition["routes"].items()})


def revive_routes(definition: Mapping[str, Json]) -> Routes:
    """The routes of an earlier definition: what cannot be made any more fails its changes, not its lane."""
    routes = {record_type: _revived(parts) for record_type, parts in definition["routes"].items()}
    return Routes(routes, same_engine=definition.get("engine", engine()) == engine())


def _revived(parts: Mapping[str, Json]) -> Route | LostRoute:
    try:
        return compile_route(parts)
    except MappingError as error:
        return LostRoute(str(error))


def compile_route(parts: Mapping[str, Json]) -> Route:
    """One route of a definition. Raises MappingError."""
    where = parts.get("where")
    return Route(
        transformer=compile_mapping(parts["name"], simplejson.loads(parts["mapping"], use_decimal=True)),
        condition=None if where is None else compile_condition(where),
    )


def _holds(remote: RemoteObject | None) -> bool:
    return remote is not None and not remote.absent
