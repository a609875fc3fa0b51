"""The kinds of connectors that a config can name: ours, and those of others (docs/writing-a-connector.md)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from connectors.kind import ConnectorKind
from outbox.plugins import Plugins

OURS: Mapping[str, str] = MappingProxyType(
    {
        "http": "connectors.http.kind:KIND",
        "scheduler": "connectors.scheduler:KIND",
        "caldav": "connectors.caldav.kind:KIND",
        "webhook": "connectors.webhook.kind:KIND",
        "sql": "connectors.sql.kind:KIND",
        "file": "connectors.file.kind:KIND",
        "ogc_features": "connectors.ogc_features.kind:KIND",
        "wfs": "connectors.wfs.kind:KIND",
        "arcgis": "connectors.arcgis.kind:KIND",
        "webdav": "connectors.webdav.kind:KIND",
        "s3": "connectors.s3.kind:KIND",
    }
)
"""Where each of ours is."""


@cache
def kinds() -> Plugins[ConnectorKind]:
    """All kinds by name. Raises HmsSyncError where a plug-in takes a name that is taken."""
    return Plugins("hms_sync.connectors", "connector kind", ConnectorKind, OURS)
