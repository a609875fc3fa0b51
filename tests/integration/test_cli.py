"""The command line: exit codes that never change their meaning, sentences and no tracebacks, JSON with stable keys."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import simplejson
from psycopg.conninfo import make_conninfo

from cdc.cli import main
from cdc.cli.app import hoisted
from outbox import flow
from outbox.db import Connection
from outbox.flow import Flow, Limits
from tests.factories import Seed
from tests.fixtures.command_line import Hms
from tests.fixtures.postgres import MakeDb


@pytest.fixture
def seed(db: Connection) -> Seed:
    seed = Seed(db)
    seed.connector()
    return seed


# ---------------------------------------------------------------- ends


def test_a_wrong_word_is_a_usage_error_in_one_sentence(hms: Hms) -> None:
    for words in (("nonsense",), ("status", "--nonsense"), ("explain", "no-colon"), ("failures", "--since", "soon")):
        said = hms(*words)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("hms-sync: ")
        assert said.err.count("\n") == 1


def test_an_error_in_json_is_an_object_on_stdout(hms: Hms) -> None:
    said = hms("pause", "Nowhere", "--reason", "x", "--json")
    assert (said.code, said.err) == (1, "")
    assert said.json == {
        "error": "the outbox knows no connector Nowhere; `hms-sync status` lists them",
        "exit_code": 1,
    }


def test_mistakes_of_a_config_come_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HMS_SYNC_DSN", raising=False)
    config = tmp_path / "sync-config.yml"
    config.write_text("version: 1\nnonsense: 1\nmore: 2\n")
    assert main(["status", "--json", "-c", str(config)]) == 2
    answer = simplejson.loads(capsys.readouterr().out)
    assert [mistake["line"] for mistake in answer["mistakes"]] == [2, 3]
    assert main(["status", "-c", str(tmp_path / "absent.yml")]) == 2
    assert "absent.yml" in capsys.readouterr().err


def test_a_database_that_does_not_answer_is_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMS_SYNC_DSN", "host=127.0.0.1 port=1 dbname=none user=nobody")
    assert main(["status"]) == 1
    assert "the database does not answer" in capsys.readouterr().err


def test_a_database_without_the_outbox_names_the_cure(make_db: MakeDb, hms: Hms) -> None:
    said = hms("status", "--dsn", make_db(empty=True))
    assert said.code == 1
    assert "run `hms-sync migrate`" in said.err


def test_a_role_with_too_few_rights_is_told_which_it_needs(seed: Seed, hms: Hms, dsn: str) -> None:
    name = f"auditor_{os.getpid()}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE outbox_auditor")
        try:
            auditor = make_conninfo(dsn, user=name, password="x")
            assert hms("status", "--dsn", auditor).code == 0
            refused = hms("pause", "PublicCalendar", "--reason", "x", "--dsn", auditor)
            assert refused.code == 1
            assert "needs membership in outbox_operator" in refused.err
        finally:
            admin.execute(f"DROP ROLE {name}")


def test_a_defect_ends_in_a_sentence_and_shows_its_traceback_only_on_request(
    hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("outbox.inspect.status", broken)
    said = hms("status")
    assert said.code == 1
    assert "a defect in hms-sync: ZeroDivisionError: by zero" in said.err
    assert "Traceback" not in said.err
    monkeypatch.setenv("HMS_SYNC_DEBUG", "1")
    assert "Traceback" in hms("status").err


def test_an_interrupted_command_is_not_fully_done(hms: Hms, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("outbox.inspect.status", interrupted)
    said = hms("status")
    assert (said.code, said.err) == (3, "hms-sync: interrupted\n")


def test_a_closed_pipe_is_no_error(seed: Seed, dsn: str) -> None:
    """`hms-sync audit | head -1` ends quietly."""
    code = "import sys; from cdc.cli import main; sys.stdout.write('x' * 200000); sys.exit(main(['status']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "HMS_SYNC_DSN": dsn},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 0


def test_global_options_may_stand_anywhere_but_not_behind_a_double_dash() -> None:
    assert hoisted(["status", "--json", "-c", "x.yml"]) == ["--json", "-c", "x.yml", "status"]
    assert hoisted(["status", "--config=x.yml"]) == ["--config=x.yml", "status"]
    assert hoisted(["sync", "--", "--json"]) == ["sync", "--", "--json"]


# ---------------------------------------------------------------- reading


def test_status_in_json_and_for_a_person(seed: Seed, hms: Hms) -> None:
    seed.owned()
    seed.delivery(seed.change())
    (connector,) = hms("status", "--json").json["connectors"]
    assert (connector["name"], connector["backlog"], connector["dead"]) == ("PublicCalendar", 1, {"refused": 1})
    told = hms("status").out
    assert "CONNECTOR" in told
    assert "refused 1" in told
    assert "Daemons alive: courier-1 (4711, 0.1)" in told
    assert hms("status", "--connector", "Nowhere").code == 1


def test_failures_and_their_groups(seed: Seed, hms: Hms) -> None:
    dead = seed.delivery(seed.change("7"))
    (failure,) = hms("failures", "--json").json["failures"]
    assert (failure["change_id"], failure["error_class"]) == (dead, "refused")
    (group,) = hms("failures", "--groups", "--json").json["groups"]
    assert (group["error_fingerprint"], group["deliveries"]) == ("refused-422", 1)
    assert "hearing_schedule:7" in hms("failures", "--record", "hearing_schedule:7").out
    assert "422: title is missing" in hms("failures", "--groups").out
    assert hms("failures", "--state", "unknown").out == "Nothing is in trouble.\n"


def test_text_of_a_platform_cannot_play_with_the_terminal(seed: Seed, hms: Hms) -> None:
    seed.delivery(seed.change(), last_error="\x1b[2J\x1b]0;owned\x07 [red]x[/red]")
    out = hms("failures").out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[red]x[/red]" in out


def test_explain_ends_with_the_sentence_for_the_clerk_and_says_by_its_code_whether_work_is_open(
    seed: Seed, hms: Hms
) -> None:
    assert hms("explain", "hearing_schedule:123").code == 1
    seed.applied(seed.change())
    done = hms("explain", "hearing_schedule:123")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("The hearing_schedule 123 is on PublicCalendar as of ")
    seed.delivery(seed.change())
    still_open = hms("explain", "hearing_schedule:123", "--json")
    assert still_open.code == 3
    assert "given up after 1 attempts" in still_open.json["answers"][0]


def test_audit_is_shown_and_filtered(seed: Seed, hms: Hms) -> None:
    seed.applied(seed.change())
    seed.delivery(seed.change("2"), "waiting")
    assert len(hms("audit", "--json").json["audit"]) == 2
    (entry,) = hms("audit", "--outcome", "applied", "--since", "1h", "--json").json["audit"]
    assert entry["actor"] == "clerk"
    assert "hearing_schedule:123" in hms("audit", "--record", "hearing_schedule:123").out


# ---------------------------------------------------------------- acting


def test_status_tells_of_a_platform_in_trouble_and_of_limits(seed: Seed, hms: Hms) -> None:
    assert "BREAKER" not in hms("status").out
    flow.register(seed.db, "PublicCalendar", Limits(0.5, 3.0, 8))
    Flow(seed.db, "PublicCalendar", 1).trip(0, 600.0, "HTTP 503")
    (one,) = hms("status", "--json").json["connectors"]
    told = {name: one["flow"][name] for name in ("breaker", "why", "rate", "burst", "tokens", "max_in_flight")}
    assert told == {"breaker": "open", "why": "HTTP 503", "rate": 0.5, "burst": 3, "tokens": 3, "max_in_flight": 8}
    assert one["flow"]["open_until"] > one["flow"]["opened_at"]
    said = hms("status").out
    assert "the platform is in trouble: HTTP 503" in said
    assert re.search(r"PublicCalendar +open +\d{4}-\d\d-\d\d [\d:]+ +HTTP 503 +30/m +3 of 3 +8", said), said


def test_pause_and_resume(seed: Seed, hms: Hms) -> None:
    paused = hms("pause", "PublicCalendar", "--reason", "it moves house", "--actor", "anna", "--json").json
    assert (paused["connector"], paused["paused"]) == ("PublicCalendar", True)
    assert "paused: it moves house" in hms("status").out
    assert hms("pause", "PublicCalendar", "--reason", "again").code == 1
    assert hms("resume", "PublicCalendar", "--reason", "done").code == 0
    assert hms("pause", "PublicCalendar").code == 2
    assert hms("pause", "PublicCalendar", "--reason", "").code == 2


def test_the_actor_is_the_operating_systems_user_unless_named(
    seed: Seed, hms: Hms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "otto")
    hms("pause", "PublicCalendar", "--reason", "x")
    row = seed.db.execute("SELECT actor FROM outbox.act WHERE kind = 'pause'").fetchone()
    assert row == {"actor": "otto"}


def test_resolve_wants_to_know_what_was_seen(seed: Seed, hms: Hms) -> None:
    doubtful = str(seed.delivery(seed.change(), "unknown"))
    assert hms("resolve", "PublicCalendar", doubtful, "--reason", "looked").code == 2
    said = hms("resolve", "PublicCalendar", doubtful, "--applied", "--reason", "looked", "--json")
    assert (said.code, said.json["state"]) == (0, "applied")


def test_drop_names_what_it_dropped_and_refuses_to_drop_everything(seed: Seed, hms: Hms) -> None:
    seed.delivery(seed.change())
    assert hms("drop", "--reason", "x").code == 2
    assert hms("drop", "--connector", "PublicCalendar", "--reason", "x", "--json").json == {"dropped": 1}


def test_a_replay_is_planned_and_then_run_by_its_hash(seed: Seed, hms: Hms) -> None:
    seed.delivery(seed.change())
    plan = hms("replay", "plan", "--connector", "PublicCalendar", "--state", "dead", "--json").json
    assert (plan["selected"], plan["sent"], plan["superseded"]) == (1, 1, 0)
    assert "chosen" not in plan
    run = ("replay", "run", "--connector", "PublicCalendar", "--reason", "INC-1")
    assert hms(*run).code == 2
    assert hms(*run, "--plan", "0000").code == 1
    said = hms(*run, "--plan", plan["plan_hash"], "--json")
    assert (said.code, said.json["entered"], said.json["complete"]) == (0, 1, True)


def test_a_replay_that_was_partly_superseded_is_not_fully_done(seed: Seed, hms: Hms) -> None:
    seed.delivery(seed.change())
    seed.applied(seed.change())
    assert "Superseded by something newer, never sent: 1" in hms("replay", "plan", "--connector", "PublicCalendar").out
    said = hms("replay", "run", "--connector", "PublicCalendar", "--yes", "--reason", "INC-1")
    assert said.code == 3
    assert "1 superseded by something newer" in said.out


def test_on_a_terminal_a_replay_shows_its_plan_and_asks(seed: Seed, dsn: str) -> None:
    seed.delivery(seed.change())
    words = ["replay", "run", "--connector", "PublicCalendar", "--reason", "INC-1"]
    for answer, state in (("n", ("dead", 0)), ("y", ("waiting", 1))):
        told = on_a_terminal(words, answer, dsn)
        assert "Will be sent: 1" in told
        assert list(seed.states().values()) == [state]


def on_a_terminal(words: list[str], answer: str, dsn: str) -> str:
    """What a command says to a person at a terminal who answers its question."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from cdc.cli import main; sys.exit(main())", *words],
        env={**os.environ, "HMS_SYNC_DSN": dsn, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    told = b""
    with suppress(OSError):  # the terminal is gone when the process has ended
        while part := os.read(ours, 4096):
            told += part
    process.wait(30)
    os.close(ours)
    return told.decode()
