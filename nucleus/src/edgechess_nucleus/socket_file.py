"""The file of a Unix socket: whether one can listen there."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from edgechess_nucleus.errors import NucleusError

PATH_LIMIT_BYTES = 107  # sockaddr_un.sun_path is 108 bytes, one of them the final zero


class SocketError(NucleusError):
    """The socket cannot be made there; the text names the path and the cure."""


def require_short(path: Path) -> None:
    """Raises SocketError when the path is too long for a socket."""
    size = len(os.fsencode(path))
    if size > PATH_LIMIT_BYTES:
        raise SocketError(
            f"{path}: {size} bytes, and the path of a Unix socket has room for {PATH_LIMIT_BYTES}: choose a shorter folder"
        )


def make_room(path: Path) -> None:
    """Removes a socket that nobody listens at any more. Raises SocketError: too long a path, something else there, or
    somebody who listens."""
    require_short(path)
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketError(f"{path}: there is a file of that name that is no socket; it stays")
        if _is_served(path):
            raise SocketError(f"{path}: another runtime listens there; stop it, or use another folder")
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketError(f"{path}: no socket can be made there: {error.strerror}") from error


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
    return True
