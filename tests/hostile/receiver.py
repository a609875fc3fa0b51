"""A receiver on a raw socket that does what no server should: the answers that a transport must survive.

A *behaviour* is a function of a :class:`Peer`, called once per connection. Requests are counted as they arrive
in full, so a test can say how often something would have been applied.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Received:
    """One request that arrived in full, body included."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """The receiver's side of one connection."""

    sock: socket.socket
    hostile: Hostile
    number: int
    _rest: bytearray = field(default_factory=bytearray)

    def read_request(self) -> Received | None:
        """The next whole request, noted in ``hostile.requests``; None when the sender went away."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, rest = bytes(self._rest).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        self._rest = bytearray(rest)
        while len(self._rest) < length:
            if not self._more():
                return None
        body, self._rest = bytes(self._rest[:length]), self._rest[length:]
        method, target, _ = lines[0].split(" ", 2)
        received = Received(method, target, headers, body)
        self.hostile.requests.append(received)
        return received

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, every_seconds: float = 0.05) -> None:
        for index in range(len(data)):
            self.send(data[index : index + 1])
            if self.hostile.stopping.wait(every_seconds):
                return

    def hold(self) -> None:
        """Neither answer nor close, until the sender does or the test ends."""
        self.sock.settimeout(0.05)
        while not self.hostile.stopping.is_set():
            with suppress(TimeoutError):
                if not self.sock.recv(65536):
                    return

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self._rest += data
        return bool(data)


Behaviour: TypeAlias = Callable[[Peer], None]


class Hostile:
    """The receiver itself, on a free port of the loopback address."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._behaviour = behaviour
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def wait_for(self, condition: Callable[[Hostile], bool], seconds: float = 5) -> None:
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, "the hostile receiver did not see what the test waits for"
            self.stopping.wait(0.005)

    def serve(self) -> None:
        while not self.stopping.is_set():
            with suppress(TimeoutError):
                sock, _ = self._listener.accept()
                self.connections += 1
                sock.settimeout(20)
                self._sockets.append(sock)
                thread = threading.Thread(target=self._talk, args=(sock, self.connections))
                self._threads.append(thread)
                thread.start()

    def _talk(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError, ValueError):
            if self._tls is not None:
                sock = self._shake_hands(sock, self._tls)
            self._behaviour(Peer(sock, self, number))
        with suppress(OSError):
            sock.close()

    def _shake_hands(self, sock: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        wrapped = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._sockets.append(wrapped)
        try:
            wrapped.do_handshake()
        except ssl.SSLError:
            while socket.socket.recv(wrapped, 65536):  # closing with unread bytes would turn our alert into a reset
                pass
            raise
        return wrapped

    def stop(self) -> None:
        self.stopping.set()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()


@contextmanager
def hostile(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """Run a hostile receiver for the length of a ``with`` block."""
    receiver = Hostile(behaviour, tls)
    thread = threading.Thread(target=receiver.serve)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stopping.set()
        thread.join(5)
        receiver.stop()
