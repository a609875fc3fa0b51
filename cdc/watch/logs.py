"""Logs: one JSON line per event on stderr, or a readable line where a person watches.

Callers write ``log.info("lane taken", extra=fields(connector=name))``. Whatever the text came from, it
cannot break the line, colour a terminal or fill the disk: control characters are escaped, lengths bounded.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import simplejson

from outbox.model import HmsSyncError

MAX_LENGTH = 512
_MAX_FRAMES = 12
_LEVELS = ("debug", "info", "warning", "error")
_ROOMS = ("cdc", "connectors", "hms_sync", "migrations", "outbox", "transformers")
_SECRET = re.compile(r"authorization|cookie|credential|dsn|passw|secret|token", re.IGNORECASE)


def fields(**values: Any) -> dict[str, Any]:
    """The ``extra`` of a log call: what the event is about, by name."""
    return {"fields": values}


def setup(level: str = "info", *, json: bool, stream: TextIO | None = None) -> None:
    """Send all logs to ``stream`` (stderr). Libraries speak from WARNING on; a second call replaces the first."""
    if level.lower() not in _LEVELS:
        raise HmsSyncError(f"log level {level!r} is not known: choose one of {', '.join(_LEVELS)}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if json else Readable())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)  # noqa: FBT003
    for room in _ROOMS:
        logging.getLogger(room).setLevel(level.upper())


def plain(value: Any) -> str:
    """``value`` as text of at most 512 characters without control characters or text-direction tricks."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > MAX_LENGTH:
        text = text[: MAX_LENGTH - 1] + "…"
    if text.isprintable():
        return text
    escaped = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return escaped if len(escaped) <= MAX_LENGTH else escaped[: MAX_LENGTH - 1] + "…"


class JsonLines(logging.Formatter):
    """``{"time": …, "level": …, "logger": …, "event": …, <fields>}``, one line each."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        return simplejson.dumps(
            {**_content(record), **line, "event": _event(record)}, ensure_ascii=False, ignore_nan=True
        )


class Readable(logging.Formatter):
    """``2026-11-23 05:44:00 INFO  lane taken  connector=x lane=0``."""

    def format(self, record: logging.LogRecord) -> str:
        details = " ".join(f"{name}={value}" for name, value in _content(record).items())
        return f"{_time(record)[:19].replace('T', ' ')} {record.levelname:<7} {_event(record)}  {details}".rstrip()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(record: logging.LogRecord) -> str:
    try:
        return plain(record.getMessage())
    except (TypeError, ValueError):  # arguments that do not fit the text must not cost the line
        return plain(record.msg)


def _content(record: logging.LogRecord) -> dict[str, Any]:
    given: Mapping[str, Any] = getattr(record, "fields", {})
    content = {plain(name): _value(name, value) for name, value in given.items()}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        content["error"] = plain(f"{type(error).__name__}: {error}")
        frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
        content["trace"] = [plain(f"{frame.filename}:{frame.lineno} {frame.name}") for frame in frames]
    return content


def _value(name: str, value: Any) -> Any:
    if _SECRET.search(name):
        return "***"
    if value is None or isinstance(value, bool | int | float):
        return value
    return plain(value)
