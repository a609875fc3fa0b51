"""`verify-receiver`: does a platform keep what its connector promises? Tried by machine, at the platform itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from cdc.cli.ending import Exit
from cdc.cli.options import Actor
from cdc.cli.output import Output
from cdc.cli.session import Session, acting_person, session_of
from outbox import verdicts
from outbox.db import connect
from outbox.selector import Unclear
from outbox.verdicts import server_of

if TYPE_CHECKING:
    from cdc.assembly import Kit
    from cdc.receivers.probing import Order
    from outbox.verdicts import ReceiverVerdict

_RESULTS = {True: "passed", False: "FAILED", None: "does not apply"}


def register(app: typer.Typer) -> None:
    app.command("verify-receiver")(verify_receiver)


def _address(text: str) -> str:
    from cdc.config.units import url

    try:
        return url(text)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' {error}") from error


def verify_receiver(
    context: typer.Context,
    connector: Annotated[str, typer.Argument(metavar="CONNECTOR", help="The connector.")],
    *,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Rounds of each race (default: 200, 5 with --quick).")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only the probes that take seconds.")] = False,
    scratch_url: Annotated[
        str | None,
        typer.Option("--scratch-url", parser=_address, metavar="URL", help="Try it there (default: a place is made)."),
    ] = None,
    actor: Actor = None,
) -> Exit:
    """Try whether the platform keeps what the connector's class promises; the verdict is stored and audited."""
    from cdc.receivers.probing import QUICK_ROUNDS, ROUNDS, Order

    session = session_of(context)
    kit = _kit(session, connector, scratch_url)
    order = Order(rounds=rounds or (QUICK_ROUNDS if quick else ROUNDS), quick=quick, scratch_url=scratch_url)
    person = acting_person(actor)
    with session.source() as dsn:
        with connect(dsn, name="hms-sync cli") as connection:
            verdicts.require_right_to_record(connection)
        verdict = _tried(session.output, kit, order)
        with connect(dsn, name="hms-sync cli") as connection:
            act = verdicts.record(connection, verdict, actor=person)
    session.output.show(_data(verdict, act), lambda: _tell(session.output, verdict, act))
    return Exit.OK if verdict.passed else Exit.FAILED


def _kit(session: Session, connector: str, scratch_url: str | None) -> Kit:
    """The connector as configured. Raises Unclear where there is none, nothing to try, or no way to try it there."""
    from cdc.assembly import assemble
    from cdc.receivers.probing import verifier_of
    from connectors.registry import kinds

    config = session.config()
    kit = assemble(config).get(connector)
    if kit is None:
        raise Unclear(f"{config.file} configures no connector {connector} (it has: {', '.join(config.connectors)})")
    if verifier_of(kit.built) is None:
        why = "no probes are known for this kind" if kit.declared.exact else "that class needs no verdict"
        raise Unclear(f"connector {connector} (kind {kit.built.settings.kind}) promises {kit.declared}: {why}")
    kind = kinds()[kit.built.settings.kind]
    if scratch_url is not None and urlsplit(scratch_url).scheme not in kind.schemes:
        raise Unclear(f"--scratch-url is not {kind.address}")
    return kit


def _tried(output: Output, kit: Kit, order: Order) -> ReceiverVerdict:
    from cdc.receivers.probing import try_receiver

    with output.progress("") as bar:
        return try_receiver(kit, order, lambda name, done, total: bar(done, total, name))


def _data(verdict: ReceiverVerdict, act: int) -> dict[str, Any]:
    return {
        "connector": verdict.connector,
        "passed": verdict.passed,
        "declared": verdict.declared,
        "carries": verdict.carries,
        "server": server_of(verdict.fingerprint),
        "fingerprint": verdict.fingerprint,
        "verdict": verdict.sentence,
        "quick": verdict.quick,
        "rounds": verdict.rounds,
        "scratch_url": verdict.scratch_url,
        "probes": verdict.probes,
        "act_id": act,
    }


def _tell(output: Output, verdict: ReceiverVerdict, act: int) -> None:
    rows = [(one["number"], one["name"], _RESULTS[one["passed"]], one["sentence"]) for one in verdict.probes]
    output.table(("probe", "what", "result", "seen"), rows)
    output.line()
    output.line(f"{verdict.sentence} (act {act}).")
    if verdict.passed and verdict.quick:
        output.line(
            "A quick run only confirms an earlier one: if there was none yet, run all probes (without --quick)."
        )
    if not verdict.passed:
        output.line(
            f"{verdict.connector} starts only when the receiver is mended and verified again, or when the config says "
            f"in accept_unverified why you accept it; then it is served as {verdict.carries}."
        )
