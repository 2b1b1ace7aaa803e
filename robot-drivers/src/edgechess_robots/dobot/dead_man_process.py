"""Stops a Dobot when the process that moves it dies. A program of its own, which `dead_man.DeadMan` starts:

    python -m edgechess_robots.dobot.dead_man_process DESCRIPTOR

DESCRIPTOR is the command link's socket, inherited: a controller takes one client on its command port (reference section 1),
so a second link would be turned away just as long as the first one stands. Held here as well, the link outlives the
process that opened it. Standard input is a pipe of that process. What it says there before it ends is the farewell; when
the pipe closes without one, however that came about, `Stop()` goes out on the link. Nothing else is ever sent or read.

Standard library alone, and no event loop: what must work when everything else has failed is short, and starts in
milliseconds. Exit code: 0 farewell, or the stop was answered; 1 it was not, or the link is none.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

from edgechess_robots.dobot import protocol

READY = b"+"
FAREWELL = b"."
STOP_S = 2.0  # controllers answer a Stop in milliseconds; after this the link is gone, and with it all that can be done
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Meant for the process that moves the arm: whoever ends a whole group of processes must not begin with this one."""


def watch(parent: int, link: socket.socket) -> bool:
    """Until the parent says farewell, or is gone: then the arm is stopped. False: the stop was not answered."""
    while True:
        word = os.read(parent, 64)
        if not word:
            return stop(link)
        if FAREWELL in word:
            return True


def stop(link: socket.socket) -> bool:
    """Sends `Stop()`, hears its answer; whatever the parent had asked for is answered before that."""
    command, limit_s, heard = protocol.stop(), time.monotonic() + STOP_S, b""
    left = command.encode()
    try:
        while left:
            if not _ready(link, limit_s, write=True):
                return False
            left = left[link.send(left) :]
        while command.name.encode() not in heard:
            if not _ready(link, limit_s, write=False):
                return False
            data = link.recv(4096)
            if not data:
                return False
            heard += data
    except OSError:
        return False
    return True


def _ready(link: socket.socket, limit_s: float, *, write: bool) -> bool:
    """The link does not block: the process that opened it wants it so, and the two share that."""
    poll = select.poll()  # not select.select, which knows no descriptor beyond 1023
    poll.register(link, select.POLLOUT if write else select.POLLIN)
    return bool(poll.poll(1000.0 * max(0.0, limit_s - time.monotonic())))


def main() -> int:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    try:
        link = socket.socket(fileno=int(sys.argv[1]))
        link.getpeername()
    except (OSError, ValueError, IndexError) as error:
        print(f"dead man of a Dobot: no link to hold: {error}", file=sys.stderr)
        return 1
    os.write(sys.stdout.fileno(), READY)
    return 0 if watch(sys.stdin.fileno(), link) else 1


if __name__ == "__main__":
    sys.exit(main())
