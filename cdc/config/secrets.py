"""References in string values: ``${VAR}``, ``${VAR:-default}``, ``${file:name}``, ``${cred:name}``, ``$$``.

Expanded after parsing, so that a secret with a colon or a line break cannot change the document. The parts of
the file that are stored in the database (capture, mappings, routes, accept_unverified) take none: a stored secret
is a leaked one.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cdc.config.document import Document
from cdc.config.mistakes import KeyPath, Mistake
from connectors.watching import State, state_of
from outbox.model import Json

MAX_SECRET_BYTES: Final = 65_536
MIN_HIDDEN: Final = 8
"""Anything shorter would hide half of every sentence."""
_CONFIDENTIAL: Final = frozenset({"auth", "options", "proxy"})
"""Parts of a connector in which a variable is taken for a secret; elsewhere it is an address or a figure."""
_REFERENCE = re.compile(r"\$\$|\$\{(?:(?P<kind>[a-z]+):(?!-))?(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?\}|\$\{")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


class _Missing(Exception):
    """A reference that cannot be resolved; the text is the sentence, and never holds a secret."""


@dataclass(slots=True)
class Expansion:
    """The document after expansion. ``values`` are what came from outside: never to be shown.

    ``files`` are the secret files that it names, in the states in which they were before they were read.
    """

    data: Json = None
    mistakes: list[Mistake] = field(default_factory=list)
    warnings: list[Mistake] = field(default_factory=list)
    values: set[str] = field(default_factory=set)
    hidden: dict[str, set[str]] = field(default_factory=dict)
    """By connector: those that may be secrets, so that no answer and no log may hold them."""
    files: dict[Path, State] = field(default_factory=dict)


def expand(document: Document, *, environment: Mapping[str, str], folder: Path) -> Expansion:
    """All references of ``document`` resolved; what is missing becomes a mistake at its line."""
    walk = _Walk(document, environment, folder, Expansion())
    walk.result.data = walk.node(document.data, ())
    return walk.result


def stored_in_database(path: KeyPath) -> bool:
    """True for the parts of the config that travel into the outbox."""
    stored = path[:1] == ("connectors",) and path[2:3] in (("routes",), ("accept_unverified",))
    return stored or path[:1] in (("capture",), ("mappings",))


@dataclass(slots=True)
class _Walk:
    document: Document
    environment: Mapping[str, str]
    folder: Path
    result: Expansion

    def node(self, value: Json, path: KeyPath) -> Json:
        if isinstance(value, dict):
            return {key: self.node(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.node(item, (*path, index)) for index, item in enumerate(value)]
        return self._text(value, path) if isinstance(value, str) and "$" in value else value

    def _text(self, value: str, path: KeyPath) -> str:
        if stored_in_database(path):
            self._refuse_stored(value, path)
            return value
        try:
            return _REFERENCE.sub(lambda match: self._resolve(match, path), value)
        except _Missing as error:
            self.result.mistakes.append(self.document.mistake(path, str(error)))
            return value

    def _refuse_stored(self, value: str, path: KeyPath) -> None:
        match = re.search(r"\$\{((file|cred):)?[A-Za-z_][^}]*\}", value)
        if match:
            sentence = f"{match[0]} is not expanded here, because this part is stored in the database"
            self.result.mistakes.append(self.document.mistake(path, f"{sentence} (write the value itself)"))

    def _resolve(self, match: re.Match[str], path: KeyPath) -> str:
        if match[0] == "$$":
            return "$"
        kind, name, default = match["kind"], match["name"], match["default"]
        if name is None:
            raise _Missing("holds a ${ that is not a reference (write ${VAR}, or $$ for a plain dollar)")
        resolve = self._resolvers().get(kind or "")
        if resolve is None:
            raise _Missing(f"${{{kind}:…}} is not known (known: ${{VAR}}, ${{file:name}}, ${{cred:name}})")
        value = resolve(name, default, path)
        self._note(value, path, confidential=bool(kind))
        return value

    def _note(self, value: str, path: KeyPath, *, confidential: bool) -> None:
        """It came from outside; of a connector it may be a secret, which only the channel can keep out of answers."""
        self.result.values.add(value)
        confidential |= not _CONFIDENTIAL.isdisjoint(path[2:3])
        if confidential and path[:1] == ("connectors",) and len(value) >= MIN_HIDDEN:
            self.result.hidden.setdefault(str(path[1]), set()).add(value)

    def _resolvers(self) -> dict[str, Callable[[str, str | None, KeyPath], str]]:
        return {"": self._variable, "file": self._file, "cred": self._credential}

    def _variable(self, name: str, default: str | None, _path: KeyPath) -> str:
        if not _VARIABLE.fullmatch(name):
            raise _Missing(f"'{name[:64]}' is not the name of a variable (letters, digits and _)")
        value = self.environment.get(name) or default
        if value is None:
            state = "is empty" if name in self.environment else "is not set"
            raise _Missing(f"the environment variable {name} {state} (set it, or write ${{{name}:-default}})")
        return value

    def _file(self, name: str, default: str | None, path: KeyPath) -> str:
        return self._read(self._secrets_folder(), name, default, path)

    def _secrets_folder(self) -> Path:
        chosen = self.document.data.get("secrets_dir") if isinstance(self.document.data, dict) else None
        return self.folder / (chosen if isinstance(chosen, str) else "secrets")

    def _credential(self, name: str, default: str | None, path: KeyPath) -> str:
        folder = self.environment.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise _Missing(
                f"${{cred:{name}}} needs CREDENTIALS_DIRECTORY, which is not set "
                "(start with systemd's LoadCredential=, or use ${file:…})"
            )
        return self._read(Path(folder), name, default, path)

    def _read(self, folder: Path, name: str, default: str | None, path: KeyPath) -> str:
        if not _FILE_NAME.fullmatch(name) or len(name) > 255:
            raise _Missing(f"'{name[:64]}' is not a name of a secret (letters, digits, _, -, . and no '..')")
        file = folder / name
        self.result.files.setdefault(file, state_of(file))
        try:
            value = _secret_text(file, folder)
        except OSError as error:
            if default is not None and isinstance(error, FileNotFoundError):
                return default
            raise _Missing(f"the secret file {file} cannot be read: {error.strerror} (create it, mode 0600)") from error
        if file.stat().st_mode & stat.S_IROTH:
            sentence = f"the secret file {file} is readable by everybody (chmod 600 {file})"
            self.result.warnings.append(self.document.mistake(path, sentence))
        return value


def _secret_text(file: Path, folder: Path) -> str:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise _Missing(f"the secret file {file} leads out of its folder (put the file itself there)")
    if not file.is_file():
        raise FileNotFoundError(2, "No such file") if not file.exists() else IsADirectoryError(21, "Not a file")
    with file.open("rb") as stream:
        content = stream.read(MAX_SECRET_BYTES + 1)
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _Missing(f"the secret file {file} is not UTF-8 text (store it as text)") from error
    if not text or len(content) > MAX_SECRET_BYTES or "\0" in text:
        raise _Missing(f"the secret file {file} is empty, binary or too large (store one secret as text)")
    return text
