"""From a connector's settings to the objects that the courier works with."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from pydantic import BaseModel

from cdc.config.models import Auth, ConnectorConfig
from connectors.channel import Auth as ChannelAuth
from connectors.channel import Basic, Bearer, Channel, HeaderKey
from connectors.couriers import AnyConnector, AnyCourier, open_courier
from connectors.kind import ConnectorKind
from connectors.registry import kinds
from outbox.model import Guarantee, HmsSyncError


@dataclass(frozen=True, slots=True)
class Built:
    """One connector ready to deliver: what it says, how it is reached, and the settings it came from."""

    name: str
    connector: AnyConnector
    channel: Channel
    settings: ConnectorConfig

    def courier(self, guarantee: Guarantee) -> AnyCourier:
        """A courier with connections of its own, for one lane that is served under ``guarantee``."""
        return open_courier(
            self.connector,
            self.channel,
            guarantee,
            transport=self.settings.transport,
            deadline_seconds=self.settings.deadline.total_seconds(),
            concurrency=self.settings.concurrency,
        )


def build(name: str, settings: ConnectorConfig) -> Built:
    """The connector ``name``. Raises HmsSyncError where a file of its channel cannot be read."""
    return Built(name, build_connector(name, settings), build_channel(settings), settings)


def build_connector(name: str, settings: ConnectorConfig) -> AnyConnector:
    """The connector alone: no file is opened, nothing is dialled."""
    kind = kinds()[settings.kind]
    options = options_of(kind, settings)
    try:
        return kind.build(name, settings.url, options)
    except HmsSyncError:
        raise
    except Exception as error:
        maker = kinds().maker(kind.name) or "hms-sync"
        raise HmsSyncError(
            f"connector {name}: the kind '{kind.name}' of {maker} cannot build it: {type(error).__name__}: {error}; "
            "report it to whoever maintains that package"
        ) from error


def options_of(kind: ConnectorKind, settings: ConnectorConfig) -> BaseModel:
    """The options in the kind's own model. Raises pydantic's ValidationError."""
    return kind.options.model_validate(settings.options)


def build_channel(settings: ConnectorConfig) -> Channel:
    """How the platform is reached."""
    return Channel(
        auth=_auth(settings.auth) if settings.auth else None,
        ca=settings.tls.ca,
        cert=settings.tls.cert,
        key=settings.tls.key,
        proxy=settings.proxy,
        allow_addresses=tuple(ip_network(network) for network in settings.allow_addresses),
    )


def _auth(auth: Auth) -> ChannelAuth | None:
    if auth.bearer is not None:
        return Bearer(auth.bearer)
    if auth.basic is not None:
        return Basic(auth.basic.username.get_secret_value(), auth.basic.password)
    return HeaderKey(auth.header.name, auth.header.value) if auth.header is not None else None
