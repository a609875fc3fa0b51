"""The root of the command line: global options, all commands, and `main`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from cdc.cli import acts, audit, backfill, capture, failures, mapping, rebase, replay, run, setup, status, verify
from cdc.cli.ending import ended
from cdc.cli.output import Output
from cdc.cli.session import Session

_FLAGS = ("--json",)
_VALUED = ("--config", "-c", "--dsn")

app = typer.Typer(
    name="hms-sync",
    help="Brings the changes of one PostgreSQL application to other platforms: in order, once, and audited.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="The options above may also stand after the command. Exit codes: 0 ok, 1 failed, 2 usage or config, "
    "3 not fully done. Reference: docs/cli.md",
)


def _tell(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hms-sync {version('hms-sync')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[Path, typer.Option("--config", "-c", envvar="HMS_SYNC_CONFIG", help="The config file.")] = Path(
        "sync-config.yml"
    ),
    dsn: Annotated[
        str | None,
        typer.Option(
            "--dsn", envvar="HMS_SYNC_DSN", help="The database, for those who have no config with its secrets."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_tell)
    ] = False,
) -> None:
    context.obj = Session(config, dsn, Output(as_json=as_json))


for room in (status, failures, audit, acts, replay, backfill, rebase, capture, setup, verify, run, mapping):
    room.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = hoisted(sys.argv[1:] if arguments is None else arguments)
    output = Output(as_json="--json" in words[: _front(words)])
    command = typer.main.get_command(app)
    return int(ended(lambda: command.main(args=words, prog_name="hms-sync", standalone_mode=False), output))


def hoisted(arguments: Sequence[str]) -> list[str]:
    """The global options first, wherever they were written; what follows ``--`` is left alone."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in _VALUED:
            front += [word, *islice(words, 1)]
        elif word in _FLAGS or word.startswith(("--config=", "--dsn=")):
            front.append(word)
        else:
            rest.append(word)
    return [*front, *rest]


def _front(words: Sequence[str]) -> int:
    """How many of the hoisted words are global options."""
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        at += 2 if words[at] in _VALUED else 1
    return at
