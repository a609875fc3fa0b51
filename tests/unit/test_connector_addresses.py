"""The table of addresses that a connector may and may not dial."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from connectors.addresses import allowed

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.9.9.9", "93.184.216.34", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
    "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.254",
    "168.63.129.17", "169.253.255.255", "169.255.0.0", "11.0.0.0", "2606:4700:4700::1111", "2001:4860:4860::8888",
    "2a00:1450:4001:82b::200e", "2400:cb00::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
]  # fmt: skip
NOT_PUBLIC = [
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",  # private
    "100.64.0.1", "100.127.255.255",  # carrier-grade NAT
    "192.0.0.8", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "192.88.99.1",  # special
    "240.0.0.1", "254.1.2.3",  # reserved
    "fc00::1", "fd12:3456:789a::1", "fec0::1", "2001:db8::1", "3fff::1", "2001:2::1", "2001:10::1", "100::1", "4000::1",
    "5f00::1", "64:ff9b:1::8.8.8.8",
    # carrying something private
    "::ffff:10.0.0.1", "::ffff:192.168.1.1", "::ffff:0:10.0.0.1", "::10.0.0.1", "64:ff9b::10.0.0.1",
    "2002:a00:1::1", "2002:c0a8:101::1",
    "2001:0:a00:1::f7f7:f7f7",  # Teredo, private server
    "2001:0:808:808::f5ff:fffe",  # Teredo, private client
    "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:192.168.0.1",  # ISATAP
]  # fmt: skip
LOCKED = [
    "127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
    "169.254.169.254", "169.254.170.2", "169.254.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "febf::1",
    "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255",
    "::ffff:169.254.169.254", "::ffff:0.0.0.0", "64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254",
    "2002:a9fe:a9fe::1", "::169.254.169.254", "2001:0:808:808::5601:5601", "fd00::5efe:169.254.169.254",
]  # fmt: skip
EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert allowed(address)


@pytest.mark.parametrize("address", NOT_PUBLIC + LOCKED)
def test_other_addresses_are_refused(address: str) -> None:
    assert not allowed(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_they_open_where_their_network_is_named(address: str) -> None:
    assert allowed(address, EVERYTHING)


@pytest.mark.parametrize("address", LOCKED)
def test_a_broad_network_never_opens_the_locked_ones(address: str) -> None:
    assert not allowed(
        address, (*EVERYTHING, ip_network("fd00::/8"), ip_network("100.64.0.0/10"), ip_network("128.0.0.0/1"))
    )


@pytest.mark.parametrize(
    ("address", "network", "opens"),
    [
        ("169.254.169.254", "169.254.169.254/32", True),
        ("169.254.169.254", "169.254.0.0/16", False),
        ("169.254.1.2", "169.254.0.0/16", True),
        ("169.254.1.2", "169.254.1.0/24", True),
        ("169.254.1.2", "169.0.0.0/8", False),
        ("fe80::1", "fe80::/10", True),
        ("fd00:ec2::254", "fd00:ec2::254/128", True),
        ("fd00:ec2::254", "fd00:ec2::/64", False),
        ("10.1.2.3", "10.1.0.0/16", True),
        ("10.2.2.3", "10.1.0.0/16", False),
        ("::ffff:10.1.2.3", "10.1.0.0/16", True),
        ("127.0.0.1", "::/0", False),
        ("127.0.0.1", "0.0.0.0/0", False),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("::ffff:127.0.0.1", "127.0.0.0/8", True),
        ("::1", "::/0", False),
        ("::1", "::1/128", True),
    ],
)
def test_what_a_network_opens(address: str, network: str, *, opens: bool) -> None:
    assert allowed(address, (ip_network(network),)) is opens


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len(set(PUBLIC + NOT_PUBLIC + LOCKED)) >= 60
