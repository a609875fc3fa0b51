"""What only the rooms below can judge: kinds and their options, guarantees, mappings and conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from pydantic import ValidationError

from cdc.config.build import build_connector, options_of
from cdc.config.checks import Subject, secrets_in_the_file
from cdc.config.explain import explain
from cdc.config.mistakes import KeyPath, Mistake, did_you_mean, path_text
from cdc.config.models import ConnectorConfig
from connectors.kind import ConnectorKind
from connectors.registry import kinds
from outbox.model import HmsSyncError, Json
from transformers import MappingError, compile_condition, compile_mapping


def mistakes(subject: Subject) -> Iterator[Mistake]:
    """Everything that connectors and transformers refuse."""
    for path, name, connector in subject.connectors():
        yield from _kind(subject, path, name, connector)
    yield from row_mistakes(subject)


def warnings(subject: Subject) -> Iterator[Mistake]:
    """What the options of a kind allow and probably do not mean; of connectors without mistakes."""
    for path, _name, connector in subject.connectors():
        yield from secrets_in_the_file(subject, options_of(kinds()[connector.kind], connector), (*path, "options"))


def row_mistakes(subject: Subject) -> Iterator[Mistake]:
    """Conditions and mappings that cannot be compiled, or that read a column which is not captured."""
    for path, _name, connector in subject.connectors():
        yield from _conditions(subject, path, connector)
    yield from _mappings(subject)


def _kind(subject: Subject, path: KeyPath, name: str, connector: ConnectorConfig) -> Iterator[Mistake]:
    try:
        kind = kinds().get(connector.kind)
    except HmsSyncError as error:
        yield subject.document.mistake((*path, "kind"), str(error))
        return
    if kind is None:
        sentence = f"there is no kind '{connector.kind}' ({did_you_mean(connector.kind, kinds())})"
        yield subject.document.mistake((*path, "kind"), sentence)
        return
    if urlsplit(connector.url).scheme not in kind.schemes:
        yield subject.document.mistake((*path, "url"), f"is not {kind.address}")
        return
    if not kind.speaks_http:
        yield from _http_only(subject, path, connector, kind)
    try:
        options_of(kind, connector)
    except ValidationError as error:
        yield from explain(subject.document, error, kind.options, (*path, "options"))
        return
    yield from _guarantee(subject, path, name, connector)
    if not kind.takes_files:
        yield from _files(subject, path, connector)


def _http_only(subject: Subject, path: KeyPath, connector: ConnectorConfig, kind: ConnectorKind) -> Iterator[Mistake]:
    if connector.auth is not None and not kind.takes_credentials:
        yield subject.document.mistake((*path, "auth"), f"kind {connector.kind} takes no credentials (remove it)")
    elif connector.auth is not None and connector.auth.basic is None:
        yield subject.document.mistake(
            (*path, "auth"), f"kind {connector.kind} takes a user and a password (write basic)"
        )
    for key in ("proxy", "bind", "allow_hosts"):
        if getattr(connector, key):
            yield subject.document.mistake((*path, key), f"kind {connector.kind} speaks no HTTP (remove {key})")
    if connector.tls.extra_ca is not None:
        cure = "write ca, with all that it shall trust"
        yield subject.document.mistake((*path, "tls", "extra_ca"), f"kind {connector.kind} takes no extra_ca ({cure})")
    if connector.tls.pin:
        yield subject.document.mistake((*path, "tls", "pin"), f"kind {connector.kind} cannot pin a key (remove it)")


def _guarantee(subject: Subject, path: KeyPath, name: str, connector: ConnectorConfig) -> Iterator[Mistake]:
    try:
        carried = build_connector(name, connector).guarantee
    except HmsSyncError as error:
        yield subject.document.mistake(path, str(error))
        return
    if connector.require is not None and not carried.at_least(connector.require):
        yield subject.document.mistake(
            (*path, "require"),
            f"connector {name} carries {carried}, weaker than the required {connector.require} "
            "(lower require, or choose options that carry more)",
        )


def _files(subject: Subject, path: KeyPath, connector: ConnectorConfig) -> Iterator[Mistake]:
    """Mappings that leave the content in a file, on their way to a kind that takes none."""
    for record_type, route in connector.routes.items():
        if _leaves_files(route.mapping, subject.mappings.get(route.mapping)):
            yield subject.document.mistake(
                (*path, "routes", record_type, "mapping"),
                f"mapping '{route.mapping}' leaves the content in a file, and kind {connector.kind} takes contents of "
                "columns only (write kind webdav or s3, or content: bytes in the mapping)",
            )


def _leaves_files(name: str, mapping: dict[str, Json] | None) -> bool:
    try:
        return mapping is not None and compile_mapping(name, mapping).leaves_files
    except MappingError:
        return False  # told by its own check


def _conditions(subject: Subject, path: KeyPath, connector: ConnectorConfig) -> Iterator[Mistake]:
    for record_type, route in connector.routes.items():
        at = (*path, "routes", record_type, "where")
        try:
            if route.where is not None:
                compile_condition(route.where, path=path_text(at), columns=subject.columns(record_type))
        except MappingError as error:
            yield subject.document.mistake(at, error.sentence)


def _mappings(subject: Subject) -> Iterator[Mistake]:
    for name, mapping in subject.mappings.items():
        for columns in _columns_of(subject, name):
            try:
                compile_mapping(name, mapping, columns=columns)
            except MappingError as error:
                yield subject.document.mistake(_key_path(subject.document.data, error.path), error.sentence)


def _columns_of(subject: Subject, mapping: str) -> list[Sequence[str] | None]:
    """The columns that the mapping will see, once per record type; None where nobody knows them."""
    types = {
        record_type
        for _path, _name, connector in subject.connectors()
        for record_type, route in connector.routes.items()
        if route.mapping == mapping
    }
    return [subject.columns(record_type) for record_type in sorted(types)] or [None]


def _key_path(node: Json, text: str) -> KeyPath:
    """The path that a mapping's error names; keys may hold dots, so the document says where they end."""
    if not text:
        return ()
    for key, value in _entries(node):
        word = str(key)
        if text == word or text.startswith(f"{word}."):
            return (key, *_key_path(value, text[len(word) + 1 :]))
    return tuple(text.split("."))


def _entries(node: Json) -> list[tuple[str | int, Json]]:
    """Keys and values of a mapping or list, the longest keys first."""
    if isinstance(node, dict):
        return sorted(node.items(), key=lambda entry: -len(entry[0]))
    return list(enumerate(node)) if isinstance(node, list) else []
