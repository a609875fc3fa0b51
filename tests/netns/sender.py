"""Sends one request per line of stdin over a transport of its own, and tells how it ended.

With ``names``, a name server answers here: it gives each name's addresses in turn, one per question.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from contextlib import closing
from ipaddress import ip_network
from itertools import cycle
from typing import Any

from connectors.channel import Channel
from connectors.exchange import HttpRequest, HttpResponse
from connectors.transports import open_transport
from tests.wire import ends

_HEADER = 12


def main() -> None:
    if len(sys.argv) > 1:
        _serve_names(json.loads(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(_send(**json.loads(line))), flush=True)


def _send(kind: str, url: str, bind: str | None = None, allow: tuple[str, ...] = ("10.0.0.0/8",)) -> dict[str, Any]:
    channel = Channel(allow_addresses=tuple(ip_network(each) for each in allow), bind=bind, connect_timeout_seconds=1)
    with closing(open_transport(kind, channel, 1)) as transport:
        transport.start("t", HttpRequest("PUT", url, {}, b"{}"), 10)
        result = ends(transport)[1]
    if isinstance(result, HttpResponse):
        return {"status": result.status, "seen": result.body.decode()}
    return {"class": result.error_class, "sent": result.sent, "reason": result.reason}


def _serve_names(names: dict[str, list[str]]) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    turns = {name: cycle(addresses) for name, addresses in names.items()}

    def serve() -> None:
        while True:
            question, client = server.recvfrom(512)
            server.sendto(_answer(question, turns), client)

    threading.Thread(target=serve, daemon=True).start()


def _answer(question: bytes, turns: dict[str, Any]) -> bytes:
    """One A record with a life of zero; nothing for other types."""
    end = question.index(b"\0", _HEADER) + 5
    labels, at = [], _HEADER
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += question[at] + 1
    is_a = question[end - 4 : end - 2] == b"\0\1"
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(next(turns[".".join(labels)])) if is_a else b""
    counts = b"\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
    return question[:2] + b"\x81\x80" + counts + question[_HEADER:end] + answer


if __name__ == "__main__":
    main()
