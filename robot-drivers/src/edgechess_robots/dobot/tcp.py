"""The TCP connections to a controller. Live hardware needs an explicit word."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

Connect = Callable[[int], Awaitable[anyio.abc.ByteStream]]
"""Opens a stream to the controller's port with this (documented) number. Raises OSError."""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def connect_tcp_to(host: str, port_offset: int = 0, live: bool = False) -> Connect:
    """`port_offset` is added to the vendor's port numbers, for twins that share one address.

    Raises ValueError for a host that is not this machine, unless `live` says that a real arm may move.
    """
    if not live and not is_loopback(host):
        raise ValueError(f"{host} is not this machine: a real arm would move there; set live = true if that is meant")

    async def connect(port: int) -> anyio.abc.ByteStream:
        return await anyio.connect_tcp(host, port + port_offset)

    return connect
