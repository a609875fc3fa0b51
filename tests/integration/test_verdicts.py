"""Verdicts in the outbox, and what follows from them: who is served, under which class, and how they age."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from cdc.assembly import Kit, assemble
from cdc.daemon import Daemon
from cdc.receivers import aging
from cdc.receivers.admission import NotAdmitted
from cdc.receivers.aging import Aging
from cdc.receivers.probing import Order, fingerprint_of, try_receiver
from cdc.receivers.roster import Roster
from cdc.watch.pulse import Pulse
from hms_sync.service import ExternalSyncService
from outbox import db as outbox_db
from outbox import operate, verdicts
from outbox.db import Connection
from outbox.model import Guarantee, Verified
from outbox.operate import NotAllowed
from outbox.verdicts import ReceiverVerdict
from tests.fixtures.command_line import Hms
from tests.harness.careless import Careless, careless
from tests.harness.premises import Office, opened, until
from tests.hostile import Peer, hostile
from tests.integration.test_daemon_role import login

REASON = "the platform has no test instance"
PROBES = [{"number": 1, "name": "create_once", "passed": True, "sentence": "refused"}]


def verdict(kit: Kit, carries: Guarantee | None = None, *, quick: bool = False, **more: Any) -> ReceiverVerdict:
    """A verdict about the receiver of ``kit``; by default it carries what was declared."""
    return ReceiverVerdict(
        kit.policy.connector,
        kit.registration.subject,
        kit.declared,
        carries or kit.declared,
        quick,
        **{"rounds": 5, "fingerprint": "server: Diary/1.0", "probes": PROBES, **more},
    )


@pytest.fixture
def receiver() -> Iterator[Careless]:
    with careless() as running:
        yield running


@pytest.fixture
def office(dsn: str, tmp_path: Path, receiver: Careless) -> Iterator[Office]:
    """Board and Plan need no verdict; Diary promises EXACT_CAS and has none."""
    with opened(dsn, tmp_path) as made:
        made.settings["connectors"]["Diary"] = {
            "kind": "caldav",
            "url": receiver.url,
            "allow_addresses": ["127.0.0.0/8"],
            "deadline": "1s",
            "options": {"quiet": "500ms"},
            "retry": {"base": "50ms", "max": "500ms"},
            "routes": {"hearing": {"mapping": "for_diary"}},
        }
        made.settings["mappings"]["for_diary"] = {
            "output": "icalendar",
            "icalendar": {"zone": "Europe/Brussels"},
            "fields": {
                "uid": {"template": "hearing-{id}@office.example"},
                "summary": "title",
                "dtstart": {"const": "2026-11-23T09:00:00+00:00"},
                "dtend": {"const": "2026-11-23T10:00:00+00:00"},
            },
        }
        made.save()
        yield made


def diary(office: Office) -> dict[str, Any]:
    settings: dict[str, Any] = office.settings["connectors"]["Diary"]
    return settings


def kit_of(office: Office) -> Kit:
    return assemble(office.config)["Diary"]


def store(office: Office, carries: Guarantee | None = None, **more: Any) -> None:
    with outbox_db.connect(office.dsn) as connection:
        verdicts.record(connection, verdict(kit_of(office), carries, **more), actor="anna")


def change(office: Office, **settings: Any) -> None:
    diary(office).update(settings)
    office.save()


def acts(office: Office, kind: str) -> list[dict[str, Any]]:
    return office.execute("SELECT actor, reason FROM outbox.act WHERE kind = %s ORDER BY id", kind)


# ---------------------------------------------------------------- the table


@pytest.fixture
def stored(office: Office) -> Office:
    store(office)
    return office


@pytest.mark.parametrize(
    "rewrite",
    [
        "UPDATE outbox.receiver_verdict SET carries = 'EXACT_TX'",
        "DELETE FROM outbox.receiver_verdict",
        "TRUNCATE outbox.receiver_verdict",
    ],
)
def test_a_verdict_is_not_rewritten_even_by_a_superuser(stored: Office, rewrite: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        stored.execute(rewrite)


ACT = "INSERT INTO outbox.act (kind, connector, actor, reason) VALUES ('{}', '{}', '{}', 'why') RETURNING id"
PUT = """INSERT INTO outbox.receiver_verdict (connector, subject, declared, carries, quick, rounds, fingerprint, probes,
                                              actor, act_id)
         VALUES ('Diary', 's', 'EXACT_CAS', 'EXACT_CAS', false, 1, '', '[1]', 'anna', %s)"""


def act(db: Connection, kind: str = "verify_receiver", connector: str = "Diary", actor: str = "anna") -> int:
    row = db.execute(ACT.format(kind, connector, actor).encode()).fetchone()
    assert row is not None
    return int(row["id"])


def test_a_verdict_needs_an_act_of_its_own_transaction(db: Connection) -> None:
    earlier = act(db)
    with pytest.raises(psycopg.errors.CheckViolation, match="only with its act in the same transaction"):
        db.execute(PUT, [earlier])
    with db.transaction():
        db.execute(PUT, [act(db)])


@pytest.mark.parametrize("wrong", [{"kind": "pause"}, {"connector": "Board"}, {"actor": "otto"}])
def test_the_act_of_a_verdict_is_about_this_verdict(db: Connection, wrong: dict[str, str]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="only with its act"), db.transaction():
        db.execute(PUT, [act(db, **wrong)])


def test_a_connector_is_not_accepted_unverified_without_an_act_that_says_why(db: Connection) -> None:
    put = """INSERT INTO outbox.connector (name, kind, guarantee, mapping_version, verified, accepted, act_id)
             VALUES ('Diary', 'caldav', 'EXACT_CAS', 'm1', 'accepted', %s, %s)"""
    for kind, reason in (("config_applied", "why"), ("accept_unverified", "another reason")):
        with pytest.raises(psycopg.errors.CheckViolation, match="only with an act that says why"), db.transaction():
            db.execute(put, [reason, act(db, kind)])
    with db.transaction():
        db.execute(put, ["why", act(db, "accept_unverified")])


def test_on_what_a_class_rests_is_named_alike_in_database_and_model(db: Connection) -> None:
    row = db.execute(
        "SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conname = 'connector_verified_known'"
    ).fetchone()
    assert row is not None
    assert {f"'{each}'" for each in Verified} == {word.split("::")[0].strip(" ([])") for word in _words(row["text"])}


def _words(definition: str) -> list[str]:
    return definition.partition("ARRAY[")[2].split(",")


def test_each_verdict_is_an_act_with_its_sentence(stored: Office) -> None:
    assert acts(stored, "verify_receiver") == [{"actor": "anna", "reason": "Diary/1.0 carries EXACT_CAS"}]


LOWER = Guarantee.CONVERGE


@pytest.mark.parametrize(
    ("story", "passes"),
    [
        ([(None, False)], True),
        ([(None, True)], None),
        ([(None, True), (LOWER, True)], False),
        ([(None, False), (LOWER, False)], False),
        ([(None, False), (LOWER, True)], False),
        ([(None, False), (LOWER, True), (None, True)], True),
        ([(LOWER, False), (None, True)], False),
        ([(LOWER, False), (None, True), (None, True)], False),
        ([(LOWER, False), (None, False)], True),
        ([(LOWER, False), (None, False), (None, True)], True),
    ],
)
def test_the_newest_verdict_counts_but_quick_probes_only_confirm_what_all_of_them_found(
    office: Office, story: list[tuple[Guarantee | None, bool]], passes: bool | None
) -> None:
    for carries, quick in story:
        store(office, carries, quick=quick)
    with outbox_db.connect(office.dsn) as connection:
        found = verdicts.standing(connection, "Diary", kit_of(office).registration.subject)
    assert (found.passed if found is not None else None) is passes


def test_operator_and_daemon_may_store_a_verdict_and_an_auditor_reads_it(stored: Office) -> None:
    for group in ("outbox_operator", "outbox_daemon"):
        with login(stored.dsn, group) as dsn, outbox_db.connect(dsn) as connection:
            verdicts.require_right_to_record(connection)
            verdicts.record(connection, verdict(kit_of(stored)), actor=group)
    with login(stored.dsn, "outbox_auditor") as dsn, outbox_db.connect(dsn) as connection:
        assert verdicts.standing(connection, "Diary", kit_of(stored).registration.subject) is not None
        with pytest.raises(NotAllowed, match="needs membership in outbox_operator"):
            verdicts.require_right_to_record(connection)
        with pytest.raises(NotAllowed, match="needs membership in outbox_operator"):
            verdicts.record(connection, verdict(kit_of(stored)), actor="auditor")


# ---------------------------------------------------------------- the subject


def test_another_url_or_another_option_is_another_subject_and_cosmetics_are_not(office: Office) -> None:
    first = kit_of(office).registration.subject
    change(office, url=diary(office)["url"].rstrip("/"), concurrency=3, options={"quiet": "500ms"})
    assert kit_of(office).registration.subject == first
    change(office, options={"conflict": "theirs", "not_applied": [429]})
    second = kit_of(office).registration.subject
    change(office, options={"not_applied": [429], "conflict": "theirs"})
    assert kit_of(office).registration.subject == second != first
    change(office, url="http://127.0.0.1:9/", options={})
    assert kit_of(office).registration.subject not in (first, second)


def test_a_renewed_secret_does_not_age_a_verdict(office: Office) -> None:
    plan = office.settings["connectors"]["Plan"]
    plan["options"]["headers"] = {"X-Key": "${file:token}"}
    office.save()
    before = assemble(office.config)["Plan"].registration.subject
    office.secret("token", "renewed")
    assert assemble(office.config)["Plan"].registration.subject == before


# ---------------------------------------------------------------- who is served


def test_an_exact_class_without_a_verdict_is_refused_with_the_command_to_run(office: Office) -> None:
    sentence = r"connector Diary promises EXACT_CAS without a verdict.*run `hms-sync verify-receiver Diary`"
    with pytest.raises(NotAdmitted, match=sentence):
        Daemon(office.config, office.dsn).start()
    assert office.execute("SELECT name FROM outbox.connector") == []
    process = office.start()
    assert process.wait(30) == 1
    assert "Traceback" not in office.log.read_text()


def test_with_a_passing_verdict_it_is_served_and_with_another_url_it_is_not(stored: Office, hms: Hms) -> None:
    with stored.served() as daemon:
        stored.file(1)
        stored.settled()
        (one,) = hms("status", "--connector", "Diary", "--json").json["connectors"]
        assert (one["guarantee"], one["verified"], one["accepted"]) == ("EXACT_CAS", "passed", None)
        assert one["verdict"]["fingerprint"] == "server: Diary/1.0"
        assert "Diary/1.0" in hms("status").out
        assert metric(daemon) == ('connector="Diary",guarantee="EXACT_CAS",verified="passed"', 1.0)
    change(stored, url=diary(stored)["url"] + "elsewhere/")
    with pytest.raises(NotAdmitted, match="without a verdict of all probes about this url"):
        Daemon(stored.config, stored.dsn).start()
    change(stored, url=diary(stored)["url"].replace("elsewhere/", ""), options={"conflict": "theirs"})
    with pytest.raises(NotAdmitted, match="without a verdict of all probes about this url and these options"):
        Daemon(stored.config, stored.dsn).start()


def metric(daemon: Daemon) -> tuple[str, float]:
    """Labels and value of the class of Diary, as a scrape shows them."""
    assert daemon.web is not None
    found: list[str] = []

    def shown() -> bool:
        lines = requests.get(f"{daemon.web.url}/metrics", timeout=10).text.splitlines()  # type: ignore[union-attr]
        found[:] = [line for line in lines if line.startswith('hms_sync_connector_guarantee{connector="Diary"')]
        return bool(found)

    until(shown)
    labels, _, value = found[0].removeprefix("hms_sync_connector_guarantee{").partition("} ")
    return labels, float(value)


def test_a_reload_refuses_it_too_and_leaves_the_old_config_running(stored: Office) -> None:
    with stored.running() as daemon:
        change(stored, url="http://127.0.0.1:9/")
        daemon.send_signal(signal.SIGHUP)
        until(lambda: "the new config is not taken" in stored.log.read_text(), stored.report)
        assert "verify-receiver Diary" in stored.log.read_text()
        stored.file(1)
        stored.settled()


def test_the_service_and_the_command_refuse_before_anything_is_captured(office: Office, hms: Hms) -> None:
    office.file(1)
    answer = ExternalSyncService(office.path, actor="clerk-7").sync("Diary", "hearing", 1)
    assert answer["status"] == "failed"
    assert "verify-receiver Diary" in answer["reason"]
    said = hms("-c", str(office.path), "sync", "Diary", "hearing", "1")
    assert (said.code, "verify-receiver Diary" in said.err) == (1, True)
    assert office.execute("SELECT operation FROM outbox.change") == [{"operation": "insert"}]
    store(office)
    assert ExternalSyncService(office.path, actor="clerk-7").sync("Diary", "hearing", 1) == {"status": "success"}


def test_the_check_of_the_living_tells_it_beforehand(office: Office, hms: Hms) -> None:
    said = hms("-c", str(office.path), "check", "--live")
    assert said.code == 1
    assert "Diary: guarantee EXACT_CAS, once it is verified (hms-sync verify-receiver Diary)" in said.out
    assert "connectors.Diary: connector Diary promises EXACT_CAS without a verdict" in said.out
    store(office)
    assert "promises" not in hms("-c", str(office.path), "check", "--live").out


def test_a_kind_that_knows_no_probes_is_refused_as_unverifiable(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc.receivers.admission.verifier_of", lambda _built: None)
    with pytest.raises(NotAdmitted, match="which cannot be verified for kind caldav: say why you accept it"):
        Daemon(office.config, office.dsn).start()


def test_an_acceptance_starts_it_and_is_an_act_once_per_config(office: Office, hms: Hms) -> None:
    change(office, accept_unverified=REASON)
    for _ in range(2):
        with office.served() as daemon:
            office.file(len(acts(office, "config_applied")))
            office.settled()
            labels, _ = metric(daemon)
            assert labels == 'connector="Diary",guarantee="EXACT_CAS",verified="accepted"'
            office.execute("DELETE FROM public.hearing")
            office.settled()
    office.settings["mappings"]["for_diary"]["fields"]["summary"] = {"template": "New {title}"}
    office.save()
    with office.served():
        assert len(acts(office, "config_applied")) > 3
    assert acts(office, "accept_unverified") == [{"actor": "hms-sync daemon", "reason": REASON}]
    (one,) = hms("status", "--connector", "Diary", "--json").json["connectors"]
    assert (one["verified"], one["accepted"], one["verdict"]) == ("accepted", REASON, None)
    assert f"no, accepted: {REASON}" in hms("status").out
    change(office, accept_unverified="the platform is verified elsewhere")
    with office.served():
        pass
    assert [one["reason"] for one in acts(office, "accept_unverified")][1:] == ["the platform is verified elsewhere"]


def test_a_failed_verdict_is_refused_and_says_what_it_found(office: Office) -> None:
    store(office, LOWER)
    with pytest.raises(NotAdmitted, match=r"promises EXACT_CAS, and Diary/1\.0 carries only CONVERGE by the verdict"):
        Daemon(office.config, office.dsn).start()


def test_a_failed_and_accepted_verdict_lowers_the_class_everywhere(office: Office, hms: Hms) -> None:
    store(office, LOWER)
    change(office, accept_unverified=REASON)
    with office.served() as daemon:
        office.file(1)
        office.settled()
        assert metric(daemon) == ('connector="Diary",guarantee="CONVERGE",verified="accepted"', 1.0)
        assert daemon.web is not None
        text = requests.get(f"{daemon.web.url}/metrics", timeout=10).text
        assert 'deliveries_settled_total{connector="Diary",guarantee="CONVERGE",outcome="applied"} 1.0' in text
        assert 'connector="Diary",guarantee="EXACT_CAS"' not in text
    assert office.execute("SELECT DISTINCT guarantee FROM outbox.audit WHERE connector = 'Diary'") == [
        {"guarantee": "CONVERGE"}
    ]
    assert f"accepted: {REASON} (declared EXACT_CAS; " in hms("status").out


def test_a_verdict_about_another_promise_does_not_count(office: Office) -> None:
    """A kind may learn to promise more with an upgrade of ours."""
    kit = kit_of(office)
    with outbox_db.connect(office.dsn) as connection:
        for_less = ReceiverVerdict(
            *("Diary", kit.registration.subject, Guarantee.VERIFY, Guarantee.VERIFY),
            False,
            5,
            "server: Diary/1.0",
            PROBES,
        )
        verdicts.record(connection, for_less, actor="anna")
    with pytest.raises(NotAdmitted, match="without a verdict"):
        Daemon(office.config, office.dsn).start()


def test_a_class_that_needs_no_verdict_is_refused_by_one_that_failed(office: Office) -> None:
    store(office)
    with outbox_db.connect(office.dsn) as connection:
        kit = assemble(office.config)["Plan"]
        verdicts.record(connection, verdict(kit, Guarantee.ONCE_OR_ASK), actor="anna")
    with pytest.raises(NotAdmitted, match=r"Plan promises CONVERGE, and Diary/1\.0 carries only ONCE_OR_ASK"):
        Daemon(office.config, office.dsn).start()


def test_require_is_compared_with_the_class_in_force(office: Office) -> None:
    store(office, LOWER)
    change(office, accept_unverified=REASON, require="EXACT_CAS")
    with pytest.raises(NotAdmitted, match="carries CONVERGE by its verdict, weaker than the required EXACT_CAS"):
        Daemon(office.config, office.dsn).start()
    change(office, require="CONVERGE")
    with office.served():
        pass


def test_the_lowered_class_rules_what_happens_when_no_answer_comes(office: Office) -> None:
    """EXACT_WINDOW would send again; what the verdict found does not allow it, also after the daemon was killed."""

    def silent(peer: Peer) -> None:
        while peer.read_request():
            peer.hold()

    with hostile(silent) as platform:
        windowed(office, platform.url)
        found_wanting(office)
        office.file(1)
        daemon = office.start()
        try:
            platform.wait_for(lambda seen: len(seen.requests) == 1, 30)
        finally:
            daemon.kill()
            daemon.wait()
        with office.served():
            until(lambda: states(office) == [("unknown", "ONCE_OR_ASK", None)], office.report)
        assert len(platform.requests) == 1


def test_a_doubt_from_before_the_verdict_is_not_sent_again_either(office: Office) -> None:
    """It was due for a resend when the class fell."""

    def silent(peer: Peer) -> None:
        while peer.read_request():
            peer.hold()

    with hostile(silent) as platform:
        windowed(office, platform.url)
        with office.served():
            office.file(1)
            until(lambda: [state for state, _, _ in states(office)] == ["unknown"], office.report)
        assert states(office)[0][2] is not None
        found_wanting(office)
        office.execute("UPDATE outbox.delivery SET due_at = clock_timestamp()")
        with office.served():
            until(lambda: [due for _, _, due in states(office)] == [None], office.report)
        assert len(platform.requests) == 1


def windowed(office: Office, url: str) -> None:
    """Board alone, as EXACT_WINDOW that is accepted unverified; a retry would come in a minute."""
    board = office.settings["connectors"]["Board"]
    board.update(url=url, options={"idempotency_window": "12h"}, accept_unverified=REASON, deadline="500ms")
    board["retry"] = {"base": "2m", "max": "2m"}
    office.settings["connectors"] = {"Board": board}
    del office.settings["mappings"]["for_diary"]
    office.save()


def found_wanting(office: Office) -> None:
    with outbox_db.connect(office.dsn) as connection:
        wanted = verdict(assemble(office.config)["Board"], Guarantee.ONCE_OR_ASK)
        verdicts.record(connection, wanted, actor="anna")


def states(office: Office) -> list[tuple[str, str, Any]]:
    return [(row["state"], row["guarantee"], row["due_at"]) for row in office.deliveries("Board")]


# ---------------------------------------------------------------- verdicts age


class Shift:
    """A daemon's roster and its look at the verdicts, without the daemon."""

    def __init__(self, office: Office) -> None:
        self.served: list[set[str]] = []
        self.roster = Roster(
            office.dsn, lambda _connection: None, lambda kits: self.served.append(set(kits)), lambda _event: None
        )
        self.pulse = Pulse()
        self.aging = Aging(office.dsn, self.roster, lambda: self.pulse.ended("verdicts"))
        self.roster.enter(assemble(office.config))
        self._dsn = office.dsn

    def round(self) -> None:
        with outbox_db.connect(self._dsn) as connection:
            self.aging.round(connection)


def stored_verdicts(office: Office) -> list[tuple[str, str, str]]:
    rows = office.execute("SELECT actor, fingerprint, carries FROM outbox.receiver_verdict ORDER BY id")
    return [(row["actor"], row["fingerprint"], row["carries"]) for row in rows]


OLD = ("anna", "server: Diary/1.0", "EXACT_CAS")


def test_the_same_receiver_is_not_tried_again(stored: Office, receiver: Careless) -> None:
    shift = Shift(stored)
    shift.round()
    shift.round()
    assert [method for method, _ in receiver.requests] == ["PROPFIND"]
    assert stored_verdicts(stored) == [OLD]


def test_an_updated_receiver_that_still_behaves_gets_a_new_verdict(stored: Office, receiver: Careless) -> None:
    shift = Shift(stored)
    receiver.version = "Diary/2.0"
    shift.round()
    assert stored_verdicts(stored) == [OLD, ("hms-sync daemon", "server: Diary/2.0", "EXACT_CAS")]
    assert "tried because the receiver said" in acts(stored, "verify_receiver")[-1]["reason"]
    assert (shift.served, stored.paused("Diary")) == ([], None)
    assert receiver.objects == {}


def test_an_updated_receiver_that_does_not_is_paused_with_a_sentence(stored: Office, receiver: Careless) -> None:
    shift = Shift(stored)
    receiver.version, receiver.strict = "Diary/2.0", False
    shift.round()
    assert stored_verdicts(stored)[-1] == ("hms-sync daemon", "server: Diary/2.0", "CONVERGE")
    reason = stored.paused("Diary")
    assert reason is not None
    assert "Diary/2.0 carries only CONVERGE" in reason
    assert "hms-sync verify-receiver Diary" in reason
    assert acts(stored, "pause") == [{"actor": "hms-sync daemon", "reason": reason}]
    assert shift.served == [{"Board", "Plan"}]


def test_a_failed_look_lowers_what_was_accepted_and_pauses_nothing(stored: Office, receiver: Careless) -> None:
    change(stored, accept_unverified=REASON)
    shift = Shift(stored)
    receiver.version, receiver.strict = "Diary/2.0", False
    shift.round()
    assert stored.paused("Diary") is None
    rows = stored.execute("SELECT guarantee, verified FROM outbox.connector WHERE name = 'Diary'")
    assert rows == [{"guarantee": "CONVERGE", "verified": "accepted"}]
    assert shift.roster.served["Diary"].policy.guarantee is Guarantee.CONVERGE


@pytest.mark.parametrize("strict", [True, False])
def test_a_receiver_that_is_away_or_ill_changes_nothing(stored: Office, receiver: Careless, strict: bool) -> None:
    shift = Shift(stored)
    receiver.version, receiver.strict, receiver.ill = "Gateway/1.0", strict, True
    shift.round()
    assert (stored_verdicts(stored), stored.paused("Diary")) == ([OLD], None)


def test_a_receiver_that_falls_ill_while_it_is_tried_changes_nothing(stored: Office, receiver: Careless) -> None:
    shift = Shift(stored)
    receiver.version = "Diary/2.0"
    answer = receiver.answer

    def failing(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str | None, bytes]:
        receiver.ill = method != "MKCALENDAR" and len(receiver.requests) > 6
        return answer(method, path, headers, body)

    receiver.answer = failing  # type: ignore[method-assign]
    shift.round()
    assert len(receiver.requests) > 6
    assert (stored_verdicts(stored), stored.paused("Diary")) == ([OLD], None)


def test_waiting_for_a_platform_does_not_make_the_daemon_unready(stored: Office, receiver: Careless) -> None:
    shift = Shift(stored)
    receiver.version = "Diary/2.0"
    answer = receiver.answer
    standing: set[tuple[str, ...]] = set()

    def slow(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str | None, bytes]:
        standing.add(shift.pulse.standing(time.monotonic() + 1000, 15))
        return answer(method, path, headers, body)

    receiver.answer = slow  # type: ignore[method-assign]
    with shift.pulse.loop("verdicts"):
        shift.round()
    assert standing == {()}


def test_a_receiver_that_is_gone_changes_nothing(office: Office) -> None:
    change(office, url="http://127.0.0.1:9/")
    store(office)
    shift = Shift(office)
    shift.round()
    assert (stored_verdicts(office), office.paused("Diary")) == ([OLD], None)


def test_only_one_daemon_at_a_time_tries_a_receiver(stored: Office, receiver: Careless) -> None:
    shift = Shift(stored)
    receiver.version = "Diary/2.0"
    with outbox_db.connect(stored.dsn) as other, verdicts.held(other, "Diary") as ours:
        assert ours
        shift.round()
    assert stored_verdicts(stored) == [OLD]


def test_a_connector_that_a_person_has_paused_is_left_alone(stored: Office, receiver: Careless) -> None:
    """Paused by a person, perhaps because the platform asked for quiet."""
    shift = Shift(stored)
    with outbox_db.connect(stored.dsn) as connection:
        operate.pause(connection, "Diary", actor="anna", reason="maintenance of the platform")
    shift.round()
    assert receiver.requests == []


def test_a_verdict_of_last_month_is_old(stored: Office, receiver: Careless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aging, "OLD_SECONDS", 0.0)
    Shift(stored).round()
    assert [actor for actor, _, _ in stored_verdicts(stored)] == ["anna", "hms-sync daemon"]
    assert "days old" in acts(stored, "verify_receiver")[-1]["reason"]


@contextmanager
def fallen(office: Office, receiver: Careless) -> Iterator[Shift]:
    """Diary was found wanting and is paused."""
    shift = Shift(office)
    receiver.version, receiver.strict = "Diary/2.0", False
    shift.round()
    assert office.paused("Diary") is not None
    yield shift


def resume(office: Office) -> None:
    with outbox_db.connect(office.dsn) as connection:
        operate.resume(connection, "Diary", actor="anna", reason="it is fine")


def test_a_resume_without_a_new_verdict_does_not_last(stored: Office, receiver: Careless) -> None:
    with fallen(stored, receiver) as shift:
        resume(stored)
        shift.round()
        assert stored.paused("Diary") is not None


def test_after_a_new_verdict_it_is_served_again_without_a_reload(stored: Office, receiver: Careless) -> None:
    with fallen(stored, receiver) as shift:
        receiver.strict = True
        with outbox_db.connect(stored.dsn) as connection:
            verdicts.record(connection, try_receiver(kit_of(stored), Order(rounds=2)), actor="anna")
        resume(stored)
        shift.round()
        assert shift.served[-1] == {"Board", "Plan", "Diary"}
        assert stored.paused("Diary") is None


def test_a_daemon_that_starts_meanwhile_serves_the_others(
    stored: Office, receiver: Careless, hms: Hms, caplog: pytest.LogCaptureFixture
) -> None:
    with fallen(stored, receiver), caplog.at_level(logging.ERROR), stored.served() as daemon:
        stored.file(1)
        stored.settled("Board")
        assert receiver.objects == {}
        assert metric(daemon)[0] == 'connector="Diary",guarantee="EXACT_CAS",verified="failed"'
        assert "failed: " in hms("status").out
    assert "a connector is not served" in caplog.text


def test_the_daemon_itself_looks_at_its_receivers(
    stored: Office, receiver: Careless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aging, "STEP_SECONDS", 0.02)
    receiver.version, receiver.strict = "Diary/2.0", False
    with stored.served() as daemon:
        until(lambda: stored.paused("Diary"), stored.report)
        assert daemon.web is not None
        text = requests.get(f"{daemon.web.url}/metrics", timeout=10).text
        assert 'connector_pauses_total{connector="Diary",error_class="misconfigured"} 1.0' in text


def test_what_is_looked_at_is_where_the_verdict_was_made(office: Office, receiver: Careless) -> None:
    place = receiver.url.replace("/hearings/", "/scratch/")
    store(office, scratch_url=place)
    shift = Shift(office)
    receiver.version = "Diary/2.0"
    shift.round()
    written = {path.split("/")[1] for method, path in receiver.requests if method == "PUT"}
    assert written == {"scratch"}
    rows = office.execute("SELECT scratch_url FROM outbox.receiver_verdict ORDER BY id DESC LIMIT 1")
    assert rows == [{"scratch_url": place}]


def test_a_receiver_says_who_it_is(office: Office) -> None:
    assert fingerprint_of(kit_of(office), None) == "server: Diary/1.0"


# ---------------------------------------------------------------- a verdict to act upon


def attempts(*made: ReceiverVerdict) -> Callable[[], ReceiverVerdict]:
    rest = iter(made)
    return lambda: next(rest)


def test_what_stops_a_connector_was_seen_twice(office: Office) -> None:
    kit = kit_of(office)
    bad = verdict(kit, LOWER, probes=[{"number": 2, "passed": False}])
    good = verdict(kit)
    assert aging.try_twice(attempts(good)) is good
    assert aging.try_twice(attempts(bad, good)) is good
    again = verdict(kit, LOWER, probes=[{"number": 2, "passed": False}])
    assert aging.try_twice(attempts(bad, again)) is again
