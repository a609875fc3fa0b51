"""Both transports for every suite of this folder that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.channel import Channel
from connectors.exchange import Transport
from connectors.transports import open_transport
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
