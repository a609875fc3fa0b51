"""What a database's error means for a delivery: pure tables from the codes of each to outcomes.

A transaction whose COMMIT was never sent is certainly not applied; one whose COMMIT got no clear answer is unknown.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TypeAlias

from outbox.model import ErrorClass, NotApplied, Rejected, Unknown

Failed: TypeAlias = NotApplied | Rejected | Unknown

_RECORD = ("21", "22", "23", "44", "54", "P0")  # the data, a constraint, a limit, a trigger that raises
_CONFIG = ("0A", "28", "3D", "3F", "42")
_CREDENTIALS = ("28", "42501")
_PLATFORM = ("08", "25", "53", "57P", "58")
_UNCLEAR_AT_COMMIT = (*_PLATFORM, "55", "57", "XX")

_SQLITE_RECORD = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG})
_SQLITE_CONFIG = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOTADB,
    }
)
_SQLITE_CERTAIN_AT_COMMIT = _SQLITE_RECORD | {sqlite3.SQLITE_BUSY}

_MYSQL_LOST = frozenset({0, 1927, 2003, 2006, 2013, 2014, 2027, 2055, 4031})
_MYSQL: Mapping[str, tuple[int, ...]] = {
    "22": (1048, 1118, 1153, 1242, 1264, 1265, 1292, 1364, 1365, 1366, 1367, 1406, 1411, 1441, 1525, 1644, 1690, 3140),
    "23": (1062, 1216, 1217, 1451, 1452, 1557, 1761, 3819, 4025),
    "40": (1020, 1213),
    "42": (1046, 1049, 1054, 1064, 1100, 1110, 1136, 1146, 1149, 1356, 1665, 1906, 3105, 3106),
    "42501": (1044, 1045, 1142, 1143, 1227, 1370, 1820),
    "53": (1021, 1030, 1037, 1038, 1040, 1041, 1053, 1114, 1158, 1159, 1160, 1161, 1180, 1203, 1226, 1290, 1792, 1836),
}
_CLASS_OF = {code: state for state, codes in _MYSQL.items() for code in codes}
"""The server's own SQLSTATE says HY000 where it matters, and its driver does not keep it."""


def by_sqlstate(state: str | None, text: str, *, committing: bool) -> Failed:
    """The outcome of a transaction that failed with this SQLSTATE; None: the connection was lost."""
    if state is None:
        return _lost(f"the connection was lost: {text}", committing=committing)
    return _by_class(state, f"{text} ({state})", committing=committing)


def _by_class(state: str, said: str, *, committing: bool) -> Failed:
    if committing and state.startswith(_UNCLEAR_AT_COMMIT):
        return Unknown(ErrorClass.NO_ANSWER, f"the commit failed and may have taken effect: {said}")
    if state.startswith(_RECORD):
        return Rejected(ErrorClass.REFUSED, f"the target does not accept this record: {said}")
    if state.startswith(_CONFIG):
        return _misconfigured(said, credentials=state.startswith(_CREDENTIALS))
    return _given_up(state, said)


def _given_up(state: str, said: str) -> NotApplied:
    """Nobody is to blame for good: it is tried later."""
    if state.startswith(_PLATFORM):
        return NotApplied(ErrorClass.UNAVAILABLE, f"the target cannot write now: {said}", platform=True)
    if state.startswith("40"):
        return NotApplied(ErrorClass.CONFLICT, f"another transaction was in the way: {said}")
    return NotApplied(ErrorClass.SERVER, f"the target gave the transaction up: {said}")


def by_sqlite_code(code: int | None, text: str, *, committing: bool) -> Failed:
    """The outcome of a transaction that failed with this (primary) result code."""
    primary = (code or 0) & 0xFF
    if committing and primary not in _SQLITE_CERTAIN_AT_COMMIT:
        return Unknown(ErrorClass.NO_ANSWER, f"the commit failed and may have taken effect: {text}")
    if primary in _SQLITE_RECORD:
        return Rejected(ErrorClass.REFUSED, f"the target does not accept this record: {text}")
    if primary in _SQLITE_CONFIG:
        return _misconfigured(text, credentials=False)
    if code is None:  # refused by the driver: a value that no column can hold
        return Rejected(ErrorClass.REFUSED, f"the target does not accept this record: {text}")
    return NotApplied(ErrorClass.UNAVAILABLE, f"the target cannot write now: {text}", platform=True)


def by_mysql_code(code: int | None, text: str, *, committing: bool) -> Failed:
    """The outcome of a transaction that failed with this code of MariaDB or MySQL; None: refused by the driver."""
    if code in _MYSQL_LOST:
        return by_sqlstate(None, text, committing=committing)
    if code is None:
        return _by_class("22", text, committing=committing)
    return _by_class(_CLASS_OF.get(code, "55"), f"{text} ({code})", committing=committing)


def _lost(text: str, *, committing: bool) -> Failed:
    if committing:
        return Unknown(ErrorClass.NO_ANSWER, f"{text}; the commit may have taken effect")
    return NotApplied(ErrorClass.NETWORK, text, platform=True)


def _misconfigured(said: str, *, credentials: bool) -> Rejected:
    if credentials:
        reason = f"the target refuses our rights: {said}; check auth, and what the role may do with the table"
        return Rejected(ErrorClass.CREDENTIALS, reason, platform=True)
    reason = f"the target refuses the statement: {said}; check options.table, options.key and the mapping's fields"
    return Rejected(ErrorClass.MISCONFIGURED, reason, platform=True)
