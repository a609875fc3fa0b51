"""Which courier carries which connector; both have one face."""

from __future__ import annotations

from typing import TypeAlias

from connectors.batch import BatchConnector
from connectors.batch_courier import BatchCourier
from connectors.channel import Channel
from connectors.courier import Courier
from connectors.exchange import HttpConnector
from connectors.transports import open_transport
from outbox.model import Guarantee

AnyConnector: TypeAlias = HttpConnector | BatchConnector
AnyCourier: TypeAlias = Courier | BatchCourier


def open_courier(
    connector: AnyConnector,
    channel: Channel,
    guarantee: Guarantee,
    *,
    transport: str,
    deadline_seconds: float,
    concurrency: int,
) -> AnyCourier:
    """A courier for ``connector`` under ``guarantee``; ``transport`` names the HTTP client where it is one of HTTP."""
    if isinstance(connector, BatchConnector):
        return BatchCourier(
            connector.open(channel, deadline_seconds),
            deadline_seconds=deadline_seconds,
            concurrency=concurrency,
            secrets=lambda: channel.secrets,
        )
    return Courier(
        connector,
        open_transport(transport, channel, concurrency),
        deadline_seconds=deadline_seconds,
        concurrency=concurrency,
        secrets=lambda: channel.secrets,
        guarantee=guarantee,
    )
