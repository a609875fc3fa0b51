"""The ``sql`` kind as the registry knows it."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from connectors.couriers import AnyConnector
from connectors.kind import ConnectorKind
from connectors.probing.model import Verifier
from connectors.sql.connector import SqlConnector
from connectors.sql.options import SqlOptions
from connectors.sql.probes import SqlVerifier


def _build(_name: str, url: str, options: BaseModel) -> AnyConnector:
    return SqlConnector(url, cast("SqlOptions", options))


def _verifier(name: str, url: str, options: BaseModel, scratch_url: str | None) -> Verifier:
    return SqlVerifier(name, scratch_url or url, cast("SqlOptions", options))


KIND = ConnectorKind(
    "sql",
    SqlOptions,
    _build,
    verifier=_verifier,
    schemes=("postgresql", "mariadb", "mysql", "sqlite"),
    address=(
        "a URL of a database (write postgresql://host:5432/database, mariadb://host:3306/database or "
        "sqlite:////folder/file.db)"
    ),
)
