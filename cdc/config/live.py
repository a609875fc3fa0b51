"""What only the database and the platforms can say about a config: ``hms-sync check --live``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from psycopg.errors import UndefinedTable

from cdc.assembly import assemble
from cdc.config.build import Built, options_of
from cdc.config.checks import Subject
from cdc.config.load import Config
from cdc.config.mistakes import KeyPath
from cdc.config.models import CaptureTable
from cdc.config.platforms import row_mistakes
from cdc.receivers.admission import admit
from cdc.receivers.fitting import misfits
from connectors.batch import BatchConnector
from connectors.hiding import hide, printable
from connectors.kind import probe_problem
from connectors.registry import kinds
from connectors.transports import open_transport
from outbox import capture, catalog
from outbox.db import Connection
from outbox.model import HmsSyncError


class Level(StrEnum):
    """How much a finding matters; an error keeps the daemon from doing its work."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``where`` is the place in the config."""

    level: Level
    where: str
    sentence: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.sentence}" + (f" ({self.cure})" if self.cure else "")


def live_check(config: Config, connection: Connection) -> list[Finding]:
    """Everything that can be asked without changing anything. Raises nothing about what it finds."""
    return [*_database(config, connection), *_platforms(config)]


def _database(config: Config, connection: Connection) -> Iterator[Finding]:
    if not catalog.ledger_exists(connection):
        yield _at(config, ("database",), Level.ERROR, "the outbox is not installed here", "hms-sync migrate")
    else:
        for wanted in config.captures():
            yield _capture(config, connection, wanted)
        yield from _verdicts(config, connection)
    yield from _columns(config, connection)


def _verdicts(config: Config, connection: Connection) -> Iterator[Finding]:
    """Connectors that would not be served for want of a verdict."""
    try:
        refused = admit(connection, assemble(config).values()).refused
    except UndefinedTable:
        yield _at(config, ("database",), Level.ERROR, "the outbox is older than this hms-sync", "hms-sync migrate")
    except HmsSyncError:
        return  # told where the platforms are asked
    else:
        for name, refusal in refused.items():
            yield _at(config, ("connectors", name), Level.ERROR, str(refusal))


def _capture(config: Config, connection: Connection, wanted: capture.CaptureTable) -> Finding:
    path = ("capture", wanted.record_type)
    try:
        plan = capture.plan(connection, [wanted])
    except HmsSyncError as error:
        return _at(config, path, Level.ERROR, str(error))
    if plan.is_empty:
        return _at(config, path, Level.OK, f"{wanted.table} is captured")
    return _at(config, path, Level.ERROR, f"{wanted.table} is not captured as configured", "hms-sync capture apply")


def _columns(config: Config, connection: Connection) -> Iterator[Finding]:
    """Mappings and conditions against the columns that the tables have."""
    known = {record_type: _captured(connection, table) for record_type, table in config.capture.items()}
    found = {record_type: columns for record_type, columns in known.items() if columns}
    for mistake in row_mistakes(Subject(config.source, config.model, config.mappings, found)):
        yield Finding(Level.ERROR, f"{mistake.file}:{mistake.line}: {mistake.path}", mistake.sentence)


def _captured(connection: Connection, wanted: CaptureTable) -> list[str]:
    """The columns that a row of the log will have; none where the table is not there."""
    table = catalog.find_table(connection, wanted.table)
    if table is None:
        return []
    return [column.name for column in catalog.columns(connection, table) if column.name not in (wanted.exclude or ())]


def _platforms(config: Config) -> Iterator[Finding]:
    for name, settings in config.connectors.items():
        path = ("connectors", name, "url")
        try:
            built = config.build(name)
            problem = _ask(built)
        except HmsSyncError as error:
            problem = str(error)
        if problem is None:
            yield _at(config, path, Level.OK, f"{settings.kind} platform answers")
        else:
            cure = "check url, auth, tls and allow_addresses of this connector"
            yield _at(config, path, Level.ERROR, problem, cure)
            continue
        for record_type, sentence in misfits(config.build(name), config.definition(name)):
            yield _at(config, ("connectors", name, "routes", record_type, "mapping"), Level.ERROR, sentence)


def _ask(built: Built) -> str | None:
    """What is wrong with the platform, None when it answers as it should; nothing is written there."""
    problem = _problem(built)
    return None if problem is None else hide(printable(problem, 1000), built.channel.secrets)


def _problem(built: Built) -> str | None:
    kind, deadline_seconds = kinds()[built.settings.kind], built.settings.deadline.total_seconds()
    if isinstance(built.connector, BatchConnector):
        return built.connector.open(built.channel, deadline_seconds).problem()
    assert kind.probe is not None  # noqa: S101 - every kind of HTTP has one
    transport = open_transport(built.settings.transport, built.channel, 1)
    try:
        probe = kind.probe(built.settings.url, options_of(kind, built.settings))
        return probe_problem(transport, probe, deadline_seconds)
    finally:
        transport.close()


def _at(config: Config, path: KeyPath, level: Level, sentence: str, cure: str = "") -> Finding:
    place = config.source.mistake(path, sentence)
    return Finding(level, f"{place.file}:{place.line}: {place.path}", sentence, cure)
