"""Values with a unit or a form of their own: durations, sizes, names, addresses, URLs, as pydantic types."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, ValidationInfo, WithJsonSchema

from connectors.sizes import PATTERN as SIZE
from connectors.sizes import size

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)/(s|m|h)")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
_TABLE = re.compile(r'("(?:[^"]|"")+"|[^\s".;]+)(\.("(?:[^"]|"")+"|[^\s".;]+))?')
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
_PIN = re.compile(r"sha256/[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
MIN_REASON: Final = 12
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\]")


def duration(value: object) -> timedelta:
    """``250ms``, ``10s``, ``5m``, ``2h``, ``30d`` as a timedelta; a bare number has no unit and is refused."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("is not a duration (write a number and a unit: 250ms, 10s, 5m, 2h, 30d)")
    try:
        return timedelta(seconds=float(Decimal(match[1]) * _SECONDS[match[2]]))
    except OverflowError:
        raise ValueError("is too long for a duration (30d is a month)") from None


def duration_text(value: timedelta) -> str:
    """A duration in the form that the config takes."""
    milliseconds = value // timedelta(milliseconds=1)
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"


def rate(value: object) -> float:
    """``50/s``, ``600/m``, ``1000/h`` as a number per second."""
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not Decimal(match[1]):
        raise ValueError("is not a rate (write a number and a time: 50/s, 600/m, 1000/h)")
    return float(Decimal(match[1]) / _SECONDS[match[2]])


def rate_text(value: float) -> str:
    """A rate in the form that the config takes."""
    for unit in ("s", "m", "h"):
        number = Decimal(str(value)) * _SECONDS[unit]
        if number >= 1:
            break
    return f"{float(number):.6g}/{unit}"


def between(low: str, high: str) -> Callable[[timedelta], timedelta]:
    """The check that a duration lies between two others."""

    def check(value: timedelta) -> timedelta:
        if not duration(low) <= value <= duration(high):
            raise ValueError(f"is out of range (from {low} to {high})")
        return value

    return check


def size_between(low: str, high: str) -> Callable[[int], int]:
    """The check that a size lies between two others."""

    def check(value: int) -> int:
        if not size(low) <= value <= size(high):
            raise ValueError(f"is out of range (from {low} to {high})")
        return value

    return check


def name(value: str) -> str:
    """A name that becomes a key and a metric label."""
    if not _NAME.fullmatch(value):
        raise ValueError("is not a usable name (letters, digits, _, - and ., at most 63, not beginning with - or .)")
    return value


def not_a_truth_value(value: object) -> object:
    """Refuse ``true`` where a number is meant; pydantic would read it as 1."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number, not true or false")  # noqa: TRY004 (pydantic catches ValueError)
    return value


def table(value: str) -> str:
    """The name of a table, perhaps with its schema, perhaps quoted."""
    if not _TABLE.fullmatch(value):
        raise ValueError("is not the name of a table (write schema.table)")
    return value


def header(value: str) -> str:
    """The name of an HTTP header (RFC 9110, token)."""
    if not _HEADER.fullmatch(value):
        raise ValueError("is not the name of a header (write a name such as X-Api-Key)")
    return value


def reason(value: str) -> str:
    """Why somebody answers for something: more than a word, because it is read long afterwards."""
    text = " ".join(value.split())
    if len(text) < MIN_REASON:
        raise ValueError(f"is no reason that helps anybody later (write at least {MIN_REASON} characters)")
    return text


def user_name(value: SecretStr) -> SecretStr:
    """A user of basic authentication: the colon ends it (RFC 7617)."""
    if ":" in value.get_secret_value():
        raise ValueError("holds a colon, which no user of basic authentication can have (check the name)")
    return value


def header_value(value: SecretStr) -> SecretStr:
    """A credential that fits into one header line."""
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("is empty or holds a character that no header can carry (check for line breaks)")
    return value


def absolute(value: Path) -> Path:
    """An absolute path."""
    if not value.is_absolute():
        raise ValueError("is not an absolute path (write it from /, or remove the key)")
    return value


def beside(value: Path, info: ValidationInfo) -> Path:
    """A path relative to the folder of the config, made absolute."""
    folder = (info.context or {}).get("folder", Path())
    return Path(folder) / value


def not_off(value: object) -> object:
    """``off`` means none."""
    return None if value == "off" else value


def beside_unless_off(value: Path | None, info: ValidationInfo) -> Path | None:
    """A path relative to the folder of the config, if there is one at all."""
    return None if value is None else beside(value, info)


def network(value: str) -> str:
    """A network in CIDR form."""
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        cure = _network_cure(value)
        raise ValueError(f"is not a network in CIDR form ({cure})") from None


def _network_cure(value: str) -> str:
    try:
        return f"the host bits are set; write {ipaddress.ip_network(value, strict=False)}"
    except ValueError:
        return "write 10.1.0.0/16 or 2001:db8::/32"


def host_pattern(value: str) -> str:
    """The name of a host, or ``*.domain``."""
    if not _HOST.fullmatch(value.removeprefix("*.")):
        raise ValueError("is not the name of a host (write api.example.org, or *.example.org for all below it)")
    return value


def way(value: str) -> str:
    """A network interface of Linux, or an address of this machine."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        if _INTERFACE.fullmatch(value) and any(character.isalpha() for character in value):
            return value
        raise ValueError("is neither an interface nor an address (write wg0, or 10.8.0.2)") from None


def pin(value: str) -> str:
    """The hash of a public key as RFC 7469 writes it."""
    if not _PIN.fullmatch(value):
        raise ValueError("is not the hash of a public key (write sha256/ and the 44 characters of its base64)")
    return value


def listen(value: str) -> str:
    """``host:port`` to listen on; an empty host would listen on all addresses unasked."""
    match = _LISTEN.fullmatch(value)
    if match is None or int(match[2]) > 65535:
        raise ValueError("is not an address to listen on (write host:port, for example 127.0.0.1:9187)")
    return value


def url(value: str) -> str:
    """An absolute URL without credentials; which schemes it may have is known by the connector's kind."""
    parts = _split(value)
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or password; URLs are logged (put credentials under auth)")
    if parts.fragment or "#" in value:
        raise ValueError("has a fragment (#…), which is never sent (remove it)")
    return value


def proxy(value: SecretStr) -> SecretStr:
    """An absolute http URL; it may hold the credentials of the proxy, hence a secret."""
    if _split(value.get_secret_value()).scheme != "http":
        raise ValueError("is not the http URL of a proxy (write http://proxy:3128)")
    return value


def _split(value: str) -> SplitResult:
    if any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError("holds a space or control character (remove it, or encode it as %20)")
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL (write https://host:port/path)") from None
    if not parts.scheme:
        raise ValueError("is not an http or https URL (write https://host/path)")
    if parts.scheme in ("sqlite", "file") and not parts.netloc:
        return parts
    if not host or not _HOST.fullmatch(host if ":" not in host else f"[{host}]"):
        raise ValueError("names no host (write https://host/path)")
    return parts


_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["10s", "5m"]})
_SIZE_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": f"^{SIZE.pattern}$"}], "examples": ["16MiB"]}
)

_AS_WRITTEN = PlainSerializer(duration_text, return_type=str, when_used="json")

Duration: TypeAlias = Annotated[timedelta, BeforeValidator(duration), _AS_WRITTEN, _DURATION_SCHEMA]
Rate: TypeAlias = Annotated[
    float,
    BeforeValidator(rate),
    PlainSerializer(rate_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_RATE.pattern}$", "examples": ["50/s", "600/m"]}),
]
Size: TypeAlias = Annotated[int, BeforeValidator(size), _SIZE_SCHEMA]
Name: TypeAlias = Annotated[str, AfterValidator(name)]
Count: TypeAlias = Annotated[int, BeforeValidator(not_a_truth_value)]
CountOrOff: TypeAlias = Annotated[
    Annotated[int, Field(ge=5, le=1000)] | None,
    BeforeValidator(not_off),
    BeforeValidator(not_a_truth_value),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 5, "maximum": 1000}, {"const": "off"}]}),
]
Network: TypeAlias = Annotated[str, AfterValidator(network)]
HostPattern: TypeAlias = Annotated[str, AfterValidator(host_pattern)]
Way: TypeAlias = Annotated[str, AfterValidator(way)]
Pin: TypeAlias = Annotated[str, AfterValidator(pin)]
Listen: TypeAlias = Annotated[str, AfterValidator(listen)]
Url: TypeAlias = Annotated[str, AfterValidator(url)]
ProxyUrl: TypeAlias = Annotated[SecretStr, AfterValidator(proxy)]
TableName: TypeAlias = Annotated[str, AfterValidator(table)]
HeaderName: TypeAlias = Annotated[str, AfterValidator(header)]
Reason: TypeAlias = Annotated[str, AfterValidator(reason)]
UserName: TypeAlias = Annotated[SecretStr, AfterValidator(user_name)]
HeaderValue: TypeAlias = Annotated[SecretStr, AfterValidator(header_value)]
Absolute: TypeAlias = Annotated[Path, AfterValidator(absolute)]
Beside: TypeAlias = Annotated[Path, AfterValidator(beside)]
BesideOrOff: TypeAlias = Annotated[
    Path | None,
    BeforeValidator(not_off),
    AfterValidator(beside_unless_off),
    WithJsonSchema({"type": "string", "format": "path"}),
]
Plain: TypeAlias = dict[str, Any]
