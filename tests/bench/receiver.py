"""``python -m tests.bench.receiver PORT MILLISECONDS``: answers each POST after so long, and knows when it came.

nginx is the receiver where only speed counts; this one is for what nginx cannot do: wait, and tell when what arrived.
``GET /`` gives the arrivals as a list of [seconds since 1970, body].
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

_CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
_arrivals: list[tuple[float, str]] = []


class Answering(asyncio.Protocol):
    """One connection: requests one after the other, each with its Content-Length."""

    delay_seconds = 0.0
    transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end])
            size = _content_length(head)
            if len(self._buffer) < end + 4 + size:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + size])
            del self._buffer[: end + 4 + size]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            listing = json.dumps(_arrivals).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(listing), listing))
            return
        _arrivals.append((time.time(), body.decode()))
        if self.delay_seconds:
            asyncio.get_running_loop().call_later(self.delay_seconds, self.transport.write, _CREATED)
        else:
            self.transport.write(_CREATED)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    Answering.delay_seconds = float(sys.argv[2]) / 1000
    asyncio.run(_serve(int(sys.argv[1])))
