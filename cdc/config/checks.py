"""What no single section can know: names that refer to each other, times that must fit, options of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from cdc.config.document import Document
from cdc.config.mistakes import KeyPath, Mistake, did_you_mean
from cdc.config.models import ConnectorConfig, SyncConfig, Tls
from cdc.config.units import duration_text
from cdc.lane.policy import SEND_MARGIN_SECONDS
from outbox.catalog import split_name
from outbox.db import DatabaseUnavailable, parameters
from outbox.model import Json

_MARGIN: Final = timedelta(seconds=SEND_MARGIN_SECONDS)


@dataclass(frozen=True, slots=True)
class Subject:
    """A config under examination: the model (perhaps without its broken entries) and all of the document."""

    document: Document
    model: SyncConfig
    mappings: Mapping[str, dict[str, Json]]
    known_columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By record type, from the database where it was asked."""

    def names(self, section: str) -> list[str]:
        """The names that a section defines, the broken ones too, so that one mistake is told once."""
        node = self.document.at((section,))
        return list(node) if isinstance(node, dict) else []

    def columns(self, record_type: str) -> Sequence[str] | None:
        """The captured columns of a record type, None where only the database knows them."""
        capture = self.model.capture.get(record_type)
        if capture is not None and capture.columns is not None:
            return capture.columns
        return self.known_columns.get(record_type)

    def connectors(self) -> Iterator[tuple[KeyPath, str, ConnectorConfig]]:
        for name, connector in self.model.connectors.items():
            yield ("connectors", name), name, connector


def mistakes(subject: Subject) -> Iterator[Mistake]:
    """Everything that keeps this config from being used."""
    for check in _CHECKS:
        yield from check(subject)


def warnings(subject: Subject) -> Iterator[Mistake]:
    """Everything that is allowed and probably not meant."""
    for check in _WARNINGS:
        yield from check(subject)


def _routes_refer_to_something(subject: Subject) -> Iterator[Mistake]:
    for path, _name, connector in subject.connectors():
        for record_type, route in connector.routes.items():
            at = (*path, "routes", record_type)
            if record_type not in subject.names("capture"):
                cure = did_you_mean(record_type, subject.names("capture"))
                yield subject.document.mistake(at, f"no table is captured as '{record_type}' ({cure})")
            if route.mapping not in subject.names("mappings"):
                cure = did_you_mean(route.mapping, subject.names("mappings"))
                yield subject.document.mistake((*at, "mapping"), f"there is no mapping '{route.mapping}' ({cure})")


def _deadlines_fit_into_the_lease(subject: Subject) -> Iterator[Mistake]:
    lease = subject.model.daemon.lease
    for path, _name, connector in subject.connectors():
        needed = _lease_for(connector.deadline)
        if lease < needed:
            yield subject.document.mistake(
                (*path, "deadline"),
                f"a deadline of {duration_text(connector.deadline)} needs a lease of {duration_text(needed)}, and "
                f"daemon.lease is {duration_text(lease)} (lower the deadline to {duration_text(_deadline_for(lease))}, "
                "or raise daemon.lease)",
            )


def _lease_for(deadline: timedelta) -> timedelta:
    """Room for three deadlines; and a send must still be allowed when a third of the lease is gone."""
    return max(3 * deadline, (deadline + _MARGIN) * 3 / 2)


def _deadline_for(lease: timedelta) -> timedelta:
    longest = min(lease / 3, lease * 2 / 3 - _MARGIN)
    return longest - longest % timedelta(seconds=1) if longest >= timedelta(seconds=1) else longest


def _limits_fit(subject: Subject) -> Iterator[Mistake]:
    for path, _name, connector in subject.connectors():
        if connector.burst is not None and connector.rate is None:
            yield subject.document.mistake((*path, "burst"), "is the reserve of a rate that is not there (add rate)")
        if connector.max_in_flight is not None and connector.max_in_flight < connector.lanes:
            yield subject.document.mistake(
                (*path, "max_in_flight"),
                f"leaves some of the {connector.lanes} lanes nothing to send (raise it to {connector.lanes}, or "
                "start the connector under a new name with fewer lanes)",
            )


def _one_record_type_per_table(subject: Subject) -> Iterator[Mistake]:
    seen: dict[tuple[str, str], str] = {}
    for record_type, capture in subject.model.capture.items():
        first = seen.setdefault(split_name(capture.table), record_type)
        if first != record_type:
            yield subject.document.mistake(
                ("capture", record_type, "table"),
                f"this table is captured already as '{first}' (one record type per table; use routes for the rest)",
            )


def _dsn_is_one(subject: Subject) -> Iterator[Mistake]:
    dsn = subject.model.database.dsn
    if dsn is None:
        return
    try:
        parameters(dsn.get_secret_value())
    except DatabaseUnavailable:
        sentence = "is not a connection string (write postgresql://user@host:5432/database)"
        yield subject.document.mistake(("database", "dsn"), sentence)


def _files_are_readable(subject: Subject) -> Iterator[Mistake]:
    for path, _name, connector in subject.connectors():
        yield from _tls_files(subject, (*path, "tls"), connector.tls)
        if connector.auth is not None and connector.auth.oauth2 is not None:
            yield from _tls_files(subject, (*path, "auth", "oauth2", "tls"), connector.auth.oauth2.tls)


def _tls_files(subject: Subject, path: KeyPath, tls: Tls) -> Iterator[Mistake]:
    for role in ("ca", "extra_ca", "cert", "key"):
        file = getattr(tls, role)
        try:
            if file is not None:
                file.open("rb").close()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a path"
            sentence = f"{file} cannot be read: {reason} (check the path and its permissions)"
            yield subject.document.mistake((*path, role), sentence)


def _mappings_are_used(subject: Subject) -> Iterator[Mistake]:
    connectors = subject.document.at(("connectors",))
    used = set(_mentioned(connectors))
    for name in subject.names("mappings"):
        if name not in used:
            yield subject.document.mistake(("mappings", name), "no route uses this mapping (use or remove it)")


def _captures_are_routed(subject: Subject) -> Iterator[Mistake]:
    routed = {record_type for connector in subject.model.connectors.values() for record_type in connector.routes}
    if len(subject.model.connectors) != len(subject.names("connectors")):
        return
    for record_type in subject.model.capture:
        if record_type not in routed:
            yield subject.document.mistake(
                ("capture", record_type), "is captured, but no connector has a route for it (add a route or remove it)"
            )


def _mentioned(node: Json) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "mapping" and isinstance(value, str):
                yield value
            yield from _mentioned(value)


def _credentials_travel_encrypted(subject: Subject) -> Iterator[Mistake]:
    for path, _name, connector in subject.connectors():
        if connector.auth is None:
            continue
        urls = [((*path, "url"), connector.url)]
        if connector.auth.oauth2 is not None:
            urls.append(((*path, "auth", "oauth2", "token_url"), connector.auth.oauth2.token_url))
        for at, url in urls:
            if urlsplit(url).scheme == "http" and not _stays_here(url):
                yield subject.document.mistake(at, "sends credentials unencrypted (use https)")
        if connector.options.get("unencrypted") is True and not _stays_here(connector.url):
            at = (*path, "options", "unencrypted")
            yield subject.document.mistake(at, "sends credentials unencrypted (remove it)")


def _stays_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _secrets_are_references(subject: Subject) -> Iterator[Mistake]:
    for path, _name, connector in subject.connectors():
        yield from secrets_in_the_file(subject, connector.auth, (*path, "auth"))


def secrets_in_the_file(subject: Subject, model: object, path: KeyPath) -> Iterator[Mistake]:
    """The secrets of a model whose data stands at ``path`` that are written out instead of referred to."""
    for secret in _secret_paths(model, path):
        text = subject.document.at(secret)
        if isinstance(text, str) and "${" not in text:
            yield subject.document.mistake(secret, "a secret stands in this file (write ${file:name} or ${VAR})")


def _secret_paths(node: object, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(node, SecretStr):
        yield path
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _secret_paths(value, (*path, index))
    else:
        for name in set(getattr(type(node), "model_fields", ())) - {"username", "client_id"}:
            yield from _secret_paths(getattr(node, name), (*path, name))


_Check = Callable[[Subject], Iterator[Mistake]]
_CHECKS: Final[tuple[_Check, ...]] = (
    _routes_refer_to_something,
    _deadlines_fit_into_the_lease,
    _limits_fit,
    _one_record_type_per_table,
    _dsn_is_one,
    _files_are_readable,
)
_WARNINGS: Final[tuple[_Check, ...]] = (
    _mappings_are_used,
    _captures_are_routed,
    _credentials_travel_encrypted,
    _secrets_are_references,
)
