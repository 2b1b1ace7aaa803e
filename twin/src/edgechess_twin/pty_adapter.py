"""A pseudo-terminal as a byte stream: the board's serial port in real time. Reads and writes never block a thread."""

from __future__ import annotations

import errno
import os
import select
import tty

import anyio
import anyio.abc

OPENED_POLL_S = 0.05  # the kernel tells nobody when a terminal is opened; people do not notice 50 ms


class PseudoTerminal(anyio.abc.ByteStream):
    """The board's side of one pseudo-terminal. `path` is what a host opens. Hosts may come and go.

    Without a host nothing is sent: like a serial port, it keeps no bytes for whoever opens it later.
    """

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)  # not kept open: its closing tells us that the host has gone
        os.set_blocking(self._master, False)
        self._closed = False
        self.host_left = False

    async def wait_opened(self) -> None:
        """Returns when a host has opened the port."""
        poll = select.poll()
        poll.register(self._master, 0)
        while any(event & select.POLLHUP for _, event in poll.poll(0)):  # noqa: ASYNC110 - nobody could set an event
            await anyio.sleep(OPENED_POLL_S)
        tty.setraw(self._master)  # the kernel restores cooked mode when the last host leaves
        self.host_left = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            try:
                data = os.read(self._master, max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._master)
                continue
            except OSError as error:
                if error.errno != errno.EIO:
                    raise anyio.BrokenResourceError from error
                data = b""
            if not data:
                self.host_left = True
                raise anyio.EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        """A full buffer loses bytes: there is no handshake on this line."""
        if self._closed:
            raise anyio.ClosedResourceError
        try:
            os.write(self._master, item)
        except BlockingIOError:
            pass
        except OSError as error:
            self.host_left = True
            raise anyio.BrokenResourceError from error
        await anyio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        raise NotImplementedError("a serial line has no end of file")

    async def aclose(self) -> None:
        """Ends nothing by itself: the port stays for the next host. `unplug` removes it."""
        await anyio.lowlevel.checkpoint()

    def unplug(self) -> None:
        """The port vanishes; a host that has it open sees it hang up."""
        if not self._closed:
            self._closed = True
            os.close(self._master)
