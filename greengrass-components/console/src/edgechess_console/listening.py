"""The page's address, and its listening socket where whoever started this process opened it."""

from __future__ import annotations

import ipaddress
import socket

from edgechess_console.settings import LOOPBACK


def inherited(descriptor: int, host: str) -> socket.socket:
    """The socket that `edgechess_kit.listening` made in the process that started this one.

    Raises OSError for one that is none, and for one that others can reach though `host` is loopback.
    """
    sock = socket.socket(fileno=descriptor)
    try:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(0, "the inherited socket does not listen")
        if host in LOOPBACK and not ipaddress.ip_address(sock.getsockname()[0]).is_loopback:
            raise OSError(0, "the inherited socket is not on loopback, and console.host is")
    except (OSError, ValueError) as error:
        sock.close()
        raise error if isinstance(error, OSError) else OSError(0, str(error)) from error
    return sock


def address_of(host: str, port: int, *, secure: bool) -> str:
    """Without any secret: whoever opens it is asked for a token where there is one."""
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
