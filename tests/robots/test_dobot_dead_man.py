"""The dead man of a Dobot: the process by itself, its keeper over TCP, and what the driver makes of it."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest

from edgechess_robots.arm import Park, Plan
from edgechess_robots.dobot import dead_man, dead_man_process
from edgechess_robots.dobot.dead_man import DeadMan
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.errors import ArmRefused

TIMEOUT_S = 20.0


class Held:
    """The process, and the other end of the link that it holds."""

    def __init__(self, least: int = 0) -> None:
        """`least`: the smallest number that the link may have among the parent's open files."""
        made, self.controller = socket.socketpair()
        ours = socket.socket(fileno=fcntl.fcntl(made, fcntl.F_DUPFD, least))
        made.close()
        ours.setblocking(False)
        self.process = subprocess.Popen(
            [sys.executable, "-m", dead_man_process.__name__, str(ours.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(ours.fileno(),),
        )
        self.parents = ours
        self.controller.settimeout(TIMEOUT_S)
        assert self.process.stdout is not None
        assert self.process.stdout.read(1) == b"+"

    def end(self, last_word: bytes = b"") -> None:
        """As the kernel does it when the parent dies: its end of the link goes, and its pipe."""
        assert self.process.stdin is not None
        if last_word:
            self.process.stdin.write(last_word)
        self.parents.close()
        self.process.stdin.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.controller.close()


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.close()


def test_a_parent_that_dies_is_followed_by_a_stop(held: Held) -> None:
    held.end()
    assert held.controller.recv(64) == b"Stop()"
    held.controller.send(b"0,{7},MovL(pose={1,2,3,4,5,6});0,{},Stop();")  # what the parent had asked is answered first
    assert held.process.wait(TIMEOUT_S) == 0
    assert held.controller.recv(64) == b"", "the link ends with it"


def test_a_parent_that_says_farewell_is_not(held: Held) -> None:
    held.end(b".")
    assert held.process.wait(TIMEOUT_S) == 0
    assert held.controller.recv(64) == b""


def test_what_ends_a_whole_group_does_not_end_it_first(held: Held) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        held.process.send_signal(number)
    held.end()
    assert held.controller.recv(64) == b"Stop()"
    held.controller.send(b"0,{},Stop();")
    assert held.process.wait(TIMEOUT_S) == 0


MANY = 1100  # open files: more than `select` has numbers for


def test_a_parent_with_many_open_files_is_followed_by_a_stop(many_files: None) -> None:
    held = Held(least=MANY)
    try:
        held.end()
        assert held.controller.recv(64) == b"Stop()"
        held.controller.send(b"0,{},Stop();")
        assert held.process.wait(TIMEOUT_S) == 0
    finally:
        held.close()


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= MANY:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 100), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_controller_that_is_gone_too_ends_it(held: Held) -> None:
    held.controller.close()
    held.end()
    assert held.process.wait(TIMEOUT_S) == 1


@asynccontextmanager
async def wire() -> AsyncIterator[tuple[anyio.abc.ByteStream, anyio.abc.ByteStream]]:
    """A TCP connection: the driver's end and the controller's."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        ends: list[anyio.abc.ByteStream] = []
        accepted = anyio.Event()
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:

            async def accept(stream: anyio.abc.SocketStream) -> None:
                async with stream:
                    ends.append(stream)
                    accepted.set()
                    await anyio.sleep_forever()

            tasks.start_soon(listener.serve, accept)
            async with await anyio.connect_tcp("127.0.0.1", port) as ours:
                await accepted.wait()
                yield ours, ends[0]
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_it_is_there_as_long_as_the_link_and_again_when_it_was_killed(anyio_backend: str) -> None:
    changes: list[bool | None] = []
    lost = anyio.Event()

    def changed() -> None:
        changes.append(man.present)
        if changes == [False, True, False]:
            lost.set()

    man = DeadMan("white", changed)
    with anyio.fail_after(TIMEOUT_S):
        async with wire() as (ours, controller):
            async with man.watching(ours):
                assert changes == [False]
                await man.there()
                first = man.process_id
                assert first is not None
                os.kill(first, signal.SIGKILL)
                await lost.wait()
                await man.there()
                assert man.process_id not in (None, first)
                last = man.process_id
            assert changes == [False, True, False, True, False]
            assert last is not None
            with pytest.raises(ProcessLookupError):
                os.kill(last, 0)
            await ours.aclose()
            with pytest.raises(anyio.EndOfStream):
                await controller.receive()  # an orderly end says nothing on the link, and leaves nobody who holds it


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_one_that_does_not_start_is_said(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_man, "START_S", 0.05)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    man = DeadMan("white", lambda: None)
    with anyio.fail_after(TIMEOUT_S):
        async with wire() as (ours, _), man.watching(ours):
            with pytest.raises(ArmRefused, match=r"arm white: its dead man, .* does not start"):
                await man.there()


@pytest.mark.anyio
async def test_nothing_moves_without_it(arm: DobotArm, controller: Any) -> None:
    """In virtual time, where a wire in memory has no dead man and needs none: so it is taken away by hand."""
    with anyio.fail_after(600):
        async with anyio.create_task_group() as group:
            group.start_soon(arm.run)
            await arm.ensure_ready()
            assert arm.state().dead_man is None
            checked = arm.check(Plan((Park(250.0),)))
            sent = len(controller.texts())
            arm._dead_man.present = False
            assert arm.state().dead_man is False
            report = await arm.execute(checked, 1)
            assert (report.outcome, report.code, report.completed) == ("refused", "no-dead-man", 0)
            assert len(controller.texts()) == sent
            arm._dead_man.present = True
            assert (await arm.execute(checked, 1)).outcome == "done"
            group.cancel_scope.cancel()
