"""What the probes do below HTTP: half a request, also over TLS and through a proxy; and the receiver's TLS key."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from connectors.certificates import public_key
from connectors.channel import Bearer, Channel
from connectors.exchange import HttpRequest
from connectors.probing.lab import Lab
from connectors.probing.verify import fingerprint
from connectors.transports import open_transport
from tests.hostile import Peer, answers, hostile
from tests.trials import ANYBODY, JSON_FILES, subject
from tests.wire import LOOPBACK

ANSWER = b"HTTP/1.1 404 Not Found\r\nServer: files/1\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path) -> Channel:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return Channel(auth=Bearer(SecretStr("t0ken")), ca=tmp_path / "ca.pem", allow_addresses=LOOPBACK)


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


class Reader:
    """A behaviour that keeps every byte until the sender has closed, and takes its time to close as well."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        data = b""
        while chunk := peer.sock.recv(65536):
            data += chunk
        peer.hostile.stopping.wait(0.2)
        self.got.append(data)


def sent_part(reader: Reader, channel: Channel, url: str) -> bytes:
    transport = open_transport("curl", channel, 1)
    try:
        lab = Lab(subject("http", url, JSON_FILES), channel, transport, rounds=1, crowd=1)
        lab.send_part(HttpRequest("PUT", f"{url}/x?y=1", {"If-Match": '"1"'}, b"0123456789"), 4)
    finally:
        transport.close()
    assert reader.got, "it must not look before the receiver has done what it does with half a request"
    return reader.got[0]


def test_half_a_request_announces_the_whole_and_ends_early(authority: trustme.CA, trusting: Channel) -> None:
    for tls in (None, server_side(authority.issue_cert("127.0.0.1"))):
        reader = Reader()
        with hostile(reader, tls) as receiver:
            got = sent_part(reader, trusting, receiver.url)
        assert got.startswith(b"PUT /x?y=1 HTTP/1.1\r\n")
        for line in (b'If-Match: "1"', b"Content-Length: 10", b"Authorization: Bearer t0ken"):
            assert line in got
        assert got.endswith(b"\r\n\r\n0123")


def test_half_a_request_goes_through_the_configured_proxy() -> None:
    reader = Reader()
    with hostile(reader) as proxy:
        channel = Channel(proxy=SecretStr(f"http://u:p@127.0.0.1:{proxy.port}"), allow_addresses=LOOPBACK)
        got = sent_part(reader, channel, "http://platform.example")
    assert got.startswith(b"PUT http://platform.example/x?y=1 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dTpw" in got


def test_an_address_that_is_not_allowed_gets_no_half_request_either() -> None:
    with hostile(answers(ANSWER)) as receiver:
        channel = Channel()
        transport = open_transport("curl", channel, 1)
        lab = Lab(subject("http", receiver.url, JSON_FILES), channel, transport, rounds=1, crowd=1)
        with pytest.raises(OSError, match="may be dialled"):
            lab.send_part(HttpRequest("PUT", f"{receiver.url}/x", {}, b"0123"), 2)
        transport.close()
        assert receiver.connections == 0


@pytest.mark.parametrize("kind", [trustme.KeyType.RSA, trustme.KeyType.ECDSA])
def test_the_public_key_is_read_from_a_certificate(kind: trustme.KeyType, authority: trustme.CA) -> None:
    pem = authority.issue_cert("localhost", key_type=kind).cert_chain_pems[0].bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    expected = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key(certificate.public_bytes(Encoding.DER)) == expected


def test_the_fingerprint_stays_until_the_product_or_the_key_changes(authority: trustme.CA, trusting: Channel) -> None:
    seen = []
    first, second = authority.issue_cert("127.0.0.1"), authority.issue_cert("127.0.0.1")
    for certificate, answer in (
        (first, ANSWER),
        (first, ANSWER),
        (second, ANSWER),
        (first, ANSWER.replace(b"/1", b"/2")),
    ):
        with hostile(answers(answer), server_side(certificate)) as receiver:
            seen.append(fingerprint(subject("http", receiver.url, JSON_FILES), trusting))
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3
    assert seen[0].startswith("server: files/1; tls: sha256=")


def test_a_receiver_without_tls_is_known_by_its_product_alone() -> None:
    with hostile(answers(ANSWER)) as receiver:
        assert fingerprint(subject("http", receiver.url, JSON_FILES), ANYBODY) == "server: files/1"
