"""Certificates for tests: one authority, another one, what they issued; and requests over one transport."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from connectors.channel import Channel
from connectors.exchange import HttpRequest, HttpResponse, TransportFailure
from connectors.transports import open_transport


@dataclass(frozen=True)
class Pki:
    """One authority, another one, and what they issued, as files."""

    ca: trustme.CA
    ca_file: Path
    other_ca_file: Path
    client: Path
    foreign_client: Path

    def server(self, host: str = "localhost", *, expired: bool = False) -> ssl.SSLContext:
        until = datetime.now(UTC) - timedelta(days=1) if expired else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(host, "127.0.0.1" if host == "localhost" else host, not_after=until).configure_cert(context)
        return context


def make_pki(folder: Path) -> Pki:
    """Both authorities and their clients, as files in ``folder``."""
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    ca.issue_cert("hms").private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    other.issue_cert("hms").private_key_and_cert_chain_pem.write_to_path(folder / "foreign.pem")
    return Pki(ca, folder / "ca.pem", folder / "other.pem", folder / "client.pem", folder / "foreign.pem")


def send(kind: str, channel: Channel, *urls: str) -> list[HttpResponse | TransportFailure]:
    """One POST to each URL, one after the other, over one transport."""
    transport = open_transport(kind, channel, 1)
    results: list[HttpResponse | TransportFailure] = []
    try:
        for url in urls:
            transport.start(url, HttpRequest("POST", url, {}, b"{}"), 5)
            while not (ended := transport.poll(6)):
                pass
            results.append(ended[0][1])
    finally:
        transport.close()
    return results


def https(port: int, host: str = "localhost") -> str:
    return f"https://{host}:{port}/x"
