"""The motions of one execution, from the controller's queue to where they are measured."""

from __future__ import annotations

import dataclasses
from collections import deque

import anyio

from edgechess_robots.conduct import Conduct, Interrupted, Progress
from edgechess_robots.dobot import done
from edgechess_robots.dobot.commands import Commands
from edgechess_robots.dobot.planner import Segment
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.dobot.sight import Sight
from edgechess_robots.errors import ArmRefused

MOTIONS_AHEAD = 2  # commands in the controller's queue: the next one waits there, a lost link leaves one more at most


@dataclasses.dataclass(slots=True)
class _Flight:
    """One motion in the controller's queue."""

    segment: Segment
    command_id: int | None


class Mover:
    def __init__(self, settings: DobotSettings, conduct: Conduct, sight: Sight, commands: Commands) -> None:
        self._settings = settings
        self._conduct = conduct
        self._sight = sight
        self._commands = commands
        self._flight: deque[_Flight] = deque()

    @property
    def moves(self) -> bool:
        """Something is in the queue."""
        return bool(self._flight)

    def begin(self) -> None:
        """A new execution: whatever one before left in the queue was stopped."""
        self._flight.clear()

    async def move(self, segment: Segment, progress: Progress) -> None:
        """Puts one motion into the controller's queue, when there is room for it."""
        flight = self._flight
        room = MOTIONS_AHEAD if flight and flight[-1].command_id is not None else 1
        await self.land(progress, room - 1)
        self._conduct.unless_interrupted()
        before, progress.sent = progress.sent, True
        self._commands.unstopped = True
        try:
            reply = await self._commands.ask(segment.command)
        except ArmRefused:
            progress.sent = before  # the controller says that it did nothing
            self._commands.unstopped = bool(flight)
            raise
        flight.append(_Flight(segment, reply.integer()))

    async def land(self, progress: Progress, keep: int) -> None:
        """Until no more than `keep` motions are in the controller's queue."""
        while len(self._flight) > keep:
            head = self._flight[0]
            limit = head.segment.duration_s * self._settings.deadline_factor + self._settings.deadline_grace_s
            try:
                with anyio.fail_after(limit):
                    await self._finish(head, last=len(self._flight) == 1)
            except TimeoutError:
                raise Interrupted(
                    "deadline", f"a motion of {head.segment.duration_s:.1f} s took {limit:.1f} s"
                ) from None
            self._flight.popleft()
            progress.completed += 1
            self._commands.unstopped = bool(self._flight)

    async def _finish(self, flight: _Flight, *, last: bool) -> None:
        watch = done.Watch(flight.segment.target, flight.command_id)
        frame = self._sight.newest
        while True:
            frame = await self._sight.next(frame)
            if not last and done.passed(flight.command_id, frame):
                return
            watch = done.observe(watch, frame, anyio.current_time())
            if watch.verdict == "done":
                return
            if watch.verdict == "not-reached":
                raise Interrupted("not-reached", "the controller is idle, but the arm is not where it was sent")
