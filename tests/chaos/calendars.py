"""Radicale, a calendar server that we did not write, keeping its own history of every change of its storage.

Its storage hook runs under the server's write lock after each request that may write; the file's inode and time
tell an accepted write from a refused one, our stamp in the file tells which delivery wrote it.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cdc.demo.expected import Objects
from cdc.demo.platforms.calendars import CalendarClient, events
from cdc.demo.servers import ServerProcess, launch, wait_until
from tests.chaos.effects import Effect

USER, PASSWORD, CALENDAR = "hms", "chaos", "hearings"
_CONFIG = """[server]
hosts = 127.0.0.1:{port}
max_connections = 64
[auth]
type = htpasswd
htpasswd_filename = {folder}/users
htpasswd_encryption = plain
[rights]
type = owner_only
[storage]
filesystem_folder = {folder}/storage
hook = sh {folder}/hook.sh %(path)s {folder}/history
[logging]
level = warning
"""
_HOOK = """case "$1" in *.ics) ;; *) exit 0 ;; esac
version=$(stat -c '%i %y' "$1" 2>/dev/null) key=
[ -z "$version" ] || while read -r line; do case "$line" in X-HMS-SYNC-KEY:*) key=${line%?} ;; esac; done < "$1"
printf '%s\\t%s\\t%s\\n' "${1##*/}" "$version" "$key" >> "$2"
"""
_KEY = re.compile(r"X-HMS-SYNC-KEY:([0-9a-f-]{36})")


class RadicaleReceiver:
    """The running server as its storage sees it."""

    def __init__(self, server: ServerProcess, client: CalendarClient, port: int, history: Path) -> None:
        self.server = server
        self.struck: Counter[str] = Counter()
        self.address = ("127.0.0.1", port)
        self._client = client
        self._history = history

    def effects(self) -> Sequence[Effect]:
        return list(read_history(self._history.read_text().splitlines() if self._history.exists() else []))

    def holds(self) -> Objects | None:
        return events(self._client.objects(CALENDAR))

    def complaints(self) -> Sequence[str]:
        return []

    def heal(self) -> None:
        """It has no moods."""


def read_history(lines: Sequence[str]) -> Iterator[Effect]:
    """The writes that changed a file, by what the file was before."""
    last: dict[str, str] = {}
    for line in lines:
        name, version, stamp = line.split("\t")
        if version == last.get(name, ""):
            continue  # the write was refused: the file is what it was
        last[name] = version
        key = _KEY.search(stamp)
        yield Effect(name, key[1] if key else None, removes=not version)


@contextmanager
def radicale_receiver(folder: Path) -> Iterator[RadicaleReceiver]:
    """Radicale with one empty calendar below ``folder`` for the length of a ``with`` block."""
    folder.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "users").write_text(f"{USER}:{PASSWORD}\n")
    (folder / "hook.sh").write_text(_HOOK)
    (folder / "config").write_text(_CONFIG.format(port=port, folder=folder))
    client = CalendarClient(f"http://127.0.0.1:{port}/{USER}/", USER, PASSWORD)
    module = ["radicale", "--config", str(folder / "config")]
    with launch("radicale", module, directory=folder, environment={}) as server:
        wait_until(server, client.is_up)
        client.make_calendar(CALENDAR)
        yield RadicaleReceiver(server, client, port, folder / "history")
