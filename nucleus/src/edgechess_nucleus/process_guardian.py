"""Runs one script so that nothing of it outlives whoever asked: `python process_guardian.py SECONDS SCRIPT`.

Standard library only and one file, because it is started as a file by an isolated interpreter: a component's life must
not hang on what else is installed, and twenty milliseconds matter when five components start.

The script is run by `/bin/sh -c` in a process group of its own. On standard output the guardian says, a line each,
`started PID` and `ended CODE` (negative: the signal). It goes on until standard input closes (whoever held the other
end wants it so, or is gone, even by SIGKILL) or SIGTERM comes: then SIGTERM for everything that descends from the
script, daemons in sessions of their own included, and SIGKILL after SECONDS. The script's own output goes to the
guardian's standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: orphans of our descendants become our children, not init's
POLL_S = 0.02  # between two looks at descendants that are told to end; nobody signals the death of a grandchild
CHUNK_BYTES = 4096


def descendants() -> list[int]:
    """Process ids below this one, by /proc; without /proc (macOS) none are known but the group."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # the command's name is in parentheses and may hold spaces: state and parent come after the last one
            state, parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                parents.setdefault(int(parent), []).append(int(entry.name))
    found, open_ = [], [os.getpid()]
    while open_:
        below = parents.get(open_.pop(), [])
        found += below
        open_ += below
    return found


def signal_all(group: int, number: signal.Signals) -> None:
    """Each process once: a second SIGTERM means impatience to some programs."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    for process in descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process) != group:
                os.kill(process, number)


def anything_left(group: int) -> bool:
    if descendants():
        return True
    if Path("/proc/self").exists():
        return False
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def reap(leader: int) -> int | None:
    """Takes note of every child that has ended. The leader's exit code when it is among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                break
            if process == leader:
                code = os.waitstatus_to_exitcode(status)
    return code


def say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more: then standard input is closed as well
        os.write(1, f"{text}\n".encode())


def end_all(group: int, grace_s: float) -> None:
    """SIGTERM, and SIGKILL for what is still there after the grace. Says how the leader ended, if it does now."""
    signal_all(group, signal.SIGTERM)
    until_s = time.monotonic() + grace_s
    killed = False
    while True:
        code = reap(group)
        if code is not None:
            say(f"ended {code}")
        if not anything_left(group):
            return
        if not killed and time.monotonic() >= until_s:
            killed = True
        if killed:
            signal_all(group, signal.SIGKILL)
        time.sleep(POLL_S)


def watch(leader: int, wake: int) -> None:
    """Until somebody wants the end. The leader's own end is said, and is none of it."""
    ended = False
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready and signal.SIGTERM in os.read(wake, CHUNK_BYTES):
            return
        if not ended:
            code = reap(leader)
            ended = code is not None
            if ended:
                say(f"ended {code}")
        else:
            reap(leader)
        if 0 in ready and not os.read(0, CHUNK_BYTES):
            return


def adopt_orphans() -> None:
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _ignore(number: int, frame: FrameType | None) -> None:
    """The number arrives through the wake-up pipe."""


def main() -> int:
    grace_s, script = float(sys.argv[1]), sys.argv[2]
    adopt_orphans()
    wake, alarm = os.pipe()
    os.set_blocking(alarm, False)
    signal.set_wakeup_fd(alarm)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, _ignore)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runtime's matter
    leader = subprocess.Popen(
        ["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr, process_group=0
    )
    say(f"started {leader.pid}")
    watch(leader.pid, wake)
    end_all(leader.pid, grace_s)
    leader.returncode = 0  # it was reaped here; Popen is not to wait for it again
    return 0


if __name__ == "__main__":
    sys.exit(main())
