"""Both transports for every suite of this folder that asks for one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.channel import Channel
from connectors.exchange import Transport
from connectors.transports import open_transport
from tests.examples.play import EXAMPLES
from tests.maps import Maps, qgis
from tests.pki import Pki, make_pki
from tests.wire import LOOPBACK, Open


@pytest.fixture(params=["curl", "requests"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_(kind: str) -> Iterator[Open]:
    """Open transports of the kind under test; closed at the end."""
    opened: list[Transport] = []

    def open_one(channel: Channel | None = None, concurrency: int = 4) -> Transport:
        transport = open_transport(kind, channel or Channel(allow_addresses=LOOPBACK), concurrency)
        opened.append(transport)
        return transport

    yield open_one
    for transport in opened:
        transport.close()


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maps]:
    """QGIS Server on PostGIS, one for the whole run."""
    with qgis(tmp_path_factory.mktemp("qgis")) as running:
        yield running


@pytest.fixture(scope="session")
def carddav_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plug-in of the examples as pip installs it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    source = shutil.copytree(EXAMPLES / "plugins" / "carddav", tmp_path_factory.mktemp("source") / "carddav")
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", folder, source], check=True)
    return folder
