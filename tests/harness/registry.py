"""A registry with one calendar that nobody of us wrote: what its table says must be shown, whatever fails over."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import simplejson

from cdc import migrate
from cdc.config import load
from outbox import capture, db
from tests.chaos.calendars import CALENDAR, PASSWORD, USER, RadicaleReceiver
from tests.harness.premises import ACCEPTED, RUN, until
from tests.servers import free_port

_TABLE = "CREATE TABLE public.hearing (id bigint PRIMARY KEY, title text NOT NULL, status text NOT NULL DEFAULT 'on')"


@dataclass
class Registry:
    """The application's database at ``dsn``, the config in ``folder``, and the calendar."""

    dsn: str
    folder: Path
    calendar: RadicaleReceiver

    @property
    def path(self) -> Path:
        return self.folder / "sync-config.yml"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    def configure(self, dsn: str | None = None, **daemon: Any) -> None:
        """Writes the config; ``dsn``: the database is elsewhere from now on."""
        self.dsn = dsn or self.dsn
        settings = {
            "version": 1,
            "database": {"dsn": self.dsn},
            "capture": {"hearing": {"table": "public.hearing"}},
            "connectors": {
                "Diary": {
                    "kind": "caldav",
                    "url": f"http://127.0.0.1:{self.calendar.address[1]}/{USER}/{CALENDAR}/",
                    "auth": {"basic": {"username": USER, "password": "${file:password}"}},
                    "allow_addresses": ["127.0.0.0/8"],
                    "deadline": "2s",
                    "concurrency": 2,
                    "options": {"quiet": "500ms"},
                    "accept_unverified": ACCEPTED,
                    "retry": {"base": "50ms", "max": "500ms"},
                    "routes": {"hearing": {"mapping": "event", "where": "status == 'on'"}},
                }
            },
            "mappings": {
                "event": {
                    "output": "icalendar",
                    "icalendar": {"zone": "UTC"},
                    "fields": {
                        "uid": {"template": "hearing-{id}@registry.example"},
                        "summary": {"template": "{id}: {title}"},
                        "dtstart": {"const": "2026-11-23T09:00:00+00:00"},
                        "dtend": {"const": "2026-11-23T10:00:00+00:00"},
                    },
                }
            },
            "daemon": {"lease": "6s", "soft_deadline": "200ms", **daemon},
            "web": {"listen": f"127.0.0.1:{free_port()}"},
        }
        (self.folder / "secrets").mkdir(mode=0o700, exist_ok=True)
        secret = self.folder / "secrets" / "password"
        secret.touch(mode=0o600)
        secret.write_text(PASSWORD)
        self.path.write_text(simplejson.dumps(settings))

    def prepare(self) -> None:
        """Schema, table and capture."""
        self.configure()
        migrate.upgrade(self.dsn)
        with db.connect(self.dsn, name="registry") as connection:
            connection.execute(_TABLE)
            capture.apply(connection, capture.plan(connection, load(self.path).captures()))

    def execute(self, *statements: str) -> list[dict[str, Any]]:
        """Statements of the application, each committed at once; the rows of the last one."""
        with db.connect(self.dsn, name="registry app") as connection:
            for statement in statements:
                done = connection.execute(statement)
            return list(done.fetchall()) if done.description else []

    def start(self) -> subprocess.Popen[bytes]:
        """`hms-sync run` as a process."""
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-c", RUN, "-c", str(self.path), "run"], stdout=subprocess.DEVNULL, stderr=log
            )

    def refused(self, process: subprocess.Popen[bytes] | None = None) -> str:
        """The daemon ends by itself with exit code 1 and one sentence, which is returned."""
        ended = process or self.start()
        assert ended.wait(60) == 1, self.log.read_text()
        said = [line for line in self.log.read_text().splitlines() if line.startswith("hms-sync: ")]
        assert len(said) == 1, self.log.read_text()
        return said[0]

    def settled(self) -> None:
        """Waits until no change is open."""
        until(lambda: not self._open(), lambda: (self._open(), self.log.read_text()[-3000:]), 60)

    def _open(self) -> list[dict[str, Any]]:
        return self.execute(
            "SELECT c.id FROM outbox.change c WHERE NOT EXISTS (SELECT FROM outbox.audit a WHERE a.change_id = c.id"
            " AND a.outcome IN ('applied', 'filtered', 'superseded')) LIMIT 5"
        )

    def command(self, *words: str) -> tuple[int, Any]:
        """`hms-sync … --json` as a process: exit code and answer."""
        done = subprocess.run(
            [sys.executable, "-c", RUN, "-c", str(self.path), "--json", *words], capture_output=True, check=False
        )
        return done.returncode, simplejson.loads(done.stdout)

    def rows(self) -> set[str]:
        """What the table says shall be shown."""
        return {
            row["shown"]
            for row in self.execute("SELECT id || ': ' || title AS shown FROM public.hearing WHERE status = 'on'")
        }

    def shown(self) -> set[str]:
        """What the calendar shows, read from its storage."""
        texts = [file.read_text() for file in self.folder.glob(f"calendar/storage/**/{CALENDAR}/*.ics")]
        return {match[1].strip() for text in texts for match in re.finditer(r"SUMMARY:(.*)", text)}

    def keys(self) -> Sequence[str]:
        """The key of every write that the calendar accepted, in order."""
        return [effect.key for effect in self.calendar.effects() if effect.key]


@contextmanager
def running(office: Registry) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon that ends in the block, or after it."""
    process = office.start()
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
