"""From a file to a :class:`Config`, or to all of its mistakes at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import simplejson
from pydantic import ValidationError

import outbox.capture
from cdc.config import checks, definition, document, platforms, secrets
from cdc.config.build import Built, build
from cdc.config.document import Document
from cdc.config.explain import explain
from cdc.config.mistakes import ConfigError, KeyPath, Mistake
from cdc.config.models import CaptureTable, ConnectorConfig, Daemon, Database, SyncConfig, Web
from cdc.config.secrets import Expansion
from connectors.registry import kinds
from connectors.watching import State, state_of
from outbox.model import Json
from transformers import definition_hash

_BY_NAME: Final = ("capture", "connectors", "mappings")


@dataclass(frozen=True, slots=True)
class Config:
    """A config without mistakes. Secrets are ``SecretStr``; nothing here shows one.

    ``secret_files`` are the files that its references name, in the states in which they were read.
    """

    file: Path
    model: SyncConfig = field(repr=False)
    source: Document = field(repr=False)
    mappings: Mapping[str, dict[str, Json]] = field(repr=False)
    warnings: tuple[Mistake, ...] = ()
    hidden: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    """By connector: texts from outside that may be secrets."""
    secret_files: Mapping[Path, State] = field(default_factory=dict, repr=False)

    @property
    def database(self) -> Database:
        return self.model.database

    @property
    def capture(self) -> Mapping[str, CaptureTable]:
        return self.model.capture

    @property
    def connectors(self) -> Mapping[str, ConnectorConfig]:
        return self.model.connectors

    @property
    def daemon(self) -> Daemon:
        return self.model.daemon

    @property
    def web(self) -> Web:
        return self.model.web

    def captures(self) -> list[outbox.capture.CaptureTable]:
        """The capture section as ``outbox.capture.plan`` wants it."""
        return [_wanted(record_type, table) for record_type, table in self.capture.items()]

    def definition(self, connector: str) -> dict[str, Json]:
        """Routes and mappings of one connector as plain JSON, to be stored and compiled by ``cdc.lane.routing``."""
        return definition.connector_definition(self.connectors[connector], self.mappings)

    def mapping_version(self, connector: str) -> str:
        """The name of :meth:`definition`: the same wherever the definition is the same."""
        return definition_hash(self.definition(connector))

    def subject(self, connector: str) -> str:
        """Names what a verdict of the probes is about: kind, address and options, as the file says them.

        References stay unexpanded: no hash of a secret is stored, and a renewed one does not age a verdict. Another
        version of a plug-in is another sender, so a verdict is about one version of it.
        """
        settings = self.connectors[connector]
        options = self.source.at(("connectors", connector, "options")) or {}
        maker = kinds().maker(settings.kind)
        named = [settings.kind, settings.url.rstrip("/"), options, *([maker] if maker else [])]
        text = simplejson.dumps(named, use_decimal=True, sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()[:16]

    def build(self, connector: str) -> Built:
        """The connector ready to deliver. Raises HmsSyncError."""
        return build(connector, self.connectors[connector], self.hidden.get(connector, ()))


def load(path: Path, *, environment: Mapping[str, str] = os.environ) -> Config:
    """The config in ``path``. Raises :class:`ConfigError` with all mistakes."""
    source = document.read(path)
    if not isinstance(source.data, dict):
        raise ConfigError([Mistake(source.file, 0, "", "is not a config (it begins with the line 'version: 1')")])
    return _judged(path, source, environment)


def renewed(config: Config, *, environment: Mapping[str, str] = os.environ) -> Config:
    """``config`` with its secret files as they are now; its other files are not read again. Raises ConfigError."""
    if all(state_of(file) == state for file, state in config.secret_files.items()):
        return config
    return _judged(config.file, config.source, environment, definition.Mappings(dict(config.mappings)))


def _judged(
    path: Path, source: Document, environment: Mapping[str, str], mappings: definition.Mappings | None = None
) -> Config:
    folder = path.resolve().parent
    expansion = secrets.expand(source, environment=environment, folder=folder)
    found = [*expansion.mistakes]
    model = _model(replace(source, data=expansion.data), folder, found)
    if model is None:
        raise ConfigError(_redacted(_without_echoes(found, expansion), expansion.values))
    mappings = mappings or definition.inline_schemas(source, model.mappings, folder)
    subject = checks.Subject(source, model, mappings.complete)
    found += [*mappings.mistakes, *checks.mistakes(subject), *platforms.mistakes(subject)]
    if found:
        raise ConfigError(_redacted(_without_echoes(found, expansion), expansion.values))
    notes = _redacted([*expansion.warnings, *checks.warnings(subject), *platforms.warnings(subject)], expansion.values)
    hidden = {name: frozenset(values) for name, values in expansion.hidden.items()}
    return Config(path, model, source, mappings.complete, tuple(sorted(set(notes))), hidden, expansion.files)


def _model(expanded: Document, folder: Path, found: list[Mistake]) -> SyncConfig | None:
    """The model; with mistakes in it, the model of the entries that have none, so that the checks go on."""
    data = {"database": {}, **expanded.data}
    try:
        return _validate(data, folder)
    except ValidationError as error:
        found += explain(expanded, error, SyncConfig)
        broken = {detail["loc"] for detail in error.errors(include_url=False, include_input=False)}
    try:
        return _validate(_without(data, broken), folder)
    except ValidationError:
        return None


def _wanted(record_type: str, table: CaptureTable) -> outbox.capture.CaptureTable:
    return outbox.capture.CaptureTable(
        record_type=record_type,
        table=table.table,
        key=tuple(table.key) if table.key else None,
        columns=tuple(table.columns) if table.columns else None,
        exclude=tuple(table.exclude) if table.exclude else None,
        where=table.where,
        max_bytes=table.max_bytes,
    )


def _validate(data: Json, folder: Path) -> SyncConfig:
    return SyncConfig.model_validate(data, context={"folder": folder})


def _without(data: Mapping[str, Json], broken: Iterable[KeyPath]) -> dict[str, Json]:
    """``data`` without its broken entries: named ones alone, else the whole section."""
    rest: dict[str, Json] = {"version": 1, **data}
    for section, *entry in broken:
        if section in _BY_NAME and entry and isinstance(rest.get(str(section)), dict):
            rest[str(section)] = {name: value for name, value in rest[str(section)].items() if name != entry[0]}
        else:
            rest.pop(str(section), None)
    return {**rest, "version": 1}


def _without_echoes(found: Iterable[Mistake], expansion: Expansion) -> Iterator[Mistake]:
    """``found`` without what follows from a reference that could not be resolved."""
    unresolved = {mistake.path for mistake in expansion.mistakes}
    return (mistake for mistake in found if mistake in expansion.mistakes or mistake.path not in unresolved)


def _redacted(found: Iterable[Mistake], values: set[str]) -> Iterator[Mistake]:
    """Sentences without anything that came from outside of the file; one or two characters hide nothing."""
    hidden = sorted((value for value in values if len(value) > 2), key=len, reverse=True)
    for mistake in found:
        sentence = mistake.sentence
        for value in hidden:
            sentence = sentence.replace(value, "***")
        yield replace(mistake, sentence=sentence)
