"""The command link (port 29999): one owner task, one command outstanding, and a stop that waits for nobody.

A link serves one connection and is thrown away. Nothing is ever sent twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import anyio
import anyio.abc

from edgechess_robots.dobot import protocol
from edgechess_robots.dobot.protocol import Command, Malformed, NotTcpMode, Reply
from edgechess_robots.errors import ArmLost, ArmProtocolError, ArmStopped, RobotError

SEND_TIMEOUT_S = 1.0  # a command is a few dozen bytes: a socket that does not take them is dead
FAREWELL_TIMEOUT_S = 0.5  # the last Stop on a link that is being closed: controllers answer in milliseconds
RECEIVE_BYTES = 4096

Answer: TypeAlias = Reply | NotTcpMode


class Pending:
    """One command on its way. `done` is set when `answer` or `failure` is there."""

    __slots__ = ("answer", "command", "done", "failure", "withdrawn")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.done = anyio.Event()
        self.answer: Answer | None = None
        self.failure: RobotError | None = None
        self.withdrawn = False

    def resolve(self, answer: Answer) -> None:
        self.answer = answer
        self.done.set()

    def fail(self, failure: RobotError) -> None:
        self.failure = failure
        self.done.set()

    async def wait(self) -> Answer:
        """Raises ArmLost, ArmProtocolError, or ArmStopped when a stop overtook the command before it was sent."""
        await self.done.wait()
        if self.failure is not None:
            raise self.failure
        assert self.answer is not None
        return self.answer


class CommandLink:
    """`run` owns the stream; `submit` may be called from any task and never waits."""

    def __init__(self, stream: anyio.abc.ByteStream, must_stop: Callable[[], bool]) -> None:
        self._stream = stream
        self._must_stop = must_stop
        self._queue: deque[Pending] = deque()
        self._urgent: deque[Pending] = deque()
        self._outstanding: deque[Pending] = deque()
        self._splitter = protocol.ReplySplitter()
        self._wake = anyio.Event()
        self._scope = anyio.CancelScope()
        self._failure: RobotError | None = None

    @property
    def failure(self) -> RobotError | None:
        return self._failure

    def submit(self, command: Command) -> Pending:
        pending = Pending(command)
        if self._failure is not None:
            pending.fail(self._failure)
        else:
            self._queue.append(pending)
            self._wake.set()
        return pending

    def submit_urgent(self, command: Command) -> Pending:
        """Sent before anything that waits, without waiting for the reply to the command outstanding. Commands not sent
        yet are dropped: their waiters meet ArmStopped."""
        pending = Pending(command)
        if self._failure is not None:
            pending.fail(self._failure)
            return pending
        while self._queue:
            self._queue.popleft().fail(ArmStopped(f"{command.name} came first"))
        self._urgent.append(pending)
        self._wake.set()
        return pending

    def fail(self, failure: RobotError) -> None:
        """Ends the link; the first reason counts."""
        if self._failure is None:
            self._failure = failure
        self._scope.cancel()

    async def run(self) -> None:
        """Until the link fails (see `failure`) or is cancelled. If the arm must stop, that is the last thing sent."""
        try:
            with self._scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._send, name="dobot commands")
                    await self._receive()
        finally:
            if self._failure is None:
                self._failure = ArmLost("the command link was closed")
            with anyio.CancelScope(shield=True):
                with anyio.move_on_after(FAREWELL_TIMEOUT_S):
                    await self._farewell()
                for pending in (*self._outstanding, *self._urgent, *self._queue):
                    pending.fail(self._failure)
                with anyio.move_on_after(FAREWELL_TIMEOUT_S):
                    await self._stream.aclose()

    async def _send(self) -> None:
        while True:
            pending = self._next()
            if pending is None:
                self._wake = anyio.Event()
                await self._wake.wait()
                continue
            # Shielded: half a command on the wire would swallow the Stop that follows it.
            with anyio.CancelScope(shield=True), anyio.move_on_after(SEND_TIMEOUT_S) as limit:
                try:
                    self._outstanding.append(pending)
                    await self._stream.send(pending.command.encode())
                except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                    self.fail(ArmLost(f"{pending.command.name} could not be sent: {type(error).__name__}"))
            if limit.cancelled_caught:
                self.fail(ArmLost(f"{pending.command.name} could not be sent within {SEND_TIMEOUT_S} s"))
            if self._failure is not None:
                return

    def _next(self) -> Pending | None:
        if self._urgent:
            return self._urgent.popleft()
        while self._queue and not self._outstanding:
            pending = self._queue.popleft()
            if not pending.withdrawn:
                return pending
        return None

    async def _receive(self) -> None:
        while True:
            try:
                data = await self._stream.receive(RECEIVE_BYTES)
            except anyio.EndOfStream:
                return self.fail(ArmLost("the controller closed the command link"))
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                return self.fail(ArmLost(f"the command link broke: {type(error).__name__}"))
            for event in self._splitter.feed(data):
                self._answer(event)

    def _answer(self, event: Reply | NotTcpMode | Malformed) -> None:
        if isinstance(event, Malformed):
            return self.fail(
                ArmProtocolError(f"no reply of the protocol: {event.text!r}: is that a Dobot controller with V4?")
            )
        if not self._outstanding:
            return self.fail(ArmProtocolError(f"a reply to nothing that was asked: {event}"))
        pending = self._outstanding.popleft()
        if isinstance(event, Reply) and event.command_name.lower() != pending.command.name.lower():
            self._outstanding.appendleft(pending)
            return self.fail(ArmProtocolError(f"{pending.command.name} was answered as {event.echo!r}"))
        pending.resolve(event)
        self._wake.set()
        return None

    async def _farewell(self) -> None:
        """Sends the stops that wait, and one if the arm may be moving, and hears the replies out: a socket closed with
        unread bytes in it may take the last command with it."""
        try:
            if not self._urgent and self._must_stop():
                self._urgent.append(Pending(protocol.stop()))
            while self._urgent:
                pending = self._urgent.popleft()
                self._outstanding.append(pending)
                await self._stream.send(pending.command.encode())
            while any(p.command.name in ("Stop", "EmergencyStop") for p in self._outstanding):
                for event in self._splitter.feed(await self._stream.receive(RECEIVE_BYTES)):
                    if isinstance(event, Malformed) or not self._outstanding:
                        return
                    self._outstanding.popleft().resolve(event)
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # the wire is gone: the next link begins with a Stop
