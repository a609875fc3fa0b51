"""The shape of ``sync-config.yml``: one frozen model per section, unknown keys refused.

The descriptions are the reference that ``docs/config.md`` and the JSON Schema are made from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from cdc.config.units import (
    Absolute,
    Beside,
    BesideOrOff,
    Count,
    CountOrOff,
    Duration,
    HeaderName,
    HeaderValue,
    HostPattern,
    Listen,
    Name,
    Network,
    Pin,
    Plain,
    ProxyUrl,
    Rate,
    Reason,
    Size,
    TableName,
    Url,
    UserName,
    Way,
    between,
    duration,
    size_between,
)
from outbox.model import Guarantee


class Section(BaseModel):
    """What all sections share; no message of pydantic ever repeats a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Database(Section):
    """Where the application's database is."""

    dsn: SecretStr | None = Field(
        default=None, description="Connection string; absent: an embedded PostgreSQL is started."
    )
    directory: Beside = Field(
        default=Path(".hms-sync"),
        validate_default=True,
        description="Folder of the embedded PostgreSQL, beside the config.",
    )


class CaptureTable(Section):
    """One table of the application whose changes are captured."""

    table: TableName = Field(description="Name of the table, with its schema: public.hearing_schedule.")
    key: list[str] | None = Field(default=None, min_length=1, description="Key columns; absent: the primary key.")
    columns: list[str] | None = Field(default=None, min_length=1, description="Captured columns; absent: all of them.")
    exclude: list[str] | None = Field(default=None, min_length=1, description="Columns that are not captured.")
    where: str | None = Field(default=None, min_length=1, description="SQL condition over the row; absent: every row.")
    max_bytes: Annotated[Size, AfterValidator(size_between("1KiB", "100MiB"))] = Field(
        default=16_777_216, description="A larger row is captured as a marker and fetched at delivery."
    )

    @model_validator(mode="after")
    def _columns_are_consistent(self) -> CaptureTable:
        if self.columns is not None and self.exclude is not None:
            raise ValueError("names both columns and exclude (keep one of them)")
        for key in self.key or ():
            if (self.columns is not None and key not in self.columns) or key in (self.exclude or ()):
                raise ValueError(f"does not capture its key column '{key}' (capture it)")
        return self


class Basic(Section):
    """A user and a password."""

    username: UserName = Field(description="User at the platform.")
    password: SecretStr = Field(description="Password of the user.")


class HeaderCredential(Section):
    """A credential in a header of its own."""

    name: HeaderName = Field(description="Name of the header.")
    value: HeaderValue = Field(description="Value of the header.")


class AwsAccessKey(Section):
    """An access key of S3 and what is like it; requests are signed with it."""

    key_id: HeaderValue = Field(description="Id of the access key.")
    secret: HeaderValue = Field(description="Secret of the access key.")
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] = Field(
        default="us-east-1", description="Region of the bucket; servers without regions take any."
    )


class Tls(Section):
    """Certificates; verification itself cannot be switched off."""

    ca: Beside | None = Field(
        default=None, description="Certificates (PEM) that are trusted instead of the public ones."
    )
    extra_ca: Beside | None = Field(
        default=None, description="Certificates (PEM) that are trusted beside the public ones."
    )
    cert: Beside | None = Field(default=None, description="Our own certificate (PEM).")
    key: Beside | None = Field(default=None, description="Private key (PEM) of our certificate.")
    pin: list[Pin] = Field(
        default_factory=list, description="Public keys, of which the server must have one: sha256/ and base64."
    )

    @model_validator(mode="after")
    def _key_belongs_to_cert(self) -> Tls:
        if self.key is not None and self.cert is None:
            raise ValueError("names a key without its cert (add cert)")
        return self

    @model_validator(mode="after")
    def _one_meaning_of_trust(self) -> Tls:
        if self.ca is not None and self.extra_ca is not None:
            raise ValueError("names ca (instead of the public ones) and extra_ca (beside them); keep one of them")
        return self


class OAuth2(Section):
    """Client credentials (RFC 6749, 4.4): a token is fetched, renewed before its end and after a refusal."""

    token_url: Url = Field(description="The provider's token endpoint.")
    client_id: HeaderValue = Field(description="Our name at the provider.")
    client_secret: HeaderValue = Field(description="Our secret at the provider.")
    scope: str | None = Field(default=None, min_length=1, description="Scopes to ask for, with blanks between them.")
    audience: str | None = Field(default=None, min_length=1, description="The platform's name at the provider.")
    client_auth: Literal["basic", "post"] = Field(
        default="basic", description="The secret goes to the provider in a header (`basic`) or in the form (`post`)."
    )
    tls: Tls = Field(default=Tls(), description="Certificates for token_url, which has none of the connector's.")


class Auth(Section):
    """Exactly one way to show who we are."""

    bearer: HeaderValue | None = Field(default=None, description="Token, sent as Authorization: Bearer.")
    basic: Basic | None = Field(default=None, description="User and password.")
    header: HeaderCredential | None = Field(default=None, description="A header such as X-Api-Key.")
    oauth2: OAuth2 | None = Field(default=None, description="Client credentials of OAuth2.")
    aws: AwsAccessKey | None = Field(default=None, description="An access key, which signs each request (kind s3).")

    @model_validator(mode="after")
    def _exactly_one(self) -> Auth:
        if len(self.model_fields_set) != 1:
            raise ValueError("needs exactly one of bearer, basic, header, oauth2 and aws")
        return self


class Retry(Section):
    """How failed attempts are repeated."""

    attempts: Count = Field(
        default=12,
        ge=1,
        le=1000,
        description="Attempts before the delivery is dead; those of a platform that is down do not count.",
    )
    base: Annotated[Duration, AfterValidator(between("10ms", "1h"))] = Field(
        default=duration("1s"), description="First pause; it doubles with every attempt."
    )
    max: Annotated[Duration, AfterValidator(between("10ms", "7d"))] = Field(
        default=duration("10m"), description="Longest pause."
    )

    @model_validator(mode="after")
    def _base_is_shorter(self) -> Retry:
        if self.base > self.max:
            raise ValueError("has a base longer than its max (lower base or raise max)")
        return self


class Route(Section):
    """Which rows of a record type go to the connector, and through which mapping."""

    mapping: Name = Field(description="Name of the mapping, defined under mappings.")
    where: str | None = Field(
        default=None, min_length=1, description="JMESPath condition over the row; absent: every row."
    )


class ConnectorConfig(Section):
    """One external platform: protocol, channel, policy and routes."""

    kind: str = Field(description="Kind of platform: one whose options stand below, or one added by a plug-in.")
    url: Url = Field(description="Address of the platform as its kind takes it, without credentials.")
    auth: Auth | None = Field(default=None, description="Credentials.")
    tls: Tls = Field(default=Tls(), description="Certificates.")
    proxy: ProxyUrl | None = Field(default=None, description="URL of a proxy; the environment's proxies are not used.")
    allow_addresses: list[Network] = Field(
        default_factory=list, description="Private networks that may be dialled; default: public addresses only."
    )
    allow_hosts: list[HostPattern] = Field(
        default_factory=list, description="Hosts beside that of url that a request may name; *.domain: all below it."
    )
    bind: Way | None = Field(
        default=None, description="Network interface or source address: the platform is reached by it or not at all."
    )
    transport: Literal["curl", "requests"] = Field(default="curl", description="The HTTP client.")
    require: Guarantee | None = Field(
        default=None, description="The weakest guarantee with which the connector may start."
    )
    accept_unverified: Reason | None = Field(
        default=None,
        description="Why an EXACT_ class is served without a passing verdict of verify-receiver; kept for ever.",
    )
    after_reject: Literal["continue", "hold"] = Field(
        default="continue", description="After a rejected change: go on with the record's next one, or hold the record."
    )
    lanes: Count = Field(default=1, ge=1, le=64, description="Shards that may run on different daemons.")
    concurrency: Count = Field(default=16, ge=1, le=1024, description="Records under way at once, per lane.")
    rate: Rate | None = Field(
        default=None, description="Attempts per time, all lanes and daemons together: 50/s, 600/m; absent: no limit."
    )
    burst: Count | None = Field(
        default=None, ge=1, le=100_000, description="Attempts at once after a rest; absent: half a second of rate."
    )
    max_in_flight: Count | None = Field(
        default=None, ge=1, le=65_536, description="Records under way at once, all lanes and daemons together."
    )
    fuse: CountOrOff = Field(
        default=50,
        description="The connector pauses when most of so many latest records fail in the same way; `off`: never.",
    )
    page_size: Count | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Changes claimed at once, per lane; absent: 8 times concurrency, between 500 and 4000.",
    )
    start: Literal["beginning", "now"] = Field(
        default="beginning", description="What a connector new to the outbox starts with."
    )
    deadline: Annotated[Duration, AfterValidator(between("10ms", "1h"))] = Field(
        default=duration("10s"), description="Time for one attempt, all its requests together."
    )
    retry: Retry = Field(default=Retry(), description="How failed attempts are repeated.")
    options: Plain = Field(
        default_factory=dict,
        exclude=True,
        repr=False,
        description="What only this kind knows; see the tables of the kinds.",
    )
    routes: dict[Name, Route] = Field(min_length=1, description="Record types that go to this connector.")


class Daemon(Section):
    """How the daemon works."""

    lease: Annotated[Duration, AfterValidator(between("5s", "1h"))] = Field(
        default=duration("30s"), description="How long a lane stays ours without a sign of life; see above."
    )
    soft_deadline: Annotated[Duration, AfterValidator(between("10ms", "10m"))] = Field(
        default=duration("2s"), description="After this time a slow delivery leaves its page, so that the lane goes on."
    )
    retention: Annotated[Duration, AfterValidator(between("1h", "36500d"))] = Field(
        default=duration("30d"), description="How long settled changes are kept."
    )
    witness: BesideOrOff = Field(
        default=Path(".hms-sync/witness"),
        validate_default=True,
        description="Folder that remembers, outside the database, what was delivered; `off`: none.",
    )


class Web(Section):
    """The daemon's own pages: /metrics, /healthz, /readyz."""

    listen: Listen = Field(default="127.0.0.1:9187", description="host:port to listen on.")


class SyncConfig(Section):
    """The whole file."""

    version: Literal[1] = Field(description="Version of this format.")
    secrets_dir: Absolute | None = Field(
        default=None, description="Absolute folder of ${file:…}; absent: the folder secrets beside the config."
    )
    database: Database = Field(default=Database(), description="The application's database.")
    capture: dict[Name, CaptureTable] = Field(default_factory=dict, description="Captured tables by record type.")
    connectors: dict[Name, ConnectorConfig] = Field(default_factory=dict, description="Platforms by name.")
    mappings: dict[Name, Plain] = Field(default_factory=dict, description="Mappings by name; see docs/mapping.md.")
    daemon: Daemon = Field(default=Daemon(), description="How the daemon works.")
    web: Web = Field(default=Web(), description="The daemon's own pages.")
