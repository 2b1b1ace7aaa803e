"""Chunks from a local disk, by direct I/O: no copy in the page cache, no second copy by the processor."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edgechess_inference.weights.fetch_plan import Fault
from edgechess_inference.weights.source import OBJECT_BYTES_MAX, FetchFailed

BLOCK = 4096  # what O_DIRECT wants of address, offset and length on every common file system
DIRECT = getattr(os, "O_DIRECT", 0)  # not on macOS


class DiskSource:
    """A store's folder. `forgetful`: a cache, whose damaged chunks are deleted."""

    def __init__(self, folder: Path, *, name: str | None = None, direct: bool = True, forgetful: bool = False) -> None:
        self.name = name or f"disk {folder}"
        self._folder = folder
        self._direct = direct
        self._forgetful = forgetful

    def connect(self) -> DiskConnection:
        return DiskConnection(self._folder, self._direct)

    def discard(self, key: str) -> None:
        if self._forgetful:
            (self._folder / key).unlink(missing_ok=True)


class DiskConnection:
    """Reads files of one folder."""

    def __init__(self, folder: Path, direct: bool) -> None:
        self._folder = folder
        self._direct = direct

    def fetch(self, key: str, into: memoryview, start: int = 0) -> None:
        got = start
        try:
            with _opened(self._folder / key) as file:
                size = os.fstat(file).st_size
                if size != len(into):
                    raise FetchFailed(Fault.MISSING, f"{self._folder / key} has {size} bytes, not {len(into)}")
                got = self._directly(key, into, start)
                while got < len(into):
                    count = os.preadv(file, [into[got:]], got)
                    if not count:
                        raise FetchFailed(Fault.RESET, f"{self._folder / key} ended early", received=got)
                    got += count
        except OSError as error:
            raise self._failed(key, error, got) from error

    def _directly(self, key: str, into: memoryview, start: int) -> int:
        """Reads whole blocks past the page cache; how far it came, `start` where the file system refuses."""
        end = len(into) // BLOCK * BLOCK
        if not (self._direct and DIRECT) or start % BLOCK or start >= end:
            return start
        try:
            with _opened(self._folder / key, DIRECT) as file:
                got = start
                while got < end:
                    count = os.preadv(file, [into[got:end]], got)
                    if not count:
                        break
                    got += count
                return got
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
                self._direct = False  # this file system, or the address we were given, cannot
                return start
            raise

    def read(self, key: str) -> bytes:
        path = self._folder / key
        try:
            with path.open("rb") as file:
                data = file.read(OBJECT_BYTES_MAX + 1)
        except OSError as error:
            raise self._failed(key, error, 0) from error
        if len(data) > OBJECT_BYTES_MAX:
            raise FetchFailed(Fault.DENIED, f"{path} has more than {OBJECT_BYTES_MAX} bytes")
        return data

    def interrupt(self) -> None:
        """A read of one chunk ends by itself within milliseconds."""

    def close(self) -> None:
        """Nothing is held between two reads."""

    def _failed(self, key: str, error: OSError, received: int) -> FetchFailed:
        path = self._folder / key
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return FetchFailed(Fault.MISSING, f"{path} does not exist")
        if isinstance(error, PermissionError | IsADirectoryError):
            return FetchFailed(Fault.DENIED, f"{path} cannot be read: {error.strerror}")
        return FetchFailed(Fault.RESET, f"{path}: {error.strerror}", received=received)


class _opened:  # noqa: N801 — used as a function
    """A file descriptor for reading, closed at the end."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        self._path = path
        self._flags = flags

    def __enter__(self) -> int:
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | self._flags)
        return self._file

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
