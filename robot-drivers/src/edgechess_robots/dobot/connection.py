"""One connection to a Dobot after the other: both its sockets, each with a task of its own; greeted with a Stop, and given up
when it shows nothing any more."""

from __future__ import annotations

import anyio
import anyio.abc

from edgechess_robots.conduct import Conduct
from edgechess_robots.dobot import done, protocol
from edgechess_robots.dobot.commands import Commands
from edgechess_robots.dobot.dead_man import DeadMan
from edgechess_robots.dobot.frame_protocol import Frame, FrameSplitter
from edgechess_robots.dobot.link import CommandLink
from edgechess_robots.dobot.protocol import Reply
from edgechess_robots.dobot.session import Session
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.dobot.sight import Sight
from edgechess_robots.dobot.stopping import STANDSTILL_S, STOP_REPLY_S
from edgechess_robots.dobot.tcp import Connect
from edgechess_robots.errors import ArmLost, ArmProtocolError, RobotError

CONNECT_TIMEOUT_S = 5.0  # a controller in the same room answers in milliseconds, one that boots in none
FIRST_FRAME_S = 3.0  # of a new feedback link: the slowest documented period is one second
BURST_S = 0.02  # our own scheduler was late, not the frame: what lies in the socket is read before it is called stale
FEEDBACK_BYTES = 65_536

NO_CONNECTION_CURE = "is that the controller's address, is it switched on, and in a network that this machine reaches?"


class _Blind(ArmLost):
    """The link is there, but shows no state of the arm."""


class Connection:
    """`serve` is one connection. See `Conduct.keep_linked`."""

    def __init__(
        self,
        name: str,
        connect: Connect,
        settings: DobotSettings,
        conduct: Conduct,
        sight: Sight,
        commands: Commands,
        dead_man: DeadMan,
    ) -> None:
        self._name = name
        self._connect = connect
        self._settings = settings
        self._conduct = conduct
        self._sight = sight
        self._commands = commands
        self._dead_man = dead_man

    async def serve(self) -> bool:
        """One connection, until it fails. Returns whether it came up."""
        try:
            with anyio.fail_after(CONNECT_TIMEOUT_S):
                commands, feedback = await self._connect_both()
        except (OSError, anyio.BrokenResourceError) as error:  # TimeoutError is an OSError
            words = f"no connection ({error or type(error).__name__}): {NO_CONNECTION_CURE}"
            self._conduct.not_linked("link-lost", words)
            return False
        link = CommandLink(commands, lambda: self._commands.unstopped)
        linked = False
        try:
            async with self._dead_man.watching(commands), anyio.create_task_group() as group:
                group.start_soon(self._own_commands, link, group.cancel_scope, name=f"{self._name} commands")
                group.start_soon(self._own_feedback, feedback, link, name=f"{self._name} feedback")
                linked = await self._greet(link)
        finally:
            self._unlink(link)
        return linked

    async def _connect_both(self) -> tuple[anyio.abc.ByteStream, anyio.abc.ByteStream]:
        commands = await self._connect(protocol.COMMAND_PORT)
        feedback: anyio.abc.ByteStream | None = None
        try:
            feedback = await self._connect(self._settings.feedback_port)
        finally:
            if feedback is None:
                with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_REPLY_S):
                    await commands.aclose()
        return commands, feedback

    async def _own_commands(self, link: CommandLink, scope: anyio.CancelScope) -> None:
        try:
            await link.run()
        finally:
            scope.cancel()

    async def _own_feedback(self, stream: anyio.abc.ByteStream, link: CommandLink) -> None:
        """Reads frames; without one for `stale_s` the whole connection is given up, for it is blind."""
        splitter = FrameSplitter()
        limit = anyio.current_time() + FIRST_FRAME_S
        try:
            while True:
                data = await self._receive_by(stream, limit)
                frame = None if data is None else splitter.feed(data)
                if frame is not None:
                    limit = anyio.current_time() + self._settings.stale_s
                    self._sight.measured(frame)
                elif anyio.current_time() > limit:  # bytes without a frame in them are as blind as silence
                    return link.fail(_Blind(f"no feedback for {self._settings.stale_s:.1f} s"))
        except anyio.EndOfStream:
            link.fail(ArmLost("the controller closed the feedback link"))
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            link.fail(ArmLost(f"the feedback link broke: {type(error).__name__}"))
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(STOP_REPLY_S):
                await stream.aclose()

    async def _receive_by(self, stream: anyio.abc.ByteStream, limit_s: float) -> bytes | None:
        with anyio.move_on_after(limit_s - anyio.current_time()):
            return await stream.receive(FEEDBACK_BYTES)
        with anyio.move_on_after(BURST_S):
            return await stream.receive(FEEDBACK_BYTES)
        return None

    async def _greet(self, link: CommandLink) -> bool:
        """A new link begins with a Stop, whatever ran before, and with measuring where that left the arm."""
        try:
            with anyio.fail_after(FIRST_FRAME_S + STANDSTILL_S):
                await link.submit_urgent(protocol.stop()).wait()
                frame = await self._sight.after(self._sight.newest)
                while not done.standing(frame):
                    frame = await self._sight.after(frame)
                answer = await link.submit(protocol.get_error_id()).wait()
        except TimeoutError:
            link.fail(ArmLost("the arm was not seen to stand after the connection"))
            return False
        except RobotError as error:
            link.fail(error)
            return False
        self._sight.session = Session(link)
        self._commands.unstopped = False
        alarms = answer.alarms() if isinstance(answer, Reply) and answer.ok else ()
        self._linked(frame, alarms)
        return True

    def _linked(self, frame: Frame, alarms: tuple[int, ...]) -> None:
        """What happened while nobody listened is shown at once. An emergency stop holds the arm even after its release;
        other alarms of an arm that was not in motion are for `ensure_ready` to judge."""
        pressed = done.pressed(frame)
        emergency = pressed or bool(protocol.EMERGENCY_STOP_ALARMS.intersection(alarms))
        if emergency or (alarms and self._conduct.held):
            words = protocol.alarms_text(alarms)
            reason = f"an emergency stop was pressed ({words})" if pressed else words
            self._conduct.hold("linked-alarm", "emergency-stop" if emergency else "alarm", reason)
        else:
            self._conduct.linked()

    def _unlink(self, link: CommandLink) -> None:
        match link.failure:
            case ArmProtocolError():
                code = "protocol"
            case _Blind():
                code = "stale-feedback"
            case _:
                code = "link-lost"
        self._sight.session = None
        self._conduct.unlinked(code, str(link.failure or "the connection was closed"))
