"""How a command ends: the fixed exit codes, and the one place where an error becomes one sentence."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum

import psycopg
import typer
from typer.exceptions import TyperException

from cdc.cli.output import Output
from outbox.db import explained
from outbox.model import HmsSyncError, Json
from outbox.selector import Unclear

DEBUG = "HMS_SYNC_DEBUG"


class Exit(IntEnum):
    """The exit codes; they never change their meaning."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_DONE = 3


def ended(command: Callable[[], object], output: Output) -> Exit:
    """Run ``command`` and say how it ended; no exception leaves from here."""
    try:
        result = command()
        sys.stdout.flush()
        return _code(result, output)
    except (BrokenPipeError, SystemExit):  # the command parser exits when the reader has seen enough
        _silence()
        return Exit.OK
    except BaseException as error:  # noqa: BLE001  the last line of defence: a person gets a sentence, never a traceback
        if os.environ.get(DEBUG) == "1":
            traceback.print_exc()
        code, sentence = verdict(error)
        output.error(sentence, int(code), _mistakes(error))
        return code


def _code(result: object, output: Output) -> Exit:
    if result == 130:  # what the command parser makes of Ctrl-C
        output.error("interrupted", int(Exit.NOT_DONE), None)
        return Exit.NOT_DONE
    return Exit(result) if isinstance(result, int) else Exit.OK


def verdict(error: BaseException) -> tuple[Exit, str]:
    """The exit code and the sentence for an error."""
    match error:
        case KeyboardInterrupt() | typer.Abort():
            return Exit.NOT_DONE, "interrupted"
        case TyperException():
            return Exit.USAGE, f"{error.format_message()} (see --help)" if error.format_message() else ""
        case Unclear():
            return Exit.USAGE, str(error)
        case HmsSyncError():
            return (Exit.USAGE if _mistakes(error) else Exit.FAILED), str(error)
        case _:
            return Exit.FAILED, _failure_sentence(error)


def _failure_sentence(error: BaseException) -> str:
    match error:
        case psycopg.Error():
            return explained(error)
        case OSError():
            return f"{error.filename or 'the system'}: {error.strerror or error}"
    return f"a defect in hms-sync: {type(error).__name__}: {error}; run again with {DEBUG}=1 and report what it prints"


def _mistakes(error: BaseException) -> Json:
    """The mistakes of a config, one by one; None for any other error."""
    return error.as_json() if hasattr(error, "as_json") else None


def _silence() -> None:
    """The reader of our output has seen enough; the interpreter must not complain at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
