"""How a Dobot is brought to stand, and seen to."""

from __future__ import annotations

from functools import partial
from typing import Literal

import anyio

from edgechess_robots.conduct import Conduct, SeeStanding
from edgechess_robots.dobot import done, protocol
from edgechess_robots.dobot.commands import Commands
from edgechess_robots.dobot.link import Answer, Pending
from edgechess_robots.dobot.protocol import Reply
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.dobot.sight import Sight
from edgechess_robots.errors import ArmLost, ArmRefused, RobotError

STOP_REPLY_S = (
    1.0  # a Stop that is not acknowledged in a second is not believed, and asked for once more: a busy machine
)
# (ours, too) answers late, and Stop asked for twice is still one stop
STANDSTILL_S = 2.0  # 250 mm/s ends in half a second; then the emergency stop is pressed

StopEnd = Literal["stands", "unseen", "lost"]
"""What became of a stop: seen to stand, not seen to stand, or the link is gone."""


class Stopping:
    def __init__(self, name: str, settings: DobotSettings, conduct: Conduct, sight: Sight, commands: Commands) -> None:
        self._name = name
        self._settings = settings
        self._conduct = conduct
        self._sight = sight
        self._commands = commands
        self._asked: Pending | None = None

    def halt(self) -> SeeStanding:
        """Hands the stop to the task that owns the link. What counts is the first answer to come: nothing moves between two
        orders to stop, and a busy controller answers one after the other."""
        session = self._sight.session
        if session is None:
            return partial(self._see_standing, None)
        asked = session.link.submit_urgent(protocol.stop())
        if self._asked is None or self._asked.done.is_set():
            self._asked = asked
        return partial(self._see_standing, self._asked)

    async def _see_standing(self, stopping: Pending | None) -> None:
        """Until the stop is acknowledged and the arm seen to stand; if it is not, the emergency stop is pressed."""
        end: StopEnd = "lost" if stopping is None else await self._stands_after(stopping)
        session = self._sight.session
        if end == "unseen" and session is not None:
            self._conduct.last_resort = "its emergency stop was pressed, for it did not acknowledge a Stop"
            end = await self._stands_after(session.link.submit_urgent(protocol.emergency_stop(True)))
        elif end == "unseen":
            end = "lost"
        if end == "lost":
            raise ArmLost(f"stop not confirmed: {self._conduct.offline()}")
        if end == "unseen":
            raise ArmRefused(
                f"stop not confirmed: arm {self._name} was not seen to stand, nor after its emergency stop"
            )

    async def _stands_after(self, stopping: Pending) -> StopEnd:
        try:
            answer = await self._answer(stopping)
            if isinstance(answer, Reply) and not answer.ok:
                return "unseen"
            with anyio.fail_after(max(STANDSTILL_S, done.CONSECUTIVE_FRAMES * self._settings.stale_s)):
                frame, standing = self._sight.newest, 0
                while standing < done.CONSECUTIVE_FRAMES and self._sight.session is not None:
                    frame = await self._sight.after_or_lost(frame)
                    standing = standing + 1 if frame is not None and done.standing(frame) else 0
                self._commands.unstopped = self._commands.unstopped and self._sight.session is None
        except TimeoutError:
            return "unseen"
        except RobotError:
            return "lost"  # nothing more can be sent on this link, and the next one begins with a Stop
        return "stands" if self._sight.session is not None else "lost"

    async def _answer(self, stopping: Pending) -> Answer:
        """Raises TimeoutError. Answers come in order: the first that comes is the first one's, whichever was heard."""
        with anyio.move_on_after(STOP_REPLY_S):
            return await stopping.wait()
        session = self._sight.session
        if session is not None:
            session.link.submit_urgent(stopping.command)
        with anyio.fail_after(STOP_REPLY_S):
            return await stopping.wait()
