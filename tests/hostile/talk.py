"""What a hostile receiver may do with a connection: the pieces of which behaviours are made."""

from __future__ import annotations

import gzip

from tests.hostile.receiver import Behaviour, Peer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answers(*answer: bytes) -> Behaviour:
    """Answer each request with the next of these bytes (the last one for ever), keep-alive."""

    def behave(peer: Peer) -> None:
        while peer.read_request():
            served = len(peer.hostile.requests)
            peer.send(answer[min(served, len(answer)) - 1])

    return behave


def answers_then_closes(answer: bytes) -> Behaviour:
    """Send these bytes and close, whatever they announced."""

    def behave(peer: Peer) -> None:
        if peer.read_request():
            peer.send(answer)

    return behave


def drips(head: bytes, dripped: bytes) -> Behaviour:
    """Send ``head`` at once and the rest byte by byte, for ever."""

    def behave(peer: Peer) -> None:
        if peer.read_request():
            peer.send(head)
            while not peer.hostile.stopping.is_set():
                peer.drip(dripped)

    return behave


def floods(head: bytes, chunk: bytes, chunks: int) -> Behaviour:
    """Send ``head``, then the same chunk many times, as fast as the sender reads."""

    def behave(peer: Peer) -> None:
        if peer.read_request():
            peer.send(head)
            for _ in range(chunks):
                peer.send(chunk)

    return behave


def hangs_after(answer: bytes) -> Behaviour:
    """Send these bytes and then nothing more, on a connection that stays open."""

    def behave(peer: Peer) -> None:
        if peer.read_request():
            peer.send(answer)
            peer.hold()

    return behave


def slices(answer: bytes) -> Behaviour:
    """Answer properly, one byte at a time."""

    def behave(peer: Peer) -> None:
        while peer.read_request():
            peer.drip(answer, every_seconds=0.001)

    return behave


def strays(stray: bytes, answer: bytes) -> Behaviour:
    """Answer the first request properly and leave a second answer on its connection; all others get ``answer``."""

    def behave(peer: Peer) -> None:
        while peer.read_request():
            peer.send(OK + stray if len(peer.hostile.requests) == 1 else answer)

    return behave


def interrupts(answer: bytes) -> Behaviour:
    """Answer when the headers are there, and close with the body unread."""

    def behave(peer: Peer) -> None:
        peer.sock.recv(1024)
        peer.send(answer)

    return behave


def silent(peer: Peer) -> None:
    """Take the request and say nothing."""
    peer.read_request()
    peer.hold()


def closes(peer: Peer) -> None:
    """Accept the connection and close it."""


def frozen(peer: Peer) -> None:
    """Accept the connection and read nothing of it."""
    peer.hostile.stopping.wait(3)


def deaf(peer: Peer) -> None:
    """Accept the connection and neither read nor say anything (a TLS handshake hangs as well)."""
    peer.hold()


def resets(peer: Peer) -> None:
    """Take the request and reset the connection."""
    peer.read_request()
    peer.reset()


def applies_and_closes_on_reuse(peer: Peer) -> None:
    """Answer the first request of a connection properly, take the second one and close without a word."""
    if peer.read_request():
        peer.send(OK)
        peer.read_request()


def gzip_bomb(megabytes: int) -> bytes:
    body = gzip.compress(b"\0" * megabytes * 1_048_576)
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
