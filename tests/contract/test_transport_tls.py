"""TLS of both transports: always verified, client certificates, and how each refusal is named."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from connectors.answers import classify
from connectors.channel import Channel
from connectors.exchange import HttpResponse, TransportFailure
from outbox.model import ErrorClass, Rejected
from tests.hostile import OK, answers, applies_and_closes_on_reuse, hostile
from tests.pki import Pki, https, send
from tests.servers import TlsFiles, nginx
from tests.wire import LOOPBACK


def test_a_server_of_the_named_authority_is_trusted_and_its_connection_reused(kind: str, pki: Pki) -> None:
    with hostile(answers(OK), pki.server()) as receiver:
        channel = Channel(ca=pki.ca_file, allow_addresses=LOOPBACK)
        results = send(kind, channel, https(receiver.port), https(receiver.port))
        assert [result.status for result in results if isinstance(result, HttpResponse)] == [200, 200]
        assert receiver.connections == 1


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")  # as an error it would hide a hole
@pytest.mark.parametrize("case", ["public authorities", "another authority", "wrong host", "expired"])
def test_a_server_that_cannot_prove_itself_gets_nothing(
    kind: str, pki: Pki, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when the environment names its authority."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(pki.ca_file))
    ca = {"public authorities": None, "another authority": pki.other_ca_file}.get(case, pki.ca_file)
    tls = pki.server("elsewhere.example" if case == "wrong host" else "localhost", expired=case == "expired")
    with hostile(answers(OK), tls) as receiver:
        (result,) = send(kind, Channel(ca=ca, allow_addresses=LOOPBACK), https(receiver.port))
        assert receiver.requests == []
    assert isinstance(result, TransportFailure)
    assert (result.error_class, result.sent) == (ErrorClass.NETWORK, False)


def test_a_reused_tls_connection_that_dies_gets_no_second_copy(kind: str, pki: Pki) -> None:
    with hostile(applies_and_closes_on_reuse, pki.server()) as receiver:
        channel = Channel(ca=pki.ca_file, allow_addresses=LOOPBACK)
        first, second = send(kind, channel, https(receiver.port), https(receiver.port))
        assert isinstance(first, HttpResponse)
        assert isinstance(second, TransportFailure)
        assert (second.error_class, second.sent) == (ErrorClass.NO_ANSWER, True)
        assert (len(receiver.requests), receiver.connections) == (2, 1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("client", ["ours", "foreign", "none"])
def test_a_server_that_refuses_our_certificate_in_the_handshake(
    kind: str, pki: Pki, version: ssl.TLSVersion, client: str
) -> None:
    tls = pki.server()
    tls.minimum_version = tls.maximum_version = version
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(pki.ca_file)
    cert = {"ours": pki.client, "foreign": pki.foreign_client, "none": None}[client]
    with hostile(answers(OK), tls) as receiver:
        channel = Channel(ca=pki.ca_file, cert=cert, allow_addresses=LOOPBACK)
        (result,) = send(kind, channel, https(receiver.port))
        if client == "ours":
            assert isinstance(result, HttpResponse)
            return
        assert receiver.requests == []
    assert isinstance(result, TransportFailure)
    # In TLS 1.2 a missing certificate is a "handshake failure", which has other causes as well.
    named = client == "foreign" or version is ssl.TLSVersion.TLSv1_3
    assert (result.error_class, result.sent) == (ErrorClass.CREDENTIALS if named else ErrorClass.NETWORK, False)


@pytest.fixture(scope="module")
def gate(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An nginx that lets in only holders of a client certificate of our authority."""
    folder = tmp_path_factory.mktemp("nginx")
    server = pki.ca.issue_cert("localhost", "127.0.0.1")
    server.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    server.private_key_pem.write_to_path(folder / "key.pem")
    with nginx(folder, TlsFiles(folder / "cert.pem", folder / "key.pem", pki.ca_file)) as url:
        yield url


def test_nginx_lets_our_client_certificate_in(kind: str, pki: Pki, gate: str) -> None:
    channel = Channel(ca=pki.ca_file, cert=pki.client, allow_addresses=LOOPBACK)
    (result,) = send(kind, channel, gate)
    assert isinstance(result, HttpResponse)
    assert (result.status, result.body) == (200, b"POST")


@pytest.mark.parametrize("client", ["foreign", "none"])
def test_nginx_says_400_to_a_wrong_client_certificate_and_the_connector_stops(
    kind: str, pki: Pki, gate: str, client: str
) -> None:
    cert = pki.foreign_client if client == "foreign" else None
    (result,) = send(kind, Channel(ca=pki.ca_file, cert=cert, allow_addresses=LOOPBACK), gate)
    assert isinstance(result, HttpResponse)
    assert result.status == 400
    outcome = classify(result)
    assert isinstance(outcome, Rejected)
    assert (outcome.error_class, outcome.platform) == (ErrorClass.CREDENTIALS, True)
