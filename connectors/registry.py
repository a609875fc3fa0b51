"""The kinds of connectors that a config can name: ours, and those of others (docs/writing-a-connector.md)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from connectors import scheduler
from connectors.arcgis import kind as arcgis
from connectors.caldav import kind as caldav
from connectors.file import kind as file
from connectors.http import kind as http
from connectors.kind import ConnectorKind
from connectors.ogc_features import kind as ogc_features
from connectors.s3 import kind as s3
from connectors.sql import kind as sql
from connectors.webdav import kind as webdav
from connectors.webhook import kind as webhook
from connectors.wfs import kind as wfs
from outbox.plugins import Plugins

OURS: Mapping[str, ConnectorKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            http.KIND,
            scheduler.KIND,
            caldav.KIND,
            webhook.KIND,
            sql.KIND,
            file.KIND,
            ogc_features.KIND,
            wfs.KIND,
            arcgis.KIND,
            webdav.KIND,
            s3.KIND,
        )
    }
)


@cache
def kinds() -> Plugins[ConnectorKind]:
    """All kinds by name. Raises HmsSyncError where a plug-in takes a name that is taken."""
    return Plugins("hms_sync.connectors", "connector kind", ConnectorKind, OURS)
