"""From a connector's settings to the objects that the courier works with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from cdc.config.models import Auth, ConnectorConfig, Tls
from cdc.config.models import OAuth2 as OAuth2Settings
from connectors.aws import AwsKeys
from connectors.channel import Auth as ChannelAuth
from connectors.channel import Basic, Bearer, Channel, HeaderKey, OAuth2
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


def build(name: str, settings: ConnectorConfig, hidden: Iterable[str] = ()) -> Built:
    """The connector ``name``, which shows nothing of ``hidden``. Raises HmsSyncError where a file cannot be read."""
    channel = replace(build_channel(settings), hidden=tuple(map(SecretStr, hidden)))
    return Built(name, build_connector(name, settings), channel, settings)


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
    """How the platform is reached; the provider of its tokens is reached the same way, by certificates of its own."""
    auth = _auth(settings.auth, settings) if settings.auth else None
    return _channel(settings, settings.url, settings.tls, auth)


def _channel(settings: ConnectorConfig, url: str, tls: Tls, auth: ChannelAuth | None = None) -> Channel:
    return Channel(
        auth=auth,
        ca=tls.ca,
        extra_ca=tls.extra_ca,
        cert=tls.cert,
        key=tls.key,
        pins=tuple(tls.pin),
        proxy=settings.proxy,
        allow_addresses=tuple(ip_network(network) for network in settings.allow_addresses),
        hosts=(urlsplit(url).hostname or "", *settings.allow_hosts),
        bind=settings.bind,
    )


def _auth(auth: Auth, settings: ConnectorConfig) -> ChannelAuth | None:
    if auth.bearer is not None:
        return Bearer(auth.bearer)
    if auth.basic is not None:
        return Basic(auth.basic.username.get_secret_value(), auth.basic.password)
    if auth.oauth2 is not None:
        return _oauth2(auth.oauth2, settings)
    if auth.aws is not None:
        return AwsKeys(auth.aws.key_id.get_secret_value(), auth.aws.secret, auth.aws.region)
    return HeaderKey(auth.header.name, auth.header.value) if auth.header is not None else None


def _oauth2(client: OAuth2Settings, settings: ConnectorConfig) -> OAuth2:
    return OAuth2(
        token_url=client.token_url,
        client_id=client.client_id.get_secret_value(),
        client_secret=client.client_secret,
        channel=_channel(settings, client.token_url, client.tls),
        scope=client.scope,
        audience=client.audience,
        client_auth=client.client_auth,
    )
