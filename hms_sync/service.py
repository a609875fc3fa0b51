"""Bring one record to one external system, now: the call that an application makes."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from cdc.assembly import assemble
from cdc.config import load, renewed
from cdc.database import source
from cdc.ondemand import Request, deliver_now
from outbox.db import explained
from outbox.model import HmsSyncError


class ExternalSyncService:
    """Delivers single records through the outbox, in their order, once, audited; with or without a running daemon.

    ``config_path`` names the ``sync-config.yml``; ``actor`` is who asks, for the audit (default: the user of the
    process). Raises :class:`~outbox.model.HmsSyncError` when the config has mistakes (one sentence each).
    """

    def __init__(
        self,
        config_path: str | Path = "sync-config.yml",
        *,
        actor: str | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._config = load(Path(config_path))
        self._actor = actor or getpass.getuser()
        self._timeout_seconds = timeout_seconds

    def sync(
        self, system: str, record_type: str, record_id: int | str | Sequence[Any] | Mapping[str, Any]
    ) -> dict[str, Any]:
        """Deliver the record as it is now; ``record_id`` is the key (a sequence, in key order, where it is composite).

        Returns ``{"status": "success"}`` when the system holds it, else ``{"status": "failed", "reason": …,
        "open": …}``; ``open`` True means that the delivery goes on by itself as soon as it can.
        """
        try:
            return self._deliver(system, record_type, record_id)
        except HmsSyncError as error:
            return {"status": "failed", "reason": str(error), "open": False}
        except psycopg.Error as error:
            return {"status": "failed", "reason": explained(error), "open": False}

    def _deliver(self, system: str, record_type: str, record_id: Any) -> dict[str, Any]:
        self._config = renewed(self._config)
        kit = assemble(self._config).get(system)
        if kit is None:
            known = ", ".join(self._config.connectors) or "none"
            raise HmsSyncError(f"system {system} is not configured in {self._config.file} (configured: {known})")
        with source(self._config) as dsn:
            request = Request(system, record_type, record_id, self._actor)
            result = deliver_now(dsn, kit, request, timeout_seconds=self._timeout_seconds)
        if result.delivered:
            return {"status": "success"}
        return {"status": "failed", "reason": result.reason, "open": result.open}
