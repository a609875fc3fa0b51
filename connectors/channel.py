"""How a platform is reached: credentials, certificates, proxy, permitted addresses and limits.

One value, built from the configuration, from which every transport is made; it never shows a secret.
"""

from __future__ import annotations

import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import quote_plus, unquote, urlsplit

import certifi
from pydantic import SecretStr

from connectors.addresses import IPNetwork, address_or_none
from connectors.aws import AwsKeys
from connectors.hiding import shown_as
from connectors.tokens import Tokens, tokens_of
from outbox.model import HmsSyncError


@dataclass(frozen=True, slots=True)
class Bearer:
    """A bearer token (RFC 6750)."""

    token: SecretStr

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {_clean(self.token, 'the bearer token')}"}


@dataclass(frozen=True, slots=True)
class Basic:
    """User name and password (RFC 7617, UTF-8)."""

    username: str = field(repr=False)
    password: SecretStr

    def headers(self) -> Mapping[str, str]:
        pair = f"{self.username}:{self.password.get_secret_value()}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """A secret in a header of its own, such as ``X-Api-Key``."""

    name: str
    value: SecretStr

    def headers(self) -> Mapping[str, str]:
        return {self.name: _clean(self.value, f"the secret of header {self.name}")}


@dataclass(frozen=True, slots=True)
class OAuth2:
    """Client credentials (RFC 6749, 4.4): every request carries a token that ``token_url`` gave to us.

    ``channel`` is how the token endpoint is reached; ``endpoint`` is the same with our credentials, where they go
    into a header.
    """

    token_url: str
    client_id: str = field(repr=False)
    client_secret: SecretStr
    channel: Channel
    scope: str | None = None
    audience: str | None = None
    client_auth: Literal["basic", "post"] = "basic"
    endpoint: Channel = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pair = Basic(quote_plus(self.client_id), SecretStr(quote_plus(self.client_secret.get_secret_value())))
        endpoint = replace(self.channel, auth=pair) if self.client_auth == "basic" else self.channel
        object.__setattr__(self, "endpoint", endpoint)

    def headers(self) -> Mapping[str, str]:
        """Nothing that would be known beforehand."""
        return {}


Auth: TypeAlias = Bearer | Basic | HeaderKey | OAuth2 | AwsKeys
_LONG_WORD = 8
"""A shorter one at the end of a key is no secret by itself: it would be hidden everywhere."""


@dataclass(frozen=True, slots=True)
class Channel:
    """How one platform is reached.

    ``ca`` is trusted instead of the public authorities, ``extra_ca`` beside them. ``pins`` name public keys
    (:func:`~connectors.certificates.pin_of`), of which the platform must have one, whatever its certificate says.
    ``hosts`` are the only ones that a request may name (None: any); ``*.domain`` stands for all below it. ``bind`` is a
    network interface or a source address: no connection is made another way.
    """

    auth: Auth | None = None
    ca: Path | None = None
    extra_ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    pins: tuple[str, ...] = ()
    proxy: SecretStr | None = None
    allow_addresses: tuple[IPNetwork, ...] = ()
    hosts: tuple[str, ...] | None = None
    bind: str | None = None
    max_answer_bytes: int = 1_048_576
    max_header_bytes: int = 65_536
    connect_timeout_seconds: float = 5.0
    hidden: tuple[SecretStr, ...] = field(default=(), repr=False, compare=False)
    """What else must not be shown, such as a key in a header of the options."""
    auth_headers: Mapping[str, str] = field(init=False, repr=False, compare=False)
    tokens: Tokens | None = field(init=False, repr=False, compare=False)
    _secrets: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "auth_headers", self.auth.headers() if self.auth else {})
        object.__setattr__(self, "tokens", tokens_of(self.auth) if isinstance(self.auth, OAuth2) else None)
        object.__setattr__(self, "_secrets", frozenset(self._known_secrets()))
        for role in ("ca", "extra_ca", "cert", "key"):
            _require_readable(role, getattr(self, role))
        if self.key is not None and self.cert is None:
            raise HmsSyncError("tls.key is given without tls.cert; name the client certificate as well")
        if self.bind and not address_or_none(self.bind) and not hasattr(socket, "SO_BINDTODEVICE"):
            raise HmsSyncError("bind: only Linux binds to an interface; name a source address instead")
        if self.proxy is not None and urlsplit(self.proxy.get_secret_value()).scheme != "http":
            raise HmsSyncError(
                "the proxy must be an http:// URL such as http://proxy:3128; other kinds are not supported"
            )

    def leads_to(self, host: str) -> bool:
        """True when a request may name ``host``."""
        name = host.lower().rstrip(".")
        return self.hosts is None or any(_matches(name, each.lower().rstrip(".")) for each in self.hosts)

    @property
    def tls_files(self) -> tuple[Path, ...]:
        """What ``tls`` names: all of these may be renewed under our feet."""
        return tuple(filter(None, (self.ca, self.extra_ca, self.cert, self.key)))

    @property
    def trusted(self) -> tuple[Path, ...]:
        """The files of authorities; the platform's certificate must descend from one of them."""
        if self.ca is not None:
            return (self.ca,)
        public = Path(certifi.where())
        return (public,) if self.extra_ca is None else (public, self.extra_ca)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must never appear in an error, a log or the audit, as of now; longest first."""
        return shown_as(self._secrets if self.tokens is None else self._secrets.union(self.tokens.seen))

    def _known_secrets(self) -> set[str]:
        found = {*_of(self.auth), *(each.get_secret_value() for each in self.hidden)}
        if isinstance(self.auth, OAuth2):
            found |= self.auth.endpoint._known_secrets()  # noqa: SLF001 - another one of us
        if self.proxy is not None:
            found |= _of_proxy(self.proxy.get_secret_value())
        return found


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _of(auth: Auth | None) -> set[str]:
    """What must not be shown of the credentials."""
    match auth:
        case Bearer():
            return {auth.token.get_secret_value()}
        case Basic():
            return {auth.password.get_secret_value(), _word(auth)}
        case HeaderKey():
            return {auth.value.get_secret_value(), *({_word(auth)} if len(_word(auth)) >= _LONG_WORD else ())}
        case OAuth2():
            return {auth.client_secret.get_secret_value()}
        case AwsKeys():
            return {auth.key_id, auth.secret.get_secret_value()}
    return set()


def _word(auth: Basic | HeaderKey) -> str:
    """The last word of what is sent; before it may stand a scheme."""
    (value,) = auth.headers().values()
    return value.rpartition(" ")[2]


def _of_proxy(url: str) -> set[str]:
    """Its password, as it is written and as it is sent; where there is none, the user's name is the secret."""
    parts = urlsplit(url)
    user, password = parts.username or "", parts.password or ""
    secret = password or user
    if not secret:
        return set()
    return {secret, unquote(secret), _word(Basic(unquote(user), SecretStr(unquote(password))))}


def _clean(secret: SecretStr, what: str) -> str:
    value = secret.get_secret_value()
    if not value or not value.isascii() or not value.isprintable():
        raise HmsSyncError(f"{what} is empty or holds a line break or another character that no header can carry")
    return value


def _require_readable(role: str, path: Path | None) -> None:
    if path is None:
        return
    try:
        path.open("rb").close()
    except OSError as error:
        raise HmsSyncError(
            f"tls.{role}: {path} cannot be read ({error.strerror}); check the path and its rights"
        ) from error
