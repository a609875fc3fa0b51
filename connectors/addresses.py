"""Which addresses a connector may dial: public ones, and others only where the configuration names their network.

Checked on the address actually dialled, so that a name that changes its mind between look-up and connect
(rebinding) gains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


# Opened only by a network that lies within the range itself: "10.0.0.0/8" or "0.0.0.0/0" never opens these.
_LOCKED = _networks(
    "169.254.169.254/32",  # metadata services of clouds
    "169.254.170.2/32",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "168.63.129.16/32",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
    "169.254.0.0/16",  # link-local
    "fe80::/10",
    "127.0.0.0/8",  # loopback
    "::1/128",
    "0.0.0.0/8",  # this host
    "::/128",
    "224.0.0.0/4",  # multicast
    "ff00::/8",
    "255.255.255.255/32",
)
_NOT_PUBLIC = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
)
_PUBLIC_V6 = IPv6Network("2000::/3")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_LAST_32_BITS = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated
    IPv6Network("64:ff9b::/96"),  # NAT64
)
# In these ranges the carried address is the whole truth; elsewhere the carrier must be allowed as well.
_TRANSITION = (*_LAST_32_BITS, _SIX_TO_FOUR, _TEREDO)
_LOCAL_LAST_32_BITS = (IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def allowed(ip: IPAddress | str, allow: Sequence[IPNetwork] = ()) -> bool:
    """True when ``ip`` may be dialled; an address that carries IPv4 inside is judged by what it carries."""
    address = ip_address(ip)
    if not all(_allowed_plain(each, allow) for each in _inside(address)):
        return False
    return any(address in network for network in _TRANSITION) or _allowed_plain(address, allow)


def address_or_none(text: str) -> IPAddress | None:
    """The address that ``text`` is, None where it is something else."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _allowed_plain(address: IPAddress, allow: Sequence[IPNetwork]) -> bool:
    lock = next((network for network in _LOCKED if address in network), None)
    if lock is not None:
        return any(address in network and _within(network, lock) for network in allow)
    return _is_public(address) or _is_named(address, allow)


def _is_public(address: IPAddress) -> bool:
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return isinstance(address, IPv4Address) or address in _PUBLIC_V6


def _is_named(address: IPAddress, allow: Sequence[IPNetwork]) -> bool:
    return any(address in network for network in allow)


def _within(inner: IPNetwork, outer: IPNetwork) -> bool:
    return inner.version == outer.version and inner.network_address in outer and inner.prefixlen >= outer.prefixlen


def _inside(address: IPAddress) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address carries, by whatever transition mechanism."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    if address in _SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & 0xFFFF_FFFF)
    elif address in _TEREDO:
        yield IPv4Address(number >> 64 & 0xFFFF_FFFF)
        yield IPv4Address(~number & 0xFFFF_FFFF)
    elif number > 1 and _carries_in_last_bits(address):
        yield IPv4Address(number & 0xFFFF_FFFF)


def _carries_in_last_bits(address: IPv6Address) -> bool:
    marked = int(address) >> 32 & 0xFFFF_FFFF in _ISATAP
    return marked or any(address in network for network in (*_LAST_32_BITS, *_LOCAL_LAST_32_BITS))
