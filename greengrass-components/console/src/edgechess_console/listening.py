"""The page's listening socket: opened here, or before this process was started by whoever started it."""

from __future__ import annotations

import ipaddress
import socket

from edgechess_console.settings import LOOPBACK

BACKLOG = 128  # connections that wait while a console is started anew


def listening(host: str, port: int) -> socket.socket:
    """Port 0: any free one. Nobody else can take the port from now on. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def inherited(descriptor: int, host: str) -> socket.socket:
    """The socket that `listening` made in the process that started this one. Raises OSError for one that is none, and for one
    that others can reach though `host` is loopback."""
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
