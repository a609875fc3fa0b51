"""Where a database server may be dialled: the addresses of its name that the channel allows."""

from __future__ import annotations

import socket

from connectors.channel import Channel
from connectors.transports.base import Dial, failure


def addresses(host: str, port: int, channel: Channel) -> list[str]:
    """The addresses of the host that may be dialled. Raises TransportFailure where there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise failure(f"the name {host} cannot be resolved: {error.strerror}", sent=False) from error
    dial = Dial(channel)
    permitted = [address for address in dict.fromkeys(str(each[4][0]) for each in found) if dial.permits(address)]
    if not permitted:
        raise failure("", sent=False, refused=dial.refused)
    return permitted
