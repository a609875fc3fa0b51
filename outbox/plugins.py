"""What other distributions add to ours under an entry point: known by name at once, imported when first asked for.

So a plug-in that is broken troubles only those who name it. One that takes a name which is taken is refused at once,
because nobody could tell which of the two serves.
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

    Raises HmsSyncError where a name is taken twice, and from ``[]`` where a plug-in cannot be loaded.
    """

    def __init__(self, group: str, what: str, kind: type[T], ours: Mapping[str, T]) -> None:
        self._what = what
        self._kind = kind
        self._loaded = dict(ours)
        self._names = list(ours)
        self._points: dict[str, EntryPoint] = {}
        for point in entry_points(group=group):
            self._add(point)

    def __getitem__(self, name: str) -> T:
        if name not in self._loaded:
            self._loaded[name] = self._load(self._points[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def maker(self, name: str) -> str:
        """The distribution that adds ``name`` and its version; nothing where it is ours."""
        return _maker(self._points[name]) if name in self._points else ""

    def _add(self, point: EntryPoint) -> None:
        if point.name in self:
            owner, added = self.maker(point.name) or "hms-sync itself", f"the {self._what} '{point.name}'"
            raise HmsSyncError(f"{_maker(point)} adds {added}, which {owner} has already; uninstall one of them")
        self._points[point.name] = point
        self._names.append(point.name)

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
