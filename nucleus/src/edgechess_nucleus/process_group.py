"""A script of a component, running: the other end of its guardian's wires."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import anyio
import anyio.abc

from edgechess_nucleus import process_guardian
from edgechess_nucleus.errors import NucleusError

LINE_LIMIT_BYTES = 8192  # a longer line is cut into several: whoever prints without an end must not fill our memory
KILL_AFTER_S = 2.0  # the guardian's own SIGKILL did not end it by then; also for output that somebody still holds open

Say = Callable[[str], None]


class ScriptRefused(NucleusError):
    """The script could not be started; the text says why."""


class ProcessGroup:
    """One script and everything that it starts: `start`, then `run` as a task, and in the end `end`.

    Cancelling `run` ends everything as well, in the same order: SIGTERM, `grace_s`, SIGKILL. The last words of the
    processes are still heard.
    """

    def __init__(self, guardian: anyio.abc.Process, grace_s: float, say: Say) -> None:
        self._guardian = guardian
        self._grace_s = grace_s
        self._say = say
        self._told_to_end = anyio.Event()
        self._started = anyio.Event()
        self._ended = anyio.Event()
        self._gone = anyio.Event()
        self._code: int | None = None
        self.pid: int | None = None

    @classmethod
    async def start(
        cls, script: str, *, folder: Path, environment: Mapping[str, str], grace_s: float, say: Say
    ) -> ProcessGroup:
        """`say` gets every line of output. Raises ScriptRefused."""
        command = [sys.executable, "-I", "-S", process_guardian.__file__, f"{grace_s:g}", script]
        try:
            guardian = await anyio.open_process(
                command,
                stdin=subprocess.PIPE,  # never written to: it closes when this process is gone, however it went
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ScriptRefused(f"cannot be started: {error}") from error
        return cls(guardian, grace_s, say)

    async def run(self) -> None:
        """Listens to the script and to its guardian until nothing of them is left."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._end_in_time, name="end in time")
                with anyio.CancelScope(shield=True):
                    await self._listen()
                tasks.cancel_scope.cancel()
        finally:
            for event in (self._started, self._ended, self._gone):
                event.set()

    async def started(self) -> None:
        """The script's process is there (or it never will be)."""
        await self._started.wait()

    async def wait(self) -> int:
        """The script's exit code, negative for a signal. What it started in the background may go on."""
        await self._ended.wait()
        return -signal.SIGKILL if self._code is None else self._code

    async def end(self) -> None:
        """Returns when everything of it is gone."""
        self._told_to_end.set()
        await self._gone.wait()

    async def _end_in_time(self) -> None:
        try:
            await self._told_to_end.wait()
        finally:
            with anyio.CancelScope(shield=True):
                assert self._guardian.stdin is not None
                with contextlib.suppress(OSError, anyio.BrokenResourceError):
                    await self._guardian.stdin.aclose()
                with anyio.move_on_after(self._grace_s + KILL_AFTER_S):
                    await self._guardian.wait()
                if self._guardian.returncode is None:
                    self._guardian.kill()

    async def _listen(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._log, name="output")
            async for line in _lines(self._guardian.stdout):
                self._hear(line)
            code = await self._guardian.wait()
            if code != 0 and self.pid is not None:  # it was killed itself: its work falls to us
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
            tasks.cancel_scope.deadline = anyio.current_time() + KILL_AFTER_S
        await self._guardian.aclose()

    def _hear(self, line: str) -> None:
        match line.split():
            case ["started", pid]:
                self.pid = int(pid)
                self._started.set()
            case ["ended", code]:
                self._code = int(code)
                self._ended.set()

    async def _log(self) -> None:
        async for line in _lines(self._guardian.stderr):
            self._say(line)


async def _lines(stream: anyio.abc.ByteReceiveStream | None) -> AsyncIterator[str]:
    """Lines without their ends, cut at `LINE_LIMIT_BYTES`; the last one may have no end."""
    assert stream is not None
    rest = b""
    async for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            for start in range(0, max(len(line), 1), LINE_LIMIT_BYTES):
                yield line[start : start + LINE_LIMIT_BYTES].decode(errors="replace")
        while len(rest) > LINE_LIMIT_BYTES:
            yield rest[:LINE_LIMIT_BYTES].decode(errors="replace")
            rest = rest[LINE_LIMIT_BYTES:]
    if rest:
        yield rest.decode(errors="replace")
