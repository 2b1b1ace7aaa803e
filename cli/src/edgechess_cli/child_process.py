"""One component as a child process: its own log file, restarted when it dies, stopped in time."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio.abc import Process, TaskStatus

STOP_TIMEOUT_S = 40.0  # an arm controller brings its arms home first (20 s), and stops one that did not come (15 s)
RESTART_AFTER_S = 0.5
RESTARTS_IN_A_ROW = 5  # dies that often within HEALTHY_AFTER_S each time: it will not come up by trying again
HEALTHY_AFTER_S = 5.0


def interpreter(arguments: Sequence[str]) -> list[str]:
    """The command that runs `arguments` with this interpreter."""
    return [sys.executable, *arguments]


class ComponentDied(RuntimeError):
    """A component ends again and again; the text ends with the last lines of its log."""


@dataclasses.dataclass(slots=True)
class ChildProcess:
    """Runs `arguments` (after this interpreter) until cancelled. A child of its own session: Ctrl-C is the parent's.

    Its standard input is a pipe that stays open as long as this process lives.
    """

    name: str
    arguments: Sequence[str]
    log: Path
    inherits: Sequence[int] = ()
    """Open files of this process that it gets, each under its number."""
    process: Process | None = None
    restarts: int = 0

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Raises ComponentDied when it ends `RESTARTS_IN_A_ROW` times shortly after its start."""
        in_a_row = 0
        try:
            while True:
                started_s = anyio.current_time()
                code = await self._run_once(task_status if self.restarts == 0 and in_a_row == 0 else None)
                in_a_row = in_a_row + 1 if anyio.current_time() - started_s < HEALTHY_AFTER_S else 1
                if code == 2 or in_a_row >= RESTARTS_IN_A_ROW:
                    raise ComponentDied(f"{self.name} ended with code {code}:\n{self._last_lines()}")
                self.restarts += 1
                await anyio.sleep(RESTART_AFTER_S)
        finally:
            await self._stop()

    async def _run_once(self, task_status: TaskStatus[None] | None) -> int:
        with self.log.open("ab") as log:
            self.process = await anyio.open_process(
                interpreter(self.arguments),
                stdin=subprocess.PIPE,  # never written to: it closes when this process is gone, however it went
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self.inherits,
            )
        if task_status is not None:
            task_status.started()
        return await self.process.wait()

    def kill(self) -> None:
        """SIGKILL: no clean-up code runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def _stop(self) -> None:
        process = self.process
        if process is None or process.returncode is not None:
            return
        with anyio.CancelScope(shield=True):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with anyio.move_on_after(STOP_TIMEOUT_S):
                await process.wait()
            self.kill()
            await process.wait()

    def _last_lines(self, count: int = 12) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-count:])
