"""One protection, taken out: what a mutant is, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Edit:
    """``old`` occurs once in ``file``; ``new`` stands in its place."""

    file: str
    old: str
    new: str

    def occurrences(self, project: Path = PROJECT) -> int:
        return (project / self.file).read_text(encoding="utf-8").count(self.old)

    def apply(self, text: str) -> str:
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """Without the protection ``test`` (a node id) must fail.

    ``also``: where a second line of defence stands behind the first one, it is taken out with it.
    """

    name: str
    protects: str
    file: str
    old: str
    new: str
    test: str
    also: tuple[Edit, ...] = ()

    @property
    def edits(self) -> tuple[Edit, ...]:
        return (Edit(self.file, self.old, self.new), *self.also)

    def changed(self, project: Path = PROJECT) -> dict[str, str]:
        """The files without the protection, by path."""
        texts: dict[str, str] = {}
        for edit in self.edits:
            before = texts.get(edit.file) or (project / edit.file).read_text(encoding="utf-8")
            texts[edit.file] = edit.apply(before)
        return texts
