"""The TCP connections to a controller. Live hardware needs an explicit word."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

Connect = Callable[[int], Awaitable[anyio.abc.ByteStream]]
"""Opens a stream to the controller's port with this (documented) number. Raises OSError."""


_NOT_IN_A_HOST = re.compile(r"[\s/?#@\[\]]")  # of a URL, or a slip of the hand
LARGEST_PORT = 65_535


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def connect_tcp_to(host: str, port_offset: int = 0, live: bool = False) -> Connect:
    """`port_offset` is added to the vendor's port numbers, for twins that share one address.

    Raises ValueError for what is no host, and for one that is not this machine, unless `live` says that a real arm may
    move.
    """
    _require_host(host)
    if not live and not is_loopback(host):
        raise ValueError(f"{host} is not this machine: a real arm would move there; set live = true if that is meant")

    async def connect(port: int) -> anyio.abc.ByteStream:
        if not 0 < port + port_offset <= LARGEST_PORT:
            raise OSError(f"there is no port {port + port_offset}: port_offset {port_offset} is added to {port}")
        try:
            return await anyio.connect_tcp(host, port + port_offset)
        except OSError as error:
            raise OSError(_why(error)) from error

    return connect


def _why(error: OSError) -> str:
    """anyio says that all attempts failed; what the first one met (refused, no route, no such name) says more."""
    first: BaseException | None = error.__cause__
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    met = first if isinstance(first, OSError) else error
    if met.errno is not None and met.errno > 0:  # those of a name that nobody knows are below
        return os.strerror(met.errno)
    return met.strerror or str(met)


def _require_host(host: str) -> None:
    """Raises ValueError for what cannot even be looked up."""
    if not host or _NOT_IN_A_HOST.search(host) or host.count(":") == 1:
        raise ValueError(
            f"host is {host!r}: expected an address or a name alone, such as 192.168.5.1, without http:// and port"
        )
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"host is {host!r}: no address, and no name can be like that ({error})") from None
