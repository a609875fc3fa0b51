"""Fifty marked secrets go through daemon and commands, past platforms that give them back; none is seen again."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from io import StringIO
from pathlib import Path
from urllib.parse import quote, quote_plus
from uuid import uuid4

import psycopg
import pytest
import requests
import simplejson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from psycopg.conninfo import make_conninfo
from standardwebhooks import Webhook

from cdc.cli import main
from cdc.config import Config, load
from connectors.registry import kinds
from hms_sync.service import ExternalSyncService
from outbox import capture, db
from tests.canary import kinds as crashing
from tests.canary.estate import Estate, Slate
from tests.canary.nasty import Nasty, database, forms, listening
from tests.canary.net import numbers_in
from tests.fixtures.postgres import Postgres
from tests.harness.premises import RUN, until
from tests.pki import make_pki

TABLE = "CREATE TABLE public.hearing (id bigint PRIMARY KEY, title text, lon numeric, lat numeric)"
RECORDS = 4
NOBODY_CAN_TELL = {
    "the secret of the bucket's key",
    "signing secret 1", "signing secret 2", "signing secret 3", "signing secret 4",
    "the password of CrashInBatch", "the password at the proxy of ProxyGone",
    "the token of Nobody", "the token of WrongServer", "the key of our certificate", "a key that is none",
    "the password of the database",
}  # fmt: skip
"""What never leaves as it is; that it was used is seen by something else, or it stands before a wall."""
COMMANDS: Sequence[Sequence[str]] = (
    ("check",), ("check", "--live"), ("status",), ("failures",), ("failures", "--groups"), ("audit", "--limit", "1000"),
    ("explain", "hearing:1"), ("doctor",), ("capture", "plan"), ("migrate", "--plan"), ("test-mapping", "--last", "1"),
    ("replay", "plan"), ("rebase", "--dry-run"), ("sync", "Basic", "hearing", "1", "--timeout", "1"),
    ("verify-receiver", "Bucket", "--quick", "--rounds", "1"), ("verify-receiver", "Diary", "--quick"),
    ("verify-receiver", "Conditional", "--quick", "--rounds", "1"), ("verify-receiver", "Sql", "--quick"),
    ("pause", "Bearer", "--reason", "a canary is flown"), ("resume", "Bearer", "--reason", "a canary was flown"),
)  # fmt: skip


@dataclass
class Flight:
    """Where the canaries flew, and everything that was said on the way."""

    estate: Estate
    folder: Path
    dsn: str
    passwords: list[str]
    heard: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "sync-config.yml"

    @property
    def log(self) -> str:
        return (self.folder / "daemon.log").read_text()

    @cached_property
    def config(self) -> Config:
        return load(self.path)

    def rows(self, statement: str) -> list[str]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return [str(row[0]) for row in connection.execute(statement)]

    def in_trouble(self) -> bool:
        """Every platform has done its worst."""
        waited_for = set(self.estate.connectors) - {"Junk"}  # whose lane fails before a record is its own
        done = waited_for <= set(self.rows("SELECT DISTINCT connector FROM outbox.audit"))
        return done and "the files of tls cannot be used" in self.log

    @contextmanager
    def daemon(self, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-c", RUN, "-c", str(self.path), "run", "--log-level", "debug"]
        with (self.folder / "daemon.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, self.log[-3000:]
        finally:
            process.kill()
            process.wait()

    # ------------------------------------------------------------ what is asked

    def scrape(self) -> None:
        for page in ("metrics", "healthz", "readyz", "elsewhere", ""):
            answer = requests.get(f"http://{self.config.web.listen}/{page}", timeout=5)
            self.heard[f"page /{page}"] = f"{answer.headers} {answer.text}"

    def say(self, *words: str, name: str = "") -> None:
        out = StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            code = main(words)
        self.heard[name or " ".join(words)] = f"{code} {out.getvalue()}"

    def command(self) -> None:
        for words in COMMANDS:
            for more in ((), ("--json",)):
                self.say("-c", str(self.path), *words, *more, name=" ".join((*words, *more)))

    def command_badly(self, secret: str, port: int) -> None:
        """Databases that are not there, are none, and repeat what they were told."""
        told = quote(secret, safe="")
        for name, dsn in (
            ("a database that repeats the password", f"postgresql://hms:{told}@127.0.0.1:{port}/x"),
            ("a password with a plain @", f"postgresql://hms:half@{secret[:14]}@127.0.0.1/x"),
            ("a password with a plain /", f"postgresql://hms:{secret[:14]}/half@127.0.0.1/x"),
            ("a password with a plain %", f"postgresql://hms:{secret[:14]}%zz@127.0.0.1/x"),
            ("no connection string", f"{secret[:14]} and nothing else"),
        ):
            for more in ((), ("--json",)):
                self.say("--dsn", dsn, "status", *more, name=f"{name} {more}")

    def reload_badly(self, process: subprocess.Popen[bytes]) -> None:
        good = self.path.read_text()
        document = simplejson.loads(good)
        reference = document["connectors"]["Bearer"]["auth"]["bearer"]
        document["connectors"]["Bearer"] |= {"transport": reference, "lanes": reference}
        document["connectors"]["Board"] |= {"url": f"ftp://{reference}", "tls": {"ca": reference}}
        document["database"]["dsn"] = reference
        self.path.write_text(simplejson.dumps(document))
        process.send_signal(signal.SIGHUP)
        until(lambda: "the new config is not taken" in self.log, lambda: self.log[-3000:])
        self.say("-c", str(self.path), "check", name="check of a broken config")
        self.path.write_text(good)

    def look_back(self) -> None:
        self.heard["log"] = self.log
        for table in self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'outbox'"):
            self.heard[f"outbox.{table}"] = "\n".join(self.rows(f'SELECT t::text FROM outbox."{table}" t'))
        for file in (self.folder / "state").rglob("*"):
            if file.is_file():
                self.heard[str(file)] = file.read_bytes().decode("latin-1")
        config = self.config
        built = [repr(config.build(name)) for name in config.connectors]
        self.heard["dumps"] = "\n".join([repr(config), config.model.model_dump_json(), str(config.model), *built])
        service = ExternalSyncService(self.path, timeout_seconds=1.0)
        self.heard["service"] = str([service.sync(name, "hearing", 2) for name in ("Key", "Sql", "Junk")])

    def told(self) -> str:
        """What platforms and databases were told."""
        sent = [f"{each.target} {dict(each.headers)} {each.body!r}" for each in self.estate.nasty.seen]
        return "\n".join([*sent, *self.passwords])


@pytest.fixture(scope="module")
def flight(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flight]:
    folder = tmp_path_factory.mktemp("canary")
    slate, nasty, pki = Slate(folder), Nasty(), make_pki(folder)
    crashing.install(folder / "site")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        nasty.port = stack.enter_context(listening(nasty))
        context = pki.server()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pki.ca_file)
        estate = Estate(slate, nasty, stack.enter_context(listening(nasty, context)), pki)
        port, passwords = stack.enter_context(database())
        for part in (estate.ways_to_say_who_we_are, estate.ways_to_answer, estate.providers, estate.roads):
            part()
        estate.kinds(port)
        dsn = stack.enter_context(guarded(postgres, slate.value("the password of the database", "\"\\/&=%+<>' é@:z")))
        made = Flight(estate, folder, dsn, passwords)
        made.path.write_text(estate.config(dsn))
        patch.syspath_prepend(folder / "site")
        for name, value in {**slate.environment, "HMS_SYNC_DEBUG": "1"}.items():
            patch.setenv(name, value)
        kinds.cache_clear()
        stack.callback(kinds.cache_clear)
        fly(made, {**os.environ, "PYTHONPATH": str(folder / "site")}, port)
        yield made


def fly(flight: Flight, environment: dict[str, str], port: int) -> None:
    with db.connect(flight.dsn, name="test canary") as connection:
        connection.execute(TABLE)
        capture.apply(connection, capture.plan(connection, flight.config.captures()))
        rows = "INSERT INTO public.hearing SELECT n, 'Hearing', 13.4, 52.5 FROM generate_series(1, %s) n"
        connection.execute(rows, (RECORDS,))
    with flight.daemon(environment) as process:
        until(flight.in_trouble, lambda: flight.log[-5000:], seconds=60)
        flight.scrape()
        flight.command()
        flight.command_badly(flight.estate.slate.value("the password of a database that is none"), port)
        flight.reload_badly(process)
    flight.look_back()


@contextmanager
def guarded(postgres: Postgres, password: str) -> Iterator[str]:
    """A migrated database, for a user of its own with this password."""
    name, user = postgres.create(template=postgres.template), f"canary_{uuid4().hex[:12]}"
    with psycopg.connect(postgres.server.dsn, autocommit=True) as connection:
        made = sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}")
        connection.execute(made.format(sql.Identifier(user), sql.Literal(password)))
        try:
            yield make_conninfo(postgres.dsn(name), user=user, password=password)
        finally:
            postgres.drop(name)
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(user)))


# ---------------------------------------------------------------- what must hold


def test_fifty_secrets_of_all_sorts_are_planted(flight: Flight) -> None:
    planted = flight.estate.slate.planted
    assert len(set(planted.values())) == len(planted) == 50
    assert {each["kind"] for each in flight.estate.connectors.values()} == set(kinds())


def test_the_net_catches_each_of_them_in_each_form(flight: Flight) -> None:
    for number, value in enumerate(flight.estate.slate.planted.values(), start=1):
        if value == flight.estate.slate.planted["the key of our certificate"]:
            continue  # a line of a key has no mark, and is looked for as it is
        pair = b64encode(f"some user:{value}".encode()).decode()
        for form in (*forms(value), quote_plus(pair), pair, value[: len(value) // 2], repr(value)):
            assert numbers_in(f"you sent ({form})") == {number}, form


def test_no_secret_is_seen_again(flight: Flight) -> None:
    key = flight.estate.slate.planted["the key of our certificate"]
    names = dict(enumerate(flight.estate.slate.planted, start=1))
    found = {
        where: sorted(names[number] for number in numbers_in(text)) + ["the key of our certificate"] * (key in text)
        for where, text in flight.heard.items()
    }
    assert {where: leaks for where, leaks in found.items() if leaks} == {}


def test_whoever_can_tell_has_got_his_secret(flight: Flight) -> None:
    """Else nothing could leak, because nothing was there."""
    names = dict(enumerate(flight.estate.slate.planted, start=1))
    assert set(names.values()) - {names[number] for number in numbers_in(flight.told())} == NOBODY_CAN_TELL
    assert "Mutual" in flight.estate.nasty.certificates
    assert "RuntimeError: cannot log in as hms:***" in flight.log
    assert "Defect: ValueError: " in flight.log
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(make_conninfo(flight.dsn, password="wrong"))


def test_the_hooks_were_signed_with_all_four_secrets(flight: Flight) -> None:
    symmetric, ed25519 = flight.estate.nasty.knows["Hook"][:2], flight.estate.slate.planted
    request = next(each for each in flight.estate.nasty.seen if each.name == "Hook" and each.method == "POST")
    for secret in symmetric:
        Webhook(secret).verify(request.body, dict(request.headers))
    named = [request.headers[f"webhook-{each}"].encode() for each in ("id", "timestamp")]
    signed = b".".join([*named, request.body])
    for number in (3, 4):
        private = Ed25519PrivateKey.from_private_bytes(ed25519[f"signing secret {number}"][:32].encode())
        assert "v1a," + b64encode(private.sign(signed)).decode() in request.headers["webhook-signature"]


def test_the_platforms_words_are_kept_all_the_same(flight: Flight) -> None:
    """What hides everything would hide every secret, too."""
    assert flight.heard["outbox.audit"].count("***") > 50
    assert "the platform does not accept this record" in flight.heard["failures"]
