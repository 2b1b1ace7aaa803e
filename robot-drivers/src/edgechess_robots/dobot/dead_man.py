"""The dead man of one Dobot: a process that stops the arm when ours dies. See `dead_man_process` for what it does.

It belongs to a link that is a socket. A wire in memory (virtual time) has none: there a process that is killed loses its
wires, and nothing more can be said of it.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import anyio
import anyio.abc

from edgechess_robots.dobot import dead_man_process
from edgechess_robots.errors import ArmRefused

START_S = (
    5.0  # an interpreter without third parties starts in a tenth of a second, on a busy small machine in one or two
)
AGAIN_S = 0.2  # before one that ended is started again
FAREWELL_S = 1.0  # it has nothing to do but to end; whoever opens the next link must not meet this one's

log = logging.getLogger(__name__)


class DeadMan:
    """`present`: the process is alive and holds the link. None: there was no link yet that it could hold."""

    def __init__(self, name: str, changed: Callable[[], None]) -> None:
        """`changed` is called when `present` is another."""
        self.present: bool | None = None
        self.process_id: int | None = None
        self._name = name
        self._tell = changed
        self._changed = anyio.Event()

    @contextlib.asynccontextmanager
    async def watching(self, stream: anyio.abc.ByteStream) -> AsyncIterator[None]:
        """As long as the block; then, with the link's last Stop sent and the stream closed, it is told to go."""
        link = stream.extra(anyio.abc.SocketAttribute.raw_socket, None)
        if link is None:
            yield
            return
        self._set(False)
        scope = anyio.CancelScope(shield=True)  # whoever cancels us waits until the arm was stopped, and so does it
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep, link.fileno(), scope, name=f"{self._name} dead man")
            try:
                yield
            finally:
                scope.cancel()

    async def there(self) -> None:
        """Returns when it is there, or needs not be. Raises ArmRefused when it does not come up: nothing may move then."""
        try:
            with anyio.fail_after(START_S):
                while self.present is False:
                    await self._changed.wait()
        except TimeoutError:
            raise ArmRefused(
                f"arm {self._name}: its dead man, the process that would stop it if this one died, does not start"
            ) from None

    async def _keep(self, descriptor: int, scope: anyio.CancelScope) -> None:
        with scope:
            while True:
                try:
                    await self._once(descriptor)
                except OSError as error:
                    log.error("arm %s: its dead man cannot be started: %s", self._name, error)
                await anyio.sleep(AGAIN_S)

    async def _once(self, descriptor: int) -> None:
        process = await anyio.open_process(
            [sys.executable, "-m", dead_man_process.__name__, str(descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            pass_fds=(descriptor,),
            start_new_session=True,  # a signal to our group is none of its business
        )
        try:
            assert process.stdout is not None
            with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await process.stdout.receive()
                self.process_id = process.pid
                self._set(True)
            await process.wait()
            log.warning("arm %s: its dead man has ended with code %s", self._name, process.returncode)
        finally:
            self._set(False)
            await _dismiss(process)

    def _set(self, present: bool | None) -> None:
        if present is not True:
            self.process_id = None
        if present != self.present:
            self.present = present
            self._changed.set()
            self._changed = anyio.Event()
            self._tell()


async def _dismiss(process: anyio.abc.Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None and process.stdin is not None:
            with contextlib.suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await process.stdin.send(dead_man_process.FAREWELL)
            with anyio.move_on_after(FAREWELL_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
        await process.aclose()
