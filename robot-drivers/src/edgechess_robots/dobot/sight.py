"""What a Dobot was measured to be last, and who waits for the next frame."""

from __future__ import annotations

import math

import anyio

from edgechess_robots.conduct import Conduct
from edgechess_robots.dobot import done
from edgechess_robots.dobot.frame_protocol import Frame
from edgechess_robots.dobot.protocol import RobotMode
from edgechess_robots.dobot.session import Session
from edgechess_robots.dobot.settings import DobotSettings

SHOWN_DEG = 0.05  # a joint that turned less has not moved


class Sight:
    """The newest frame, and the link that is up. Every frame is told to the conduct."""

    def __init__(self, conduct: Conduct, settings: DobotSettings) -> None:
        self.newest: Frame | None = None
        self.at_s = -math.inf
        self.session: Session | None = None
        self._conduct = conduct
        self._settings = settings
        self._shown: Frame | None = None

    def linked(self) -> Session:
        """Raises ArmLost."""
        if self.session is None:
            raise self._conduct.offline()
        return self.session

    def fresh(self) -> Frame:
        """Raises ArmLost."""
        if self.newest is None or self._conduct.mode == "offline":
            raise self._conduct.offline()
        return self.newest

    def parked(self, frame: Frame) -> bool:
        return done.standing(frame) and all(
            abs(actual - wanted) <= self._settings.parked_tolerance_deg
            for actual, wanted in zip(frame.q_actual_deg, self._settings.park_joints_deg, strict=True)
        )

    def measured(self, frame: Frame) -> None:
        conduct, before = self._conduct, self.newest
        self.newest, self.at_s = frame, anyio.current_time()
        if done.pressed(frame) and not (before is not None and done.pressed(before)):
            conduct.stops += 1  # whoever gets the arm ready was told before that: their word counts no more
        conduct.measured()
        if conduct.mode in ("idle", "moving"):
            if conduct.mode == "idle" and frame.robot_mode == RobotMode.DRAG:
                conduct.step("unready")
            elif (trouble := done.trouble(frame)) is not None:
                conduct.hold("alarm", trouble.code, trouble.reason)
        if self._shown is None or _differs(frame, self._shown):
            self._shown = frame
            conduct.show()

    async def after(self, frame: Frame | None) -> Frame:
        """The next frame measured after this one."""
        while self.newest is None or self.newest is frame:
            await self._conduct.news.wait()
        return self.newest

    async def after_or_lost(self, frame: Frame | None) -> Frame | None:
        """As `after`, but not beyond the end of the link: then it is the last one, if any."""
        while self.session is not None and (self.newest is None or self.newest is frame):
            await self._conduct.news.wait()
        return self.newest

    async def new(self) -> Frame:
        """The next frame. Raises ArmLost."""
        frame = await self.after_or_lost(self.newest)
        if self.session is None or frame is None:
            raise self._conduct.offline()
        return frame

    async def next(self, frame: Frame | None) -> Frame:
        """As `after`, in an execution. Raises Interrupted."""
        while True:
            self._conduct.unless_interrupted()
            if self.newest is not None and self.newest is not frame:
                return self.newest
            await self._conduct.news.wait()


def _differs(a: Frame, b: Frame) -> bool:
    """Whether somebody who looks at the arm would see a difference."""
    return (
        a.robot_mode != b.robot_mode
        or done.pressed(a) != done.pressed(b)
        or a.running != b.running
        or any(abs(x - y) > SHOWN_DEG for x, y in zip(a.q_actual_deg, b.q_actual_deg, strict=True))
    )
