"""What the contract has to know about a platform: how to reach it, and how somebody else sees what it holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from ipaddress import ip_network
from uuid import uuid4

import pytest

from connectors.channel import Channel
from connectors.kind import ConnectorKind
from outbox.model import Json, Message

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class Platform(ABC):
    """A real server of the kind under test. ``text`` is whatever part of a record the server gives back as it was."""

    kind: ConnectorKind
    url: str
    options: Mapping[str, Json] = {}
    channel = Channel(allow_addresses=LOOPBACK)
    scratch_url: str | None = None
    """Where the probes of the class may write; None: they make a place of their own."""
    long_text = "x" * 100_000
    """A text as long as the platform takes."""

    @abstractmethod
    def upsert(self, key: str, text: str) -> Message:
        """What a mapping would make of the record ``key`` that says ``text``."""

    @abstractmethod
    def delete(self, key: str) -> Message:
        """What a mapping would make of the removal of the record."""

    @abstractmethod
    def read(self, key: str) -> str | None:
        """What the platform holds now, asked without the connector; None where it has no such record."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Somebody else removes the record."""

    def edit(self, key: str, text: str) -> None:
        """Somebody else changes what the record says."""
        pytest.skip("nobody else can edit at this platform: WHAT THEN HAPPENS WAS NOT TESTED")

    def effects(self, key: str) -> int | None:
        """How often the platform acted for the record; None where it does not tell."""
        return None

    def new_key(self) -> str:
        """The key of a record that nobody has seen yet."""
        return uuid4().hex
