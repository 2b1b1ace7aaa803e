"""A listening TCP socket for the pages that a component serves."""

from __future__ import annotations

import socket

BACKLOG = 128  # connections that wait while whoever serves them is started, or started anew


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
