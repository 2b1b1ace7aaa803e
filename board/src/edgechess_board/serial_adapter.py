"""Serial ports as byte streams: finding the board's port, exclusive opening, reads and writes without threads.

pyserial configures the port; the bytes go through its file descriptor, which anyio waits for. Works on USB serial
devices, rfcomm and the slave side of a pseudo-terminal, under asyncio and trio. POSIX only.
"""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import anyio
import serial
from anyio.abc import ByteStream

from edgechess_board.dgt_protocol import BAUD
from edgechess_board.errors import BoardNotFound
from edgechess_board.port import PortAttribute

PATTERNS = ("/dev/ttyACM*", "/dev/ttyUSB*", "/dev/rfcomm*")  # where DGT boards turn up on Linux
OPEN_PAUSE_S = 0.5  # rfcomm: picochess waits this long before the first byte
PERMISSION_CURE = "your user may not open it: sudo usermod -aG dialout $USER, then log in again"


class SerialStream(ByteStream):
    """One open port. Not shared: one task receives, one sends."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port
        self._closed = False

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {PortAttribute.name: lambda: str(self._port.name)}

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """At least one byte. Raises EndOfStream when the device is gone, ClosedResourceError after `aclose`."""
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            await anyio.wait_readable(self._port.fileno())
            try:
                data = os.read(self._port.fileno(), max_bytes)
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno == errno.EIO:  # the other end of a pseudo-terminal closed, or the device was pulled
                    raise anyio.EndOfStream from error
                raise anyio.BrokenResourceError(str(error)) from error
            if not data:
                raise anyio.EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        """All of it. Raises BrokenResourceError, or ClosedResourceError after `aclose`."""
        view = memoryview(item)
        while view:
            if self._closed:
                raise anyio.ClosedResourceError
            await anyio.wait_writable(self._port.fileno())
            try:
                view = view[os.write(self._port.fileno(), view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise anyio.BrokenResourceError(str(error)) from error

    async def send_eof(self) -> None:
        """A serial line has no end of file; nothing happens."""

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            anyio.notify_closing(self._port.fileno())
            self._port.close()


class SerialPorts:
    """Where a board may be: one named path, or ("auto") every port that looks like one, each in its turn.

    With "auto", each call of `open` begins behind the port that was opened last: a port that opens but has no board
    behind it does not keep the others from being tried.
    """

    def __init__(self, path: str = "auto", patterns: Sequence[str] = PATTERNS) -> None:
        self._path = path
        self._patterns = tuple(patterns)
        self._last: str | None = None

    def candidates(self) -> list[str]:
        """Paths to try, the last opened one last."""
        if self._path != "auto":
            return [self._path]
        paths = [path for pattern in self._patterns for path in sorted(glob.glob(pattern))]
        if self._last in paths:
            behind = paths.index(self._last) + 1
            paths = paths[behind:] + paths[:behind]
        return paths

    async def open(self) -> ByteStream:
        """The first candidate that opens, exclusively. Raises BoardNotFound naming what was tried and the cure."""
        candidates = self.candidates()
        if not candidates:
            raise BoardNotFound(f"no serial port found ({', '.join(self._patterns)}): is the board plugged in?")
        refusals = []
        for path in candidates:
            try:
                port = _open(path)
            except OSError as error:  # pyserial's SerialException is one
                refusals.append(f"{path}: {_refusal(path, error)}")
                continue
            self._last = path
            if "rfcomm" in path:
                await anyio.sleep(OPEN_PAUSE_S)
            return SerialStream(port)
        raise BoardNotFound("; ".join(refusals))


def _open(path: str) -> serial.Serial:
    # Opened, closed and opened: a connection that was interrupted recovers (asyncdgt's observation).
    port = serial.Serial(path, baudrate=BAUD, timeout=0, write_timeout=0, exclusive=True)
    port.close()
    port.open()
    return port


def _refusal(path: str, error: OSError) -> str:
    """Why this path did not open, for people. pyserial keeps the errno where the kernel gave one."""
    if not os.path.exists(path):
        return "there is no such port"
    if error.errno == errno.EACCES:
        return PERMISSION_CURE
    if error.errno in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
        return "another program has it open"
    return str(error)
