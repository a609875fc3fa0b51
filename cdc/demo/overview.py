"""The demo's page: what each platform holds at this moment, asked of the platforms, beside what the ledger counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from cdc.demo.board import ConnectorCount, count
from cdc.demo.cast import Platforms
from cdc.demo.pages import POLICY, page
from cdc.demo.platforms.platform import Platform
from outbox import db
from outbox.model import HmsSyncError

_COLUMNS = ("applied", "filtered", "waiting", "dead")


def render(dsn: str, platforms: Platforms) -> str:
    """The page at this moment."""
    with db.connect(dsn, name="hms-sync demo page") as connection:
        counts = count(connection)
    told = f"<p>{counts.captured} changes captured · {counts.audit_entries} audited · this page reloads itself</p>"
    cards = "\n".join(_card(one.client) for one in platforms)
    return page("hms-sync demo", f'{told}{_connectors(counts.connectors)}<div class="cards">{cards}</div>')


def _connectors(connectors: Iterable[ConnectorCount]) -> str:
    head = "".join(f'<th class="number">{name.capitalize()}</th>' for name in _COLUMNS)
    rows = "\n".join(map(_row, connectors))
    return f"<table>\n<thead><tr><th>Connector</th>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _row(one: ConnectorCount) -> str:
    numbers = (one.applied, one.settled - one.applied, one.waiting, one.dead)
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f"<tr><td>{escape(one.name)}</td>{cells}</tr>"


def _card(client: Platform) -> str:
    try:
        body = client.card()
    except HmsSyncError as silent:
        body = f"<p>{escape(str(silent))}</p>"
    return (
        f'<section><h2><a href="{escape(client.home)}">{escape(client.title)}</a></h2>'
        f"<p>{escape(client.about)}</p>{body}</section>"
    )


class Overview:
    """Serves the page on a free port, from ``start`` to ``stop``."""

    def __init__(self, dsn: str, platforms: Platforms) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.render = lambda: render(dsn, platforms)
        self._thread = threading.Thread(target=self._server.serve_forever, name="demo page", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    render: Callable[[], str]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/":
            self.send_error(404)
            return
        body = cast("_Server", self.server).render().encode()
        self.send_response(200)
        for name, value in (("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body))), POLICY):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent: the terminal is for the picture."""
