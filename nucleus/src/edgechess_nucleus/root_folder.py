"""The folder that holds everything the runtime keeps, laid out as Greengrass' own root, and its lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.interpolation import ComponentPaths
from edgechess_nucleus.socket_file import make_room, require_short
from edgechess_nucleus.versions import Version

PRIVATE = 0o700  # state and logs hold games, what people did, and configurations: the user's own
OWN_FOLDERS = ("logs", "config", "work", "packages", "table", "workspace-artifacts")  # all that lies in a root


class RootError(NucleusError):
    """The folder cannot be used; the text says why and what helps."""


class RootFolder:
    """Paths of one runtime. Use it inside `locked`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.state = self.path / "config" / "state.json"
        self.shadows = self.path / "config" / "shadows.json"
        self.ipc_socket = self.path / "ipc.socket"
        self.control_socket = self.path / "control.socket"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes what is missing; nobody else may look into it. Raises RootError: not a folder of ours to write, or in use; SocketError: no place for
        our sockets in it."""
        for path in (self.ipc_socket, self.control_socket):
            require_short(path)
        try:
            self.path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            for folder in OWN_FOLDERS:
                self._make(folder)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RootError(f"{error.filename}: {error.strerror}: choose another root folder") from error
        try:
            self._lock(lock)
            for path in (self.ipc_socket, self.control_socket):
                make_room(path)  # what a killed runtime left: the lock says that it is gone
            yield
        finally:
            os.close(lock)

    def _make(self, name: str) -> None:
        """Also a folder that was there becomes private; a root that somebody else made keeps its own mode."""
        folder = self.path / name
        folder.mkdir(mode=PRIVATE, exist_ok=True)
        folder.chmod(PRIVATE)

    def _lock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
            raise RootError(
                f"{self.path} is in use by process {owner}: stop that one, or choose another root folder"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())

    def paths_of(self, component: str, version: Version) -> ComponentPaths:
        """As Greengrass lays them out; the work folder is the same for every version."""
        packages = self.path / "packages"
        return ComponentPaths(
            artifacts=packages / "artifacts" / component / str(version),
            unarchived=packages / "artifacts-unarchived" / component / str(version),
            work=self.path / "work" / component,
        )
