"""One process at a time moves an arm: whoever means to, claims its address first.

A claim is a lock on a file of this machine's temporary folder, which the kernel drops when its process ends, however that
comes about. It needs no broker. It does not see other machines, nor processes with a temporary folder of their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgechess_robots.errors import ArmClaimed

WORDS_BYTES = 200  # of who holds it


@contextlib.contextmanager
def claimed(name: str, host: str, port: int, who: str) -> Iterator[None]:
    """The arm at this address is ours as long as the block; `who` is what others are told. Raises ArmClaimed; OSError
    where no lock can be made."""
    file = _open(_path(host, port))
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, WORDS_BYTES, 0).decode("utf-8", errors="replace").strip() or "another process"
            raise ArmClaimed(
                f"arm {name} at {host}:{port} is held by {holder}: two that move one arm would not know of each other;"
                " end that first"
            ) from None
        with contextlib.suppress(OSError):  # another user's file: it can be locked, but not written
            os.ftruncate(file, 0)
            os.pwrite(file, f"{who} (process {os.getpid()})\n".encode()[:WORDS_BYTES], 0)
        yield
    finally:
        os.close(file)


def _path(host: str, port: int) -> Path:
    try:
        number = socket.gethostbyname(host)
    except (OSError, UnicodeError):
        number = host  # a name that nobody knows now: the connection will say so
    return Path(tempfile.gettempdir()) / f"edgechess-arm-{number}-{port}.lock"


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except PermissionError:  # another user's, in a folder for everybody: reading is enough for a lock
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
