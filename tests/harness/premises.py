"""A small registry office: its tables, its platforms as processes that can be stopped and started, its daemon.

Everything is real: PostgreSQL, the scheduling API, Radicale, and `hms-sync run` as a process or a ``Daemon`` here.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import requests
import simplejson

from cdc.config import Config, load
from cdc.daemon import Daemon
from cdc.demo.platforms.calendars import CalendarClient, start_radicale
from cdc.demo.platforms.scheduler import SchedulerClient, start_scheduler
from cdc.demo.servers import ServerProcess, launch, wait_until
from outbox import capture, db
from outbox.model import Json
from tests.servers import free_port

TABLES = """
CREATE TABLE public.hearing (
    id bigint PRIMARY KEY, title text NOT NULL DEFAULT 'Hearing', status text NOT NULL DEFAULT 'scheduled', note text
);
CREATE TABLE public.shift (
    unit text, day date, no smallint, remarks text NOT NULL DEFAULT 'Shift', PRIMARY KEY (unit, day, no)
);
"""
RUN = "import sys; from cdc.cli import main; sys.exit(main())"
SETTLED_OUTCOMES = ("applied", "filtered", "superseded", "dropped", "replayed")


def until(condition: Callable[[], Any], what: Callable[[], object] = lambda: "", seconds: float = 30.0) -> float:
    """Waits for ``condition``; returns the seconds it took, fails with ``what()`` after ``seconds``."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what()}"
        time.sleep(0.02)
    return time.monotonic() - began


@dataclass
class Board:
    """The scheduling API on a port of its own; forgets everything when it stops."""

    folder: Path
    client: SchedulerClient
    server: ServerProcess

    @classmethod
    def opened(cls, folder: Path) -> Board:
        started = start_scheduler(folder)
        return cls(folder, started.client, started.server)

    def stop(self) -> None:
        self.server.stop()

    def start(self, token: str | None = None) -> None:
        """The server again, on its old port; ``token``: it accepts this one from now on."""
        self.client = SchedulerClient(self.client.url, token or self.client.token)
        port = self.client.url.rsplit(":", 1)[1]
        environment = {"SCHEDULER_TOKEN": self.client.token}
        command = ["cdc.demo.scheduler_api", "--port", port]
        self.server = launch("scheduler", command, directory=self.folder, environment=environment)
        wait_until(self.server, self.client.is_up)

    def hearings(self) -> dict[str, Any]:
        return self.client.objects("hearings")

    def shifts(self) -> dict[str, Any]:
        return self.client.objects("features")


@dataclass
class Diary:
    """Radicale with one calendar; keeps its files when it stops."""

    folder: Path
    client: CalendarClient
    server: ServerProcess

    @classmethod
    def opened(cls, folder: Path) -> Diary:
        started = start_radicale(folder)
        started.client.make_calendar("hearings")
        return cls(folder, started.client, started.server)

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        command = ["radicale", "--config", str(self.folder / "radicale.conf")]
        self.server = launch("radicale", command, directory=self.folder, environment={})
        wait_until(self.server, self.client.is_up)

    def titles(self) -> set[str]:
        texts = self.client.objects("hearings").values()
        return {line[8:] for text in texts for line in text.splitlines() if line.startswith("SUMMARY:")}


ACCEPTED = "a test of something else than verdicts"


def settings_for(dsn: str, board: Board, diary: Diary | None = None) -> dict[str, Any]:
    """The config as plain data; a test changes it and calls :meth:`Office.save`."""
    common = {"allow_addresses": ["127.0.0.0/8"], "deadline": "2s", "retry": {"base": "50ms", "max": "500ms"}}
    to_board = {**common, "url": board.client.url, "auth": {"bearer": "${file:token}"}}
    connectors: dict[str, Any] = {
        "Board": {"kind": "scheduler", **to_board, "routes": {"hearing": {"mapping": "for_board"}}},
        "Plan": {
            "kind": "http",
            **to_board,
            "options": {
                "create": {"method": "PUT", "path": "/features/{id}"},
                "delete": {"method": "DELETE", "path": "/features/{id}"},
            },
            "routes": {"shift": {"mapping": "for_plan"}},
        },
    }
    if diary is not None:
        connectors["Diary"] = {
            "kind": "caldav",
            **common,
            "url": f"{diary.client.url}hearings/",
            "auth": {"basic": {"username": diary.client.username, "password": "${file:password}"}},
            "concurrency": 1,
            "options": {"quiet": "500ms"},
            "accept_unverified": ACCEPTED,
            "routes": {"hearing": {"mapping": "for_diary", "where": "status == 'scheduled'"}},
        }
    return {
        "version": 1,
        "database": {"dsn": dsn},
        "capture": {
            "hearing": {"table": "public.hearing", "max_bytes": "1KiB"},
            "shift": {"table": "public.shift"},
        },
        "connectors": connectors,
        "mappings": {k: v for k, v in deepcopy(MAPPINGS).items() if diary is not None or k != "for_diary"},
        "daemon": {"lease": "6s", "soft_deadline": "200ms"},
        "web": {"listen": f"127.0.0.1:{free_port()}"},
    }


MAPPINGS: dict[str, Any] = {
    "for_board": {
        "output": "json",
        "fields": {
            "id": "id",
            "case_number": {"template": "AB-{id}"},
            "title": "title",
            "starts_at": {"const": "2026-11-23T09:00"},
            "ends_at": {"const": "2026-11-23T10:00"},
            "room": {"const": "A101"},
            "status": {"from": "status", "map": {"scheduled": "confirmed", "cancelled": "cancelled"}},
            "note": {"from": "note", "null": "omit"},
        },
    },
    "for_diary": {
        "output": "icalendar",
        "icalendar": {"zone": "Europe/Brussels"},
        "fields": {
            "uid": {"template": "hearing-{id}@office.example"},
            "summary": "title",
            "dtstart": {"const": "2026-11-23T09:00:00+00:00"},
            "dtend": {"const": "2026-11-23T10:00:00+00:00"},
        },
    },
    "for_plan": {
        "output": "json",
        "fields": {
            "id": {"template": "{unit}.{day}.{no}"},
            "kind": {"const": "shift"},
            "name": "remarks",
            "geometry": {"const": "none"},
        },
    },
}


@dataclass
class Office:
    """The database, the config beside its secrets, and the questions that tests ask."""

    dsn: str
    folder: Path
    board: Board
    diary: Diary | None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = self.settings or settings_for(self.dsn, self.board, self.diary)
        (self.folder / "secrets").mkdir(mode=0o700, exist_ok=True)
        self.secret("token", self.board.client.token)
        if self.diary is not None:
            self.secret("password", self.diary.client.password)
        self.save()

    @property
    def path(self) -> Path:
        return self.folder / "sync-config.yml"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    @property
    def config(self) -> Config:
        return load(self.path)

    def secret(self, name: str, value: str) -> None:
        file = self.folder / "secrets" / name
        file.touch(mode=0o600)
        file.write_text(value)

    def save(self) -> None:
        """Writes the settings to the config file (JSON is YAML)."""
        self.path.write_text(simplejson.dumps(self.settings, indent=1))

    def prepare(self) -> None:
        """The tables, and the capture on them."""
        with db.connect(self.dsn, name="test office") as connection:
            connection.execute(TABLES)
            capture.apply(connection, capture.plan(connection, self.config.captures()))

    # ------------------------------------------------------------ the application and what became of its changes

    def execute(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """One statement of the application (or a look at the ledger), committed at once."""
        with db.connect(self.dsn, name="office app") as connection:
            done = connection.execute(statement, parameters)
            return done.fetchall() if done.description else []

    def file(self, *ids: int, title: str = "Hearing", status: str = "scheduled") -> None:
        for number in ids:
            self.execute("INSERT INTO public.hearing (id, title, status) VALUES (%s, %s, %s)", number, title, status)

    def open_changes(self, connector: str = "Board") -> list[int]:
        """Changes of hearings (shifts for Plan) that are neither settled nor dead."""
        record_type = "shift" if connector == "Plan" else "hearing"
        rows = self.execute(
            """SELECT c.id FROM outbox.change c WHERE c.record_type = %s AND (c.connector IS NULL OR c.connector = %s)
               AND NOT EXISTS (SELECT FROM outbox.audit a WHERE a.connector = %s AND a.change_id = c.id
                                AND a.outcome = ANY (%s))
               AND NOT EXISTS (SELECT FROM outbox.delivery d WHERE d.connector = %s AND d.change_id = c.id
                                AND d.state = 'dead')""",
            record_type,
            connector,
            connector,
            list(SETTLED_OUTCOMES),
            connector,
        )
        return [row["id"] for row in rows]

    def settled(self, *connectors: str, seconds: float = 30.0) -> float:
        """Waits until nothing is open at the connectors (default: all); returns the seconds it took."""
        names = connectors or tuple(self.settings["connectors"])

        def none_open() -> bool:
            return not any(self.open_changes(name) for name in names)

        return until(none_open, self.report, seconds)

    def deliveries(self, connector: str = "Board") -> list[dict[str, Any]]:
        return self.execute("SELECT * FROM outbox.delivery WHERE connector = %s ORDER BY change_id", connector)

    def outcomes(self, connector: str = "Board") -> list[str]:
        rows = self.execute("SELECT outcome FROM outbox.audit WHERE connector = %s ORDER BY id", connector)
        return [row["outcome"] for row in rows]

    def owned(self) -> int:
        """Lanes that somebody owns."""
        return int(self.execute("SELECT count(owner) AS n FROM outbox.lane")[0]["n"])

    def paused(self, connector: str = "Board") -> str | None:
        rows = self.execute("SELECT paused_reason FROM outbox.connector WHERE name = %s", connector)
        return rows[0]["paused_reason"] if rows else None

    def report(self) -> str:
        """What a person would want to see of a test that failed."""
        open_now = self.execute("SELECT connector, change_id, state, last_error, due_at FROM outbox.delivery")
        log = self.log.read_text()[-3000:] if self.log.exists() else ""
        return f"{open_now}\n{log}"

    # ------------------------------------------------------------ the daemon

    def probe(self, page: str = "readyz", *, pages: str | None = None) -> tuple[int, Json]:
        """Status and body of one of the daemon's pages; 0 when nobody answers."""
        try:
            answer = requests.get(f"http://{pages or self.settings['web']['listen']}/{page}", timeout=5)
        except requests.ConnectionError:
            return 0, None
        return answer.status_code, answer.json()

    @property
    def ready(self) -> bool:
        return self.probe()[0] == 200

    def start(self, path: Path | None = None) -> subprocess.Popen[bytes]:
        """`hms-sync run` as a process, its log in the folder."""
        command = [sys.executable, "-c", RUN, "-c", str(path or self.path), "run"]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)

    @contextmanager
    def running(self, path: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """A daemon process that is ready; asked to end after the block, unless it has ended well before."""
        pages = load(path or self.path).web.listen
        process = self.start(path)
        try:
            until(lambda: process.poll() is not None or self.probe(pages=pages)[0] == 200, self.report)
            assert process.poll() is None, self.report()
            yield process
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, self.report()
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def served(self) -> Iterator[Daemon]:
        """A daemon in this process."""
        daemon = Daemon(self.config, self.dsn)
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.stop()


@contextmanager
def opened(dsn: str, folder: Path, *, diary: bool = False) -> Iterator[Office]:
    """An office on a migrated database, with its platforms running."""
    board = Board.opened(folder)
    calendar = None
    try:
        calendar = Diary.opened(folder) if diary else None
        office = Office(dsn, folder, board, calendar)
        office.prepare()
        yield office
    finally:
        board.stop()
        if calendar is not None:
            calendar.stop()


def connections(dsn: str, like: str = "hms-sync%") -> list[str]:
    """The names of the sessions in the database that match."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE %s",
            [like],
        ).fetchall()
    return sorted(name for (name,) in rows)
