"""Waiting for one motion of an RO1: with a heart that beats, or for the one answer of a blocking motion."""

from __future__ import annotations

import anyio

from edgechess_robots.conduct import Interrupted
from edgechess_robots.errors import ArmLost, RobotError
from edgechess_robots.standard_bots import api_protocol as api
from edgechess_robots.standard_bots.api_protocol import Motion
from edgechess_robots.standard_bots.client import Client
from edgechess_robots.standard_bots.orders import Order


class Heart:
    """Beats for one controlled motion, without waiting for answers: a slow one must not stop the arm."""

    def __init__(self, client: Client, begun: Motion, beat_s: float) -> None:
        self._client = client
        self._id = begun.id
        self._beat_s = beat_s
        self._newest = begun
        self._sent = self._answered = 0
        self._failure: RobotError | None = None
        self.heard = anyio.Event()

    @property
    def over(self) -> bool:
        return self._failure is not None or not self._newest.active or self._newest.failed

    async def beat(self) -> None:
        async with anyio.create_task_group() as group:
            while not self.over:
                await anyio.sleep(self._beat_s)
                self._sent += 1
                group.start_soon(self._once, self._sent)

    async def _once(self, number: int) -> None:
        try:
            told = await self._client.beat(self._id)
        except ArmLost:
            return  # the next one may arrive; the robot ends the motion if none does, and the look says so
        except RobotError as error:
            if not self.over:
                self._failure = error
        else:
            if number > self._answered and not self.over:
                self._answered, self._newest = number, told
        self.heard.set()
        self.heard = anyio.Event()

    def judge(self) -> None:
        """Raises Interrupted unless the motion ended as it should."""
        if self._failure is not None:
            raise Interrupted("motion-failed", f"the robot would not go on: {self._failure}")
        if not self._newest.done:
            raise _ended_badly(self._newest.event)


class Waiting:
    """Waits for the answer of one blocking motion."""

    def __init__(self) -> None:
        self._end: api.Event | RobotError | None = None
        self.over = anyio.Event()

    async def wait(self, client: Client, motion: Order, limit_s: float) -> None:
        try:
            self._end = await client.move(motion.move, limit_s)
        except RobotError as error:
            self._end = error
        self.over.set()

    def judge(self) -> None:
        """Raises Interrupted unless the motion ended as it should, or what the call raised."""
        assert self._end is not None
        if isinstance(self._end, RobotError):
            raise self._end
        if self._end.kind not in api.ENDED_WELL:
            raise _ended_badly(self._end)


def _ended_badly(event: api.Event) -> Interrupted:
    return Interrupted("motion-failed", f"the robot ended a motion with {event.kind}: {event.reason or 'no reason'}")
