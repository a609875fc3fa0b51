"""Whether the documents of a connector fit the table of its target; asked before anything is sent there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import simplejson

from cdc.config import Built
from connectors.batch import BatchConnector, TableSession
from connectors.hiding import hide
from outbox.model import Json


def misfits(built: Built, definition: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Record types with what keeps their documents out, in sentences; nothing is written to find out.

    ``definition`` is the connector's (routes with their mappings as text). Nothing where the target has no columns, or
    cannot be looked at just now.
    """
    if not isinstance(built.connector, BatchConnector):
        return
    session = built.connector.open(built.channel, built.settings.deadline.total_seconds())
    if isinstance(session, TableSession) and session.problem() is None:  # one look for all routes
        for record_type, route in definition["routes"].items():
            shape = _shape(simplejson.loads(route["mapping"]))
            for sentence in session.misfits(shape) if shape else ():
                yield record_type, hide(sentence, built.channel.secrets)


def _shape(mapping: Mapping[str, Json]) -> dict[str, str | None]:
    """The members that upserts of a mapping have, with the types that it declares; none where a function makes them."""
    types = mapping.get("row", {}).get("types", {})
    return {field: types.get(field) for field in mapping.get("fields", {})}
