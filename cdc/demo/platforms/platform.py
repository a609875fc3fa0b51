"""What the demo knows of a platform, and what it asks of one; no request here goes through the daemon's connectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeAlias, TypeVar

from psycopg.rows import DictRow

from cdc.demo.expected import Objects
from cdc.demo.findings import Finding
from cdc.demo.servers import ServerProcess
from outbox.model import Json

Expectation: TypeAlias = tuple[str, Callable[[DictRow], tuple[str, dict[str, Json]]]]
"""A statement of ``verify.sql``, and the object with its id that each of its rows makes."""


class Platform(Protocol):
    """One platform as any client of it sees it."""

    title: ClassVar[str]
    about: ClassVar[str]
    """Which server it is, and what it speaks."""
    connectors: ClassVar[frozenset[str]]
    """The connectors of ``sync-config.yml`` that deliver to it."""
    should: ClassVar[Mapping[str, Expectation]]
    """What each of its collections must hold, by place."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What stands in ``sync-config.yml`` in the place of its marks."""

    @property
    def secrets(self) -> Mapping[str, str]:
        """Its secrets, by name of the file that the config reads them from."""

    @property
    def home(self) -> str:
        """The address of its own pages for people."""

    @property
    def login(self) -> str:
        """What these pages ask a person for; empty where nothing."""

    def is_up(self) -> bool:
        """True when it answers to us."""

    def held(self) -> dict[str, Objects]:
        """What it holds, by place."""

    def effects(self, applied: Sequence[DictRow], log: Path) -> Iterator[Finding]:
        """Effects too many or too few, counted here; ``applied`` is what the ledger says, ``log`` the server's own."""

    def card(self) -> str:
        """What the demo's page shows of it, as HTML."""


P_co = TypeVar("P_co", bound=Platform, covariant=True)


@dataclass(frozen=True, slots=True)
class Started(Generic[P_co]):
    """A platform that runs, and a client for it."""

    server: ServerProcess
    client: P_co
