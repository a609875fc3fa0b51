"""What the contract has to know about a platform: how to reach it, and how somebody else sees what it holds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from ipaddress import ip_network
from uuid import uuid4

from connectors.channel import Channel
from connectors.kind import ConnectorKind
from outbox.model import Json, Message

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class Platform(ABC):
    """A real server of the kind under test. ``text`` is whatever part of a record the server gives back as it was.

    What the platform cannot be asked is declared in words, and the report says so.
    """

    kind: ConnectorKind
    url: str
    options: Mapping[str, Json] = {}
    channel = Channel(allow_addresses=LOOPBACK)
    scratch_url: str | None = None
    """Where the probes of the class may write; None: they make a place of their own."""
    nowhere: str | None = None
    """A URL at which the platform has no place for records; None: no URL of it names one that is not there."""
    alone: str | None = None
    """Why nobody else can change or remove what the platform holds, where that is so; then neither ``remove`` nor
    ``edit`` is needed."""
    fresh_headers: frozenset[str] = frozenset()
    """Headers, in lower case, that are made anew at each sending, such as a signature with its moment."""
    long_text = "x" * 100_000
    """A text as long as the platform takes."""

    @property
    def keeping(self) -> Mapping[str, Json] | None:
        """The options with which an edit of somebody else is kept; None where the kind always overwrites it."""
        return {**self.options, "conflict": "theirs"} if "conflict" in self.kind.options.model_fields else None

    @abstractmethod
    def upsert(self, key: str, text: str) -> Message:
        """What a mapping would make of the record ``key`` that says ``text``."""

    @abstractmethod
    def delete(self, key: str) -> Message:
        """What a mapping would make of the removal of the record."""

    @abstractmethod
    def read(self, key: str) -> str | None:
        """What the platform holds now, asked without the connector; None where it has no such record."""

    def remove(self, key: str) -> None:
        """Somebody else removes the record."""
        raise NotImplementedError("define it, or say in `alone` why nobody else can remove a record")

    def edit(self, key: str, text: str) -> None:
        """Somebody else changes what the record says."""
        raise NotImplementedError("define it, or say in `alone` why nobody else can change a record")

    def effects(self, key: str) -> int | None:
        """How often the platform acted for the record; None where it does not tell."""
        return None

    def new_key(self) -> str:
        """The key of a record that nobody has seen yet."""
        return uuid4().hex
