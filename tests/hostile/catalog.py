"""Everything that a receiver may do wrong, by name, with the outcome that a correct sender must reach.

The outcomes follow docs/guarantees.md: complete headers with 2xx are "applied" whatever becomes of the body; what was
not even begun is "not applied"; a clear no is "rejected"; all else is "unknown". Where the bytes contradict each other
a sender may believe the status or not, so two outcomes are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tests.hostile.receiver import Behaviour, Peer
from tests.hostile.talk import (
    OK,
    answers,
    answers_then_closes,
    applies_and_closes_on_reuse,
    closes,
    deaf,
    drips,
    floods,
    frozen,
    gzip_bomb,
    hangs_after,
    interrupts,
    resets,
    silent,
    slices,
    strays,
)

APPLIED, NOT_APPLIED, REJECTED, UNKNOWN = "applied", "not_applied", "rejected", "unknown"
DECOY = "{decoy}"
"""Stands for the address of another server, which must never hear from us."""
Build: TypeAlias = Callable[[str], Behaviour]


@dataclass(frozen=True, slots=True)
class Hostility:
    """One behaviour. ``tls`` names the certificate of a receiver that speaks TLS.

    ``honest``: so many deliveries are answered properly before the one that is judged. ``waits``: the sender has to
    wait until its deadline, or nearly so.
    """

    name: str
    right: frozenset[str]
    build: Build
    tls: str | None = None
    honest: int = 0
    waits: bool = False
    body: bytes = b'{"id":42}'


def _head(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def _whole(status: str, *headers: str, body: bytes = b"no") -> bytes:
    return _head(status, *headers, f"Content-Length: {len(body)}") + body


def _one(name: str, right: str, behaviour: Behaviour, **more: object) -> Hostility:
    return Hostility(name, frozenset(right.split(" or ")), lambda _decoy: behaviour, **more)  # type: ignore[arg-type]


def _says(name: str, right: str, answer: bytes) -> Hostility:
    """An answer on a connection that stays open."""
    return _one(name, right, answers(answer))


def _cuts(name: str, right: str, answer: bytes) -> Hostility:
    """An answer, and then the connection is closed."""
    return _one(name, right, answers_then_closes(answer))


def _redirects(status: int, name: str, location: str) -> Hostility:
    def build(decoy: str) -> Behaviour:
        return answers(_whole(f"{status} Elsewhere", f"Location: {location.replace(DECOY, decoy)}"))

    return Hostility(name, frozenset({REJECTED}), build)


def _statuses() -> Iterator[Hostility]:
    yield _says("honest", APPLIED, OK)
    yield _says("500 before the effect", UNKNOWN, _whole("500 Internal Server Error"))
    yield _says("500 after the effect", UNKNOWN, _whole("500 Internal Server Error", body=b'{"id":42}'))
    yield _says("502", UNKNOWN, _whole("502 Bad Gateway"))
    yield _says("504", UNKNOWN, _whole("504 Gateway Timeout"))
    yield _says("503", UNKNOWN, _whole("503 Service Unavailable"))
    yield _says("503 with Retry-After", UNKNOWN, _whole("503 Service Unavailable", "Retry-After: 7"))
    yield _says("429", NOT_APPLIED, _whole("429 Too Many Requests"))
    yield _says("429 with Retry-After", NOT_APPLIED, _whole("429 Too Many Requests", "Retry-After: 7"))
    for said in ("999999999999999999999", "-1", "soon", "Fri, 31 Dec 9999 23:59:59 GMT", "1e400", "\xb2"):
        yield _says(f"429 with Retry-After {said!r}", NOT_APPLIED, _whole("429 No", f"Retry-After: {said}"))
    for status in (304, 400, 401, 403, 404, 405, 409, 412, 413, 422):
        yield _says(f"{status}", REJECTED, _whole(f"{status} No"))
    yield _says("408", UNKNOWN, _whole("408 Request Timeout"))
    yield _says("999", UNKNOWN, _whole("999 What"))
    yield _says("101 unasked", UNKNOWN, _head("101 Switching Protocols", "Upgrade: chess", "Connection: Upgrade"))


def _redirections() -> Iterator[Hostility]:
    for status in (301, 302, 303, 307, 308):
        yield _redirects(status, f"{status} to another host", f"{DECOY}/taken")
    yield _redirects(302, "302 in a loop", "/h")
    yield _redirects(302, "302 to a file", "file:///etc/passwd")
    yield _redirects(307, "307 to the metadata service", "http://169.254.169.254/latest/meta-data/")
    yield _redirects(302, "302 to nowhere", "")


def _slow_ones() -> Iterator[Hostility]:
    ok, length = "200 OK", "Content-Length: 9000"
    yield _one("hangs before the headers", UNKNOWN, silent, waits=True)
    yield _one("hangs in the headers", UNKNOWN, hangs_after(b"HTTP/1.1 200 OK\r\nContent-Le"), waits=True)
    yield _one("hangs in the body", APPLIED, hangs_after(_head(ok, length) + b"half"), waits=True)
    yield _one("hangs in the body of a 500", UNKNOWN, hangs_after(_head("500 No", length) + b"half"), waits=True)
    yield _one("never reads", UNKNOWN, frozen, waits=True, body=b"x" * 8_000_000)
    yield _one("drips headers", UNKNOWN, drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), waits=True)
    yield _one("drips the body", APPLIED, drips(_head(ok, length), b"x"), waits=True)
    yield _one("drips chunks", APPLIED, drips(_head(ok, "Transfer-Encoding: chunked"), b"1\r\nx\r\n"), waits=True)
    yield _one("drips 1xx", UNKNOWN, drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), waits=True)
    yield _one("answers byte by byte", APPLIED, slices(OK))


def _lengths() -> Iterator[Hostility]:
    ok = "200 OK"
    yield _cuts("half a status line", UNKNOWN, b"HTTP/1.1 200")
    yield _cuts("half the headers", UNKNOWN, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
    yield _cuts("half the body", APPLIED, _head(ok, "Content-Length: 9") + b"half")
    yield _cuts("more announced than sent", APPLIED, _head(ok, "Content-Length: 999999999999") + b"ok")
    yield _says("more sent than announced", APPLIED, _head(ok, "Content-Length: 2") + b"ok and more")
    yield _cuts("no length", APPLIED, _head(ok) + b"until the end")
    yield _cuts("negative length", f"{APPLIED} or {UNKNOWN}", _head(ok, "Content-Length: -1") + b"ok")
    yield _cuts("length that is no number", f"{APPLIED} or {UNKNOWN}", _head(ok, "Content-Length: two") + b"ok")
    twice = _head(ok, "Content-Length: 2", "Content-Length: 7") + b"ok"
    yield _cuts("two lengths", f"{APPLIED} or {UNKNOWN}", twice)
    both = _head(ok, "Content-Length: 2", "Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n"
    yield _cuts("length and chunks", f"{APPLIED} or {UNKNOWN}", both)
    yield _cuts("chunked nonsense", APPLIED, _head(ok, "Transfer-Encoding: chunked") + b"2\r\nok\r\nzz\r\n")
    yield _cuts("chunk of 2^64 bytes", APPLIED, _head(ok, "Transfer-Encoding: chunked") + b"ffffffffffffffff\r\nok")
    yield _cuts("chunk of negative size", APPLIED, _head(ok, "Transfer-Encoding: chunked") + b"-2\r\nok\r\n")
    yield _cuts("no last chunk", APPLIED, _head(ok, "Transfer-Encoding: chunked") + b"2\r\nok\r\n")
    yield _cuts("204 with a body", APPLIED, _head("204 No Content") + b"what is this")
    yield _says("200 with an empty body", APPLIED, _whole(ok, body=b""))
    yield _says("garbage for JSON", APPLIED, _whole(ok, "Content-Type: application/json", body=b'{"id": \xff\x00['))
    yield _says("JSON a million deep", APPLIED, _whole(ok, body=b"[" * 1_000_000))


def _sizes() -> Iterator[Hostility]:
    many, giant = b"X-Header: value\r\n", b"x" * 65_536
    yield _one("100,000 headers", UNKNOWN, floods(b"HTTP/1.1 200 OK\r\n", many, 100_000))
    yield _one("a giant header", UNKNOWN, floods(b"HTTP/1.1 200 OK\r\nX-Giant: ", giant, 1_000))
    yield _one("a giant status line", UNKNOWN, floods(b"HTTP/1.1 200 ", giant, 1_000))
    yield _one("a flood of 1xx", UNKNOWN, floods(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 100_000))
    yield _says("a gzip bomb", APPLIED, gzip_bomb(50))
    head = _head("200 OK", "Content-Length: 1073741824")
    yield _one("1 GB body", APPLIED, floods(head, giant, 16_384))
    endless = _head("200 OK", "Transfer-Encoding: chunked")
    yield _one("1 GB of chunks", APPLIED, floods(endless, b"10000\r\n" + giant + b"\r\n", 16_384))
    yield _one("1 GB body of a 500", UNKNOWN, floods(_head("500 No", "Content-Length: 1073741824"), giant, 16_384))


def _grammar() -> Iterator[Hostility]:
    yield _cuts("HTTP/1.0", APPLIED, b"HTTP/1.0 200 OK\r\n\r\nok")
    yield _cuts("HTTP/0.9", UNKNOWN, b"<html>ok</html>")
    yield _cuts("another protocol", UNKNOWN, b"SSH-2.0-OpenSSH_9.2\r\n")
    yield _cuts("no status", UNKNOWN, b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok")
    yield _cuts("binary garbage", UNKNOWN, bytes(range(256)) * 4 + b"\r\n\r\n")
    yield _says("some 1xx first", APPLIED, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    double = ("ETag: a", "ETag: b", "Date: now", "Date: then", "Content-Type: a/b", "Content-Type: c/d")
    yield _says("duplicate headers", APPLIED, _whole("200 OK", *double))
    yield _says("two locations", f"{APPLIED} or {UNKNOWN}", _whole("201 OK", "Location: /1", "Location: /2"))
    yield _says("NUL in a header", f"{APPLIED} or {UNKNOWN}", _whole("200 OK", "X-A: a\0b"))
    yield _says("NUL in the body", APPLIED, _whole("200 OK", body=b"\0" * 100))
    yield _says("a header without a colon", f"{APPLIED} or {UNKNOWN}", _whole("200 OK", "no colon here"))
    yield _says("a folded header", f"{APPLIED} or {UNKNOWN}", _whole("200 OK", "X-A: a", " b"))
    yield _says("line feeds alone", f"{APPLIED} or {UNKNOWN}", OK.replace(b"\r\n", b"\n"))
    colours = b"\x1b]0;pwned\x07\x1b[2J\r\n2026-11-23 forged line"
    yield _says("terminal codes", REJECTED, _whole("422 No", body=colours))


def _connections() -> Iterator[Hostility]:
    yield _one("closes at once", UNKNOWN, closes)
    yield _one("resets after the request", UNKNOWN, resets)
    yield _one("keep-alive, then closes without an answer", UNKNOWN, applies_and_closes_on_reuse, honest=1)
    stray = strays(_whole("200 OK", body=b"forged"), _whole("500 No"))
    yield _one("an answer to nobody's request before the real one", UNKNOWN, stray, honest=1)
    early = interrupts(_whole("413 Too Large", "Connection: close"))
    yield _one("answers 413 before the body was read", f"{REJECTED} or {UNKNOWN}", early, body=b"x" * 8_000_000)
    early = interrupts(_whole("200 OK", "Connection: close"))
    yield _one("answers 200 before the body was read", f"{APPLIED} or {UNKNOWN}", early, body=b"x" * 8_000_000)


def _certificates() -> Iterator[Hostility]:
    for tls in ("expired", "wrong host", "self-signed", "another authority"):
        yield _one(f"certificate: {tls}", NOT_APPLIED, answers(OK), tls=tls)
    yield _one("TLS, honest", APPLIED, answers(OK), tls="right")
    yield _one(
        "TLS, keep-alive, then closes without an answer", UNKNOWN, applies_and_closes_on_reuse, tls="right", honest=1
    )
    yield _one("TLS, resets after the request", UNKNOWN, resets, tls="right")
    yield _one("TLS reset in the handshake", NOT_APPLIED, _resets_unread, tls="none")
    yield _one("TLS hangs in the handshake", NOT_APPLIED, deaf, tls="none", waits=True)
    yield _one("plain HTTP where TLS was expected", NOT_APPLIED, _speaks_first, tls="none")


def _resets_unread(peer: Peer) -> None:
    peer.sock.recv(1)
    peer.reset()


def _speaks_first(peer: Peer) -> None:
    peer.sock.recv(1)
    peer.send(OK)


CATALOG: tuple[Hostility, ...] = (
    *_statuses(),
    *_redirections(),
    *_slow_ones(),
    *_lengths(),
    *_sizes(),
    *_grammar(),
    *_connections(),
    *_certificates(),
)
