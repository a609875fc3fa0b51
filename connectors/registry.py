"""The kinds of connectors that a config can name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from connectors import scheduler
from connectors.caldav import kind as caldav
from connectors.file import kind as file
from connectors.http import kind as http
from connectors.kind import ConnectorKind
from connectors.sql import kind as sql
from connectors.webhook import kind as webhook

_KINDS: Mapping[str, ConnectorKind] = MappingProxyType(
    {kind.name: kind for kind in (http.KIND, scheduler.KIND, caldav.KIND, sql.KIND, webhook.KIND, file.KIND)}
)


def kinds() -> Mapping[str, ConnectorKind]:
    """All kinds by name."""
    return _KINDS
