"""The ``sql`` kind over TLS: always verified, for the name too; a terminator stands before a PostgreSQL without TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme

from connectors.channel import Channel
from outbox.model import Applied, ErrorClass, NotApplied, Outcome, Rejected
from tests.fixtures.postgres import MakeDb
from tests.sql_targets import SqlTarget, postgresql_target, written

SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@dataclass
class Pki:
    """One authority, another one, and a client's certificate of each."""

    server: trustme.LeafCert
    authority: trustme.CA
    ca: Path
    other_ca: Path
    client: Path
    foreign_client: Path


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    ours, other = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    for name, authority in (("client.pem", ours), ("foreign.pem", other)):
        authority.issue_cert("hms").private_key_and_cert_chain_pem.write_to_path(tmp_path / name)
        (tmp_path / name).chmod(0o600)
    server = ours.issue_cert("localhost")
    return Pki(
        server, ours, tmp_path / "ca.pem", tmp_path / "other.pem", tmp_path / "client.pem", tmp_path / "foreign.pem"
    )


@pytest.fixture
def target(make_db: MakeDb) -> Iterator[SqlTarget]:
    with postgresql_target(make_db(empty=True)) as made:
        yield made


@contextmanager
def behind_tls(target: SqlTarget, pki: Pki, *, asks_client: bool = False) -> Iterator[str]:
    """The URL of a terminator before the target, with a certificate for ``localhost``."""
    assert target.proxy is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pki.server.configure_cert(context)
    if asks_client:
        context.verify_mode = ssl.CERT_REQUIRED
        pki.authority.configure_trust(context)
    port = target.proxy.port
    listener = socket.create_server(("127.0.0.1", 0))
    threads = [threading.Thread(target=_accept, args=(listener, context, port))]
    threads[0].start()
    try:
        yield target.url.replace("127.0.0.1", "localhost").replace(f":{port}/", f":{listener.getsockname()[1]}/")
    finally:
        target.close()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        threads[0].join()


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client, suppress(OSError):
                _terminate(client, context, port)


def _terminate(client: socket.socket, context: ssl.SSLContext, port: int) -> None:
    assert client.recv(8) == SSL_REQUEST
    client.sendall(b"S")
    with context.wrap_socket(client, server_side=True) as wire, socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=_copy, args=(server, wire))
        back.start()
        _copy(wire, server)
        back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def delivered(target: SqlTarget, url: str, **channel: Path | None) -> Outcome:
    reached: Channel = replace(target.channel, **channel)  # type: ignore[arg-type]
    (outcome,) = target.deliver(written(1), url=url, channel=reached, unencrypted=False)
    return outcome


def test_a_server_that_our_authority_vouches_for_is_taken(target: SqlTarget, pki: Pki) -> None:
    with behind_tls(target, pki) as url:
        assert delivered(target, url, ca=pki.ca) == Applied()
    assert target.effects() == [("insert", 1, "Hearing")]


@pytest.mark.parametrize("ca", ["other_ca", None])
def test_a_server_that_nobody_we_trust_vouches_for_is_not(target: SqlTarget, pki: Pki, ca: str | None) -> None:
    with behind_tls(target, pki) as url:
        outcome = delivered(target, url, ca=getattr(pki, ca) if ca else None)
    assert isinstance(outcome, NotApplied)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.NETWORK, True)
    assert "certificate verify failed" in outcome.reason


def test_a_certificate_of_another_name_is_not_taken(target: SqlTarget, pki: Pki) -> None:
    with behind_tls(target, pki) as url:
        outcome = delivered(target, url.replace("localhost", "127.0.0.1"), ca=pki.ca)
    assert isinstance(outcome, NotApplied)
    assert "does not match host name" in outcome.reason
    assert not target.has_ledger()


def test_a_client_certificate_is_shown_where_one_is_configured(target: SqlTarget, pki: Pki) -> None:
    with behind_tls(target, pki, asks_client=True) as url:
        assert delivered(target, url, ca=pki.ca, cert=pki.client) == Applied()


@pytest.mark.parametrize("cert", ["foreign_client", None])
def test_a_server_that_refuses_our_certificate_stops_the_connector(
    target: SqlTarget, pki: Pki, cert: str | None
) -> None:
    with behind_tls(target, pki, asks_client=True) as url:
        outcome = delivered(target, url, ca=pki.ca, cert=getattr(pki, cert) if cert else None)
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)
