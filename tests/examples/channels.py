"""The platforms of ``examples/secure-channels``: a real provider of tokens, three nginx, and Apache as the proxy."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import simplejson
import trustme

from connectors.certificates import pin_of
from tests import oauth
from tests.examples.play import Look, Scene, Stage, Table, contents
from tests.harness.premises import until
from tests.oauth.provider import SECRET
from tests.pki import Pki
from tests.receivers import apache_proxy, nginx_dav
from tests.servers import TlsFiles

PARTNER_KEY = "a-key-of-the-partner"
OUR_ADDRESS_IN_THE_VPN = "127.0.0.7"


@contextmanager
def secure_channels(stage: Stage) -> Iterator[Scene]:
    pki: Pki = stage.request.getfixturevalue("pki")
    partners = trustme.CA()
    registry_tls, certificate = _issued(pki.ca, stage.place("registry"), pki.ca_file)
    partner_tls, _ = _issued(partners, stage.place("partner"))
    _hand_out(stage.folder, pki, partners)
    with ExitStack() as stack:
        provider = stack.enter_context(oauth.provider(stage.place("provider")))
        docket = stack.enter_context(oauth.platform(provider))
        registry = stack.enter_context(nginx_dav(stage.place("registry"), registry_tls))
        partner = stack.enter_context(nginx_dav(stage.place("partner"), partner_tls, PARTNER_KEY))
        proxy = stack.enter_context(apache_proxy(stage.place("proxy")))
        custody = stack.enter_context(nginx_dav(stage.place("custody")))
        environment = {
            "DOCKET_URL": docket.url,
            "LOGIN_URL": f"{provider.url}/token",
            "REGISTRY_URL": registry,
            "REGISTRY_PIN": pin_of(certificate),
            "PARTNER_URL": partner,
            "PROXY_URL": proxy,
            "CREDENTIALS_DIRECTORY": str(stage.folder / "credentials"),
            "CUSTODY_URL": custody,
            "VPN_WAY": OUR_ADDRESS_IN_THE_VPN,
        }
        looks = {
            "Docket": lambda: _taken(docket),
            **{name: _stored(stage.place(name.lower())) for name in ("Registry", "Partner", "Custody")},
        }
        yield Scene(
            environment,
            Table("public.hearing", others={"room": "'A101'"}),
            looks,
            afterwards=lambda: _each_went_its_way(stage, partner),
        )


def _issued(authority: trustme.CA, place: Path, client_ca: Path | None = None) -> tuple[TlsFiles, bytes]:
    """A server's certificate as files, and in DER."""
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(place / "cert.pem")
    issued.private_key_pem.write_to_path(place / "key.pem")
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    return TlsFiles(place / "cert.pem", place / "key.pem", client_ca), der


def _hand_out(folder: Path, pki: Pki, partners: trustme.CA) -> None:
    """What the example's text asks for."""
    for name in ("tls", "secrets", "credentials"):
        (folder / name).mkdir(mode=0o700)
    shutil.copy(pki.client, folder / "tls" / "client.pem")
    shutil.copy(pki.ca_file, folder / "tls" / "registry-ca.pem")
    partners.cert_pem.write_to_path(folder / "tls" / "partner-ca.pem")
    for place, secret in (("secrets/docket-client", SECRET), ("credentials/partner-key", PARTNER_KEY)):
        (folder / place).touch(mode=0o600)
        (folder / place).write_text(secret)


def _taken(docket: oauth.Platform) -> list[str]:
    """What a platform holds that was asked for this in this order."""
    held: dict[str, str] = {}
    for request in list(docket.applied):
        path, _, body = request.partition(" ")
        if body:
            held[path] = simplejson.loads(body)["title"]
        else:
            held.pop(path, None)
    return sorted(held.values())


def _stored(place: Path) -> Look:
    return lambda: sorted(simplejson.loads(text)["title"] for text in contents(place / "files", "*.json"))


def _each_went_its_way(stage: Stage, partner: str) -> None:
    log = stage.place("proxy") / "access.log"
    tunnel = f"CONNECT {partner.removeprefix('https://')} HTTP/1.1 200"
    until(lambda: tunnel in log.read_text(), log.read_text)
    callers = {line.partition(" ")[0] for line in (stage.place("custody") / "access.log").read_text().splitlines()}
    assert callers == {OUR_ADDRESS_IN_THE_VPN}
