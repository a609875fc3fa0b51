"""One protection, taken out: what a mutant is, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` occurs once in ``file``; with ``new`` in its place ``test`` (a node id) must fail."""

    name: str
    protects: str
    file: str
    old: str
    new: str
    test: str

    def occurrences(self, project: Path = PROJECT) -> int:
        return self._text(project).count(self.old)

    def changed(self, project: Path = PROJECT) -> str:
        """The file without the protection."""
        return self._text(project).replace(self.old, self.new)

    def _text(self, project: Path) -> str:
        return (project / self.file).read_text(encoding="utf-8")
