"""Whom both transports trust beyond the rule: no old TLS, pinned keys, and certificate files that change under way."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from connectors.certificates import pin_of
from connectors.channel import Channel
from connectors.exchange import HttpRequest, HttpResponse, Transport, TransportFailure
from connectors.transports import open_transport
from connectors.watching import LOOK_SECONDS
from outbox.model import ErrorClass
from tests.fixtures.debian import cannot_run
from tests.hostile import OK, Hostile, Peer, answers, hostile
from tests.pki import Pki, https, send
from tests.wire import LOOPBACK, answered, ends

# ---------------------------------------------------------------- old TLS


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("newest", ["TLSv1", "TLSv1_1"])
def test_a_server_that_knows_only_old_tls_gets_nothing(kind: str, pki: Pki, newest: str) -> None:
    tls = pki.server()
    tls.minimum_version, tls.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion[newest]
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with hostile(answers(OK), tls) as receiver:
        _require_that_others_get_through(receiver, pki)
        (result,) = send(kind, Channel(ca=pki.ca_file, allow_addresses=LOOPBACK), https(receiver.port))
        assert receiver.requests == []
    assert isinstance(result, TransportFailure)
    assert (result.error_class, result.sent) == (ErrorClass.NETWORK, False)


def _require_that_others_get_through(receiver: Hostile, pki: Pki) -> None:
    """A client without our minimum must be able to speak to it, or the test would show nothing."""
    lax = ssl.create_default_context(cafile=pki.ca_file)
    lax.minimum_version = ssl.TLSVersion.TLSv1
    lax.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with socket.create_connection(("127.0.0.1", receiver.port), 5) as plain:
            lax.wrap_socket(plain, server_hostname="localhost").close()
    except ssl.SSLError as error:
        cannot_run(f"this OpenSSL speaks no TLS below 1.2 ({error.reason})")


# ---------------------------------------------------------------- pins


def pin_of_server(receiver: Hostile, pki: Pki) -> str:
    context = ssl.create_default_context(cafile=pki.ca_file)
    with (
        socket.create_connection(("127.0.0.1", receiver.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        certificate = wrapped.getpeercert(binary_form=True)
    assert certificate is not None
    return pin_of(certificate)


OTHER_PIN = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


@pytest.mark.parametrize("pins", ["its", "its and another", "another and its"])
def test_a_server_whose_key_is_pinned_is_trusted(kind: str, pki: Pki, pins: str) -> None:
    with hostile(answers(OK), pki.server()) as receiver:
        its = pin_of_server(receiver, pki)
        chosen = {"its": (its,), "its and another": (its, OTHER_PIN), "another and its": (OTHER_PIN, its)}[pins]
        (result,) = send(kind, Channel(ca=pki.ca_file, pins=chosen, allow_addresses=LOOPBACK), https(receiver.port))
    assert isinstance(result, HttpResponse)


def test_a_server_with_another_key_gets_nothing_though_its_authority_is_right(kind: str, pki: Pki) -> None:
    with hostile(answers(OK), pki.server()) as receiver:
        made = Channel(ca=pki.ca_file, pins=(OTHER_PIN,), allow_addresses=LOOPBACK)
        (result,) = send(kind, made, https(receiver.port))
        assert receiver.requests == []
    assert isinstance(result, TransportFailure)
    assert (result.error_class, result.sent) == (ErrorClass.NETWORK, False)
    assert "public key" in result.reason


@pytest.mark.parametrize("case", ["authority", "host"])
def test_a_pin_replaces_no_verification(kind: str, pki: Pki, case: str) -> None:
    tls = pki.server() if case == "authority" else pki.server("elsewhere.example")
    with hostile(answers(OK), tls) as receiver:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", receiver.port), 5) as plain, context.wrap_socket(plain) as wrapped:
            pin = pin_of(wrapped.getpeercert(binary_form=True) or b"")
        ca = pki.other_ca_file if case == "authority" else pki.ca_file
        (result,) = send(kind, Channel(ca=ca, pins=(pin,), allow_addresses=LOOPBACK), https(receiver.port))
        assert receiver.requests == []
    assert isinstance(result, TransportFailure)


# ---------------------------------------------------------------- authorities


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """In the place of all public authorities one whose certificates we can have."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "public.pem")
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "public.pem"))
    return made


def issued_by(authority: trustme.CA) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    return tls


@pytest.mark.parametrize(
    ("named", "trusted"), [("", {"public"}), ("ca", {"private"}), ("extra_ca", {"public", "private"})]
)
def test_a_private_authority_stands_instead_of_the_public_ones_or_beside_them(
    kind: str, pki: Pki, public: trustme.CA, named: str, trusted: set[str]
) -> None:
    with (
        hostile(answers(OK), issued_by(public)) as one,
        hostile(answers(OK), pki.server()) as two,
        hostile(answers(OK), issued_by(trustme.CA())) as three,
    ):
        files = {named: pki.ca_file} if named else {}
        channel = Channel(allow_addresses=LOOPBACK, **files)  # type: ignore[arg-type]
        platforms = {"public": one, "private": two, "anybody's": three}
        results = send(kind, channel, *(https(platform.port) for platform in platforms.values()))
        reached = {name for name, result in zip(platforms, results, strict=True) if isinstance(result, HttpResponse)}
        assert reached == trusted == {name for name, platform in platforms.items() if platform.requests}


# ---------------------------------------------------------------- files that change


class Mount:
    """A folder like a mounted secret: the files are links through ``..data``, which is renamed over."""

    def __init__(self, folder: Path, ca: trustme.CA) -> None:
        self.folder = folder
        self._issuer = ca
        self._number = 0
        self.serials: list[str] = []
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (folder / name).symlink_to(Path("..data") / name)

    def channel(self) -> Channel:
        cert, key, ca = (self.folder / name for name in ("tls.crt", "tls.key", "ca.crt"))
        return Channel(cert=cert, key=key, ca=ca, allow_addresses=LOOPBACK)

    def renew(self, **others: bytes) -> None:
        """A new certificate of our authority, with files replaced by ``crt`` or ``key``."""
        issued = self._issuer.issue_cert(f"client{self._number}.example")
        cert, key = issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()
        self.put(**{"crt": cert, "key": key, "ca": self._issuer.cert_pem.bytes(), **others})

    def put(self, *, crt: bytes, key: bytes, ca: bytes) -> None:
        self._number += 1
        place = self.folder / f"..{self._number}"
        place.mkdir()
        for name, content in (("tls.crt", crt), ("tls.key", key), ("ca.crt", ca)):
            (place / name).write_bytes(content)
        (self.folder / "..new").symlink_to(place.name)
        (self.folder / "..new").rename(self.folder / "..data")


@pytest.fixture
def mount(tmp_path: Path, pki: Pki) -> Mount:
    made = Mount(tmp_path, pki.ca)
    made.renew()
    return made


def tells_whom_it_sees(peer: Peer) -> None:
    """Answer each request with the name in the client's certificate."""
    assert isinstance(peer.sock, ssl.SSLSocket)
    certificate = peer.sock.getpeercert() or {}
    name = str(certificate["subjectAltName"][0][1]).encode()
    while peer.read_request():
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))


@pytest.fixture
def gate(pki: Pki) -> Iterator[Hostile]:
    """A platform that lets in clients of our authority and tells whom it sees."""
    tls = pki.server()
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(pki.ca_file)
    with hostile(tells_whom_it_sees, tls) as receiver:
        yield receiver


def seen_by(gate: Hostile, transport: Transport) -> str:
    transport.start("t", HttpRequest("PUT", https(gate.port), {}, b"{}"), 5)
    return answered(ends(transport)[1]).body.decode()


def until_seen(gate: Hostile, transport: Transport, name: str) -> None:
    """Requests without a pause, so that a connection is never idle, until the platform sees ``name``."""
    give_up = time.monotonic() + 15
    while seen_by(gate, transport) != name:
        assert time.monotonic() < give_up, "the renewed certificate is not used"


def test_a_renewed_certificate_is_used_without_a_restart(kind: str, gate: Hostile, mount: Mount) -> None:
    """Also where connections never become idle."""
    with closing(open_transport(kind, mount.channel(), 4)) as transport:
        assert seen_by(gate, transport) == "client0.example"
        mount.renew()
        until_seen(gate, transport, "client1.example")
        mount.renew()
        until_seen(gate, transport, "client2.example")


@pytest.mark.parametrize("broken", ["crt", "key", "ca"])
def test_files_that_cannot_be_used_change_nothing_and_are_told_once(
    kind: str, gate: Hostile, mount: Mount, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of a renewal: a certificate without its key; then the other half comes."""
    junk = {"crt": b"junk", "key": (mount.folder / "tls.key").read_bytes(), "ca": b"junk"}
    with caplog.at_level(logging.WARNING), closing(open_transport(kind, mount.channel(), 1)) as transport:
        mount.renew(**{broken: junk[broken]})
        give_up = time.monotonic() + 15
        while "not taken" not in caplog.text:
            assert time.monotonic() < give_up
            assert seen_by(gate, transport) == "client0.example"
        assert seen_by(gate, transport) == "client0.example"
        mount.renew()
        until_seen(gate, transport, "client2.example")
    assert caplog.text.count("not taken") == 1


def test_a_request_under_way_ends_over_the_connection_on_which_it_began(kind: str, pki: Pki, mount: Mount) -> None:
    released = threading.Event()
    tls = pki.server()

    def first_waits(peer: Peer) -> None:
        if peer.read_request() and (peer.number > 1 or released.wait(15)):
            peer.send(OK)

    with hostile(first_waits, tls) as receiver, closing(open_transport(kind, mount.channel(), 4)) as transport:
        transport.start("old", HttpRequest("PUT", https(receiver.port)), 20)
        receiver.wait_for(lambda it: not transport.poll(0.01) and len(it.requests) == 1)
        mount.renew()
        threading.Event().wait(LOOK_SECONDS)
        transport.start("new", HttpRequest("PUT", https(receiver.port)), 20)
        name, result = ends(transport)
        assert (name, answered(result).status) == ("new", 200)
        released.set()
        name, result = ends(transport)
        assert (name, answered(result).status) == ("old", 200)


def test_a_renewed_authority_is_trusted_and_the_old_one_no_longer(kind: str, pki: Pki, mount: Mount) -> None:
    other = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.issue_cert("localhost").configure_cert(tls)
    with (
        hostile(answers(OK), tls) as foreign,
        hostile(answers(OK), pki.server()) as ours,
        closing(open_transport(kind, mount.channel(), 1)) as transport,
    ):
        assert isinstance(one(transport, foreign), TransportFailure)
        mount.renew(ca=other.cert_pem.bytes())
        give_up = time.monotonic() + 15
        while isinstance(one(transport, foreign), TransportFailure):
            assert time.monotonic() < give_up
        assert isinstance(one(transport, ours), TransportFailure)


def one(transport: Transport, receiver: Hostile) -> HttpResponse | TransportFailure:
    transport.start("t", HttpRequest("PUT", https(receiver.port)), 5)
    return ends(transport)[1]
