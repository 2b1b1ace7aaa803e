"""Waiting for one motion of an RO1: with a heart that beats, or for the one answer of a blocking piece."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from edgechess_robots.conduct import Interrupted
from edgechess_robots.errors import ArmLost, RobotError
from edgechess_robots.standard_bots import api_protocol as api
from edgechess_robots.standard_bots.api_protocol import Motion, Move, NotOffered, Position
from edgechess_robots.standard_bots.client import Client

ASKS = 2
"""Before "not found" is believed: of what moves the arm safely, one such answer may be a slip of something between."""
AGAIN_S = 0.2  # between them, where nothing moves yet

LOST = "heart-lost"
"""Code of an execution that ended because the robot no longer finds its controlled motions."""

log = logging.getLogger(__name__)


async def offers_controlled(name: str, client: Client) -> bool:
    """Whether the robot has motions with a heart; asked again before a no is believed. Moves nothing."""
    if await client.offers_controlled():
        return True
    await anyio.sleep(AGAIN_S)
    again = await client.offers_controlled()
    if again:
        log.warning("arm %s: the robot first did not find its controlled motions, then it did", name)
    return again


async def begin(name: str, client: Client, move: Move) -> Motion:
    """The motion has begun. Raises Interrupted where the robot, asked twice, has no controlled motions any more: nothing
    moves then, and there is no going on without a heart in the middle of a plan."""
    try:
        return await client.begin(move)
    except NotOffered as first:
        log.warning("arm %s: %s; asked once more", name, first)  # it says that it did nothing: nothing is repeated
    await anyio.sleep(AGAIN_S)
    try:
        return await client.begin(move)
    except NotOffered as error:
        reason = f"the robot had controlled motions when it was made ready, and now does not find them ({error})"
        log.warning("arm %s: %s", name, reason)
        raise Interrupted(LOST, reason) from error


class Heart:
    """Beats for one controlled motion, without waiting for answers: a slow one must not stop the arm."""

    def __init__(
        self,
        client: Client,
        begun: Motion,
        beat_s: float,
        ending_beat_s: float,
        near: Callable[[Position], bool],
        tell: Callable[[], None],
    ) -> None:
        """`near`: the motion is as good as over there. `tell` is called whenever an answer was heard."""
        self._client = client
        self._id = begun.id
        self._beat_s = beat_s
        self._ending_beat_s = ending_beat_s
        self._near = near
        self._tell = tell
        self._newest = begun
        self._sent = self._answered = self._unknown = 0
        self._failure: RobotError | None = None
        self._heard = anyio.Event()

    @property
    def over(self) -> bool:
        return self._failure is not None or not self._newest.active or self._newest.failed

    @property
    def ended_badly(self) -> bool:
        return self._failure is not None or not self._newest.done

    async def beat(self) -> None:
        async with anyio.create_task_group() as group:
            while not self.over:
                await self._until_next()
                self._sent += 1
                group.start_soon(self._once, self._sent)

    async def _until_next(self) -> None:
        """A beat's answer is how the end of a motion is heard of: near it the next one waits only for that."""
        began_s = anyio.current_time()
        with anyio.move_on_after(self._beat_s):
            while not self._ending():
                await self._heard.wait()
            while self._answered < self._sent:
                await self._heard.wait()
            await anyio.sleep_until(began_s + self._ending_beat_s)

    def _ending(self) -> bool:
        at = self._newest.event.position
        return at is not None and self._near(at)

    async def _once(self, number: int) -> None:
        try:
            told = await self._client.beat(self._id)
        except ArmLost:
            return  # the next one may arrive; the robot ends the motion if none does, and the look says so
        except NotOffered as error:
            self._unknown += 1
            if self._unknown >= ASKS and not self.over:
                self._failure = error
        except RobotError as error:
            if not self.over:
                self._failure = error
        else:
            self._unknown = 0
            if number > self._answered and not self.over:
                self._answered, self._newest = number, told
        self._heard.set()
        self._heard = anyio.Event()
        self._tell()

    def judge(self) -> None:
        """Raises Interrupted unless the motion ended as it should."""
        if self._failure is not None:
            raise Interrupted("motion-failed", f"the robot would not go on: {self._failure}")
        if not self._newest.done:
            raise _ended_badly(self._newest.event)


class Waiting:
    """Waits for the answer of one blocking piece."""

    def __init__(self, tell: Callable[[], None]) -> None:
        """`tell` is called when it is over."""
        self._end: api.Event | RobotError | None = None
        self._tell = tell

    @property
    def over(self) -> bool:
        return self._end is not None

    @property
    def ended_badly(self) -> bool:
        return not isinstance(self._end, api.Event) or self._end.kind not in api.ENDED_WELL

    async def wait(self, client: Client, move: Move, limit_s: float) -> None:
        try:
            self._end = await client.move(move, limit_s)
        except RobotError as error:
            self._end = error
        self._tell()

    def judge(self) -> None:
        """Raises Interrupted unless the motion ended as it should, or what the call raised."""
        assert self._end is not None
        if isinstance(self._end, RobotError):
            raise self._end
        if self._end.kind not in api.ENDED_WELL:
            raise _ended_badly(self._end)


def _ended_badly(event: api.Event) -> Interrupted:
    return Interrupted("motion-failed", f"the robot ended a motion with {event.kind}: {event.reason or 'no reason'}")
