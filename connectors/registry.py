"""The kinds of connectors that a config can name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from connectors import scheduler
from connectors.arcgis import kind as arcgis
from connectors.caldav import kind as caldav
from connectors.http import kind as http
from connectors.kind import ConnectorKind
from connectors.ogc_features import kind as ogc_features
from connectors.sql import kind as sql
from connectors.wfs import kind as wfs

_KINDS: Mapping[str, ConnectorKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            http.KIND,
            scheduler.KIND,
            caldav.KIND,
            ogc_features.KIND,
            wfs.KIND,
            arcgis.KIND,
            sql.KIND,
        )
    }
)


def kinds() -> Mapping[str, ConnectorKind]:
    """All kinds by name."""
    return _KINDS
