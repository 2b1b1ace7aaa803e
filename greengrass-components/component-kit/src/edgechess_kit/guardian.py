"""Runs a program that must not outlive us: `python -m edgechess_kit.guardian [--folder F] PROGRAM ARGUMENT…`.

The program ends when the guardian's standard input closes (whoever held the other end is gone, even by SIGKILL), on
SIGTERM or on SIGINT. The guardian ends with the program and with its exit code. POSIX has no other way that also
works for a program that gives up root: the parent-death signal of Linux is cleared by that.

Whoever holds the other end removes what it made for the program; `--folder` is removed here when nobody is left to do so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import anyio.abc

STOP_TIMEOUT_S = 1.0  # then SIGKILL; whoever waits for the guardian waits longer than this


async def guard(command: Sequence[str], folder: Path | None = None) -> int:
    """Runs the command until it ends or must end; returns its exit code. Raises OSError when it cannot be started."""
    # listened to from before the start: a signal that came in between would end us and leave the program behind
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        process = await anyio.open_process(command, stdin=subprocess.DEVNULL, stdout=None, stderr=None)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_until_ended, process, group.cancel_scope)
                group.start_soon(_until_first, received, group.cancel_scope)
                group.start_soon(until_orphaned, group.cancel_scope, folder)
        finally:
            await stop_process(process, STOP_TIMEOUT_S)
    return process.returncode or 0


async def stop_process(process: anyio.abc.Process, timeout_s: float) -> None:
    """SIGTERM, and SIGKILL where that did not end it in time. Also while the caller is being cancelled."""
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.terminate()
            with anyio.move_on_after(timeout_s):
                await process.wait()
        if process.returncode is None:
            process.kill()
        await process.aclose()


async def until_signal(scope: anyio.CancelScope) -> None:
    """Cancels the scope on SIGTERM or SIGINT."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        await _until_first(received, scope)


async def _until_first(received: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in received:
        scope.cancel()
        return


async def until_orphaned(scope: anyio.CancelScope, folder: Path | None = None) -> None:
    """Cancels the scope, and removes the folder, when standard input, a pipe or a terminal, closes. Anything else is not
    watched."""
    descriptor = sys.stdin.fileno()
    while True:
        try:
            await anyio.wait_readable(descriptor)
        except PermissionError:
            return  # a file or /dev/null: the kernel cannot wait for it, and nobody holds its other end
        if not os.read(descriptor, 4096):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            scope.cancel()
            return


async def _until_ended(process: anyio.abc.Process, scope: anyio.CancelScope) -> None:
    await process.wait()
    scope.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a program that ends when standard input closes.")
    parser.add_argument("--folder", type=Path, help="removed when standard input has closed")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="PROGRAM ARGUMENT")
    given = parser.parse_args()
    try:
        return anyio.run(guard, given.command, given.folder)
    except OSError as error:
        print(f"{given.command[0]}: {error.strerror}", file=sys.stderr)
        return 127  # the shell's code for a command that cannot be found


if __name__ == "__main__":
    sys.exit(main())
