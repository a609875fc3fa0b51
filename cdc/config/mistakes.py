"""What is wrong with a config, told so that a person can mend it: file, line, path, one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TypeAlias

from outbox.model import HmsSyncError

KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake (or warning); ``line`` is 0 where the file as a whole is meant."""

    file: str
    line: int
    path: str
    sentence: str

    def __post_init__(self) -> None:
        for name in ("path", "sentence"):  # they may quote the file: one line, and nothing a terminal would obey
            object.__setattr__(self, name, _one_line(getattr(self, name)))

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.sentence}" if self.path else f"{place}: {self.sentence}"

    def as_json(self) -> dict[str, str | int]:
        return asdict(self)


class ConfigError(HmsSyncError):
    """The config is not usable; ``mistakes`` holds all that were found, in the order of the file."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__("\n".join(map(str, self.mistakes)))

    def as_json(self) -> list[dict[str, str | int]]:
        return [mistake.as_json() for mistake in self.mistakes]


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def path_text(path: KeyPath) -> str:
    """``("a", "b", 0)`` as ``a.b[0]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The cure for a word that is not known: the nearest one, or all of them."""
    choices = sorted(known)
    near = get_close_matches(word, choices, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known here: {', '.join(choices)}" if choices else "none is defined"
