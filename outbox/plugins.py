"""Ours, and what other distributions add to them under an entry point: known by name at once, imported when asked for.

So a plug-in that is broken troubles only those who name it, and nobody loads the libraries of what he does not use. One
that takes a name which is taken is refused at once, because nobody could tell which of the two serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

from outbox.model import HmsSyncError


class Named(Protocol):
    """What can be added: it says its own name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Plugins(Mapping[str, T]):
    """Ours and theirs by name. ``group`` is the entry point, ``what`` a word for a person, ``kind`` their class.
    ``ours`` says where each of ours is: ``module:NAME``.

    Raises HmsSyncError where a name is taken twice, and from ``[]`` where a plug-in cannot be loaded.
    """

    def __init__(self, group: str, what: str, kind: type[T], ours: Mapping[str, str]) -> None:
        self._what = what
        self._kind = kind
        self._loaded: dict[str, T] = {}
        self._ours = frozenset(ours)
        self._points = {name: EntryPoint(name, place, group) for name, place in ours.items()}
        for point in entry_points(group=group):
            self._add(point)

    def __getitem__(self, name: str) -> T:
        if name not in self._loaded:
            self._loaded[name] = self._load(self._points[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._points

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)

    def maker(self, name: str) -> str:
        """The distribution that adds ``name`` and its version; nothing where it is ours."""
        return "" if name in self._ours or name not in self else _maker(self._points[name])

    def _add(self, point: EntryPoint) -> None:
        if point.name in self:
            owner, added = self.maker(point.name) or "hms-sync itself", f"the {self._what} '{point.name}'"
            raise HmsSyncError(f"{_maker(point)} adds {added}, which {owner} has already; uninstall one of them")
        self._points[point.name] = point

    def _load(self, point: EntryPoint) -> T:
        try:
            found = point.load()
        except Exception as error:
            raise self._broken(point, f"{type(error).__name__}: {error}") from error
        if not isinstance(found, self._kind) or found.name != point.name:
            raise self._broken(point, f"{point.value} is no {self._kind.__name__} of that name")
        return found

    def _broken(self, point: EntryPoint, reason: str) -> HmsSyncError:
        who = f"the {self._what} '{point.name}' of {_maker(point)}"
        return HmsSyncError(f"{who} cannot be loaded: {reason}; mend or upgrade that package")


def _maker(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
