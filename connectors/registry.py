"""The kinds of connectors that a config can name: ours, and those of others (docs/writing-a-connector.md)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from connectors import scheduler
from connectors.caldav import kind as caldav
from connectors.http import kind as http
from connectors.kind import ConnectorKind
from connectors.sql import kind as sql
from outbox.plugins import Plugins

OURS: Mapping[str, ConnectorKind] = MappingProxyType(
    {kind.name: kind for kind in (http.KIND, scheduler.KIND, caldav.KIND, sql.KIND)}
)


@cache
def kinds() -> Plugins[ConnectorKind]:
    """All kinds by name. Raises HmsSyncError where a plug-in takes a name that is taken."""
    return Plugins("hms_sync.connectors", "connector kind", ConnectorKind, OURS)
