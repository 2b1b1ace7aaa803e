"""One motion of an RO1, from the order to where it is measured: with a heart that beats, or in pieces where it has none.

The heart is the dead-man's switch: whatever ends an execution early (a stop, a failure, a lost link, an old look, a
cancelled task, the death of this process) ends the beats, and the robot ends the motion. Without one it ends the piece.
"""

from __future__ import annotations

import contextlib

import anyio

from edgechess_robots.arm import Travel
from edgechess_robots.conduct import Conduct, Interrupted, Progress
from edgechess_robots.errors import RobotError
from edgechess_robots.joint_planner import Reach
from edgechess_robots.standard_bots import heart, measured
from edgechess_robots.standard_bots.api_protocol import ApiBroken, ApiRefused, Position
from edgechess_robots.standard_bots.client import Client
from edgechess_robots.standard_bots.heart import Heart, Waiting
from edgechess_robots.standard_bots.measured import Look
from edgechess_robots.standard_bots.orders import Order, straight
from edgechess_robots.standard_bots.pieces import PIECE_S, Pace, Way
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_robots.standard_bots.sight import CLOSE_LOOK_S, Sight
from edgechess_robots.standard_bots.units import WrongUnit, degrees, flange_of

NEAR_MM = 20.0  # of its end a motion takes its last tenth of a second or two to brake
NEAR_DEG = 4.0
NOT_REACHED_S = 1.0  # the motion is over, but the arm is elsewhere for so long: it ended early


class Mover:
    def __init__(self, name: str, settings: StandardBotsSettings, conduct: Conduct, sight: Sight) -> None:
        self._name = name
        self._settings = settings
        self._conduct = conduct
        self._sight = sight

    async def move(self, motion: Order, progress: Progress) -> None:
        """Until it is measured to be over. Raises Interrupted, RobotError."""
        before, progress.sent = progress.sent, True
        session = self._sight.linked()
        try:
            if session.controlled is False:
                await self._in_pieces(motion)
            else:
                await self._with_heart(motion)
        except (ApiRefused, Interrupted) as refused:
            if _nothing_moved(refused):
                progress.sent = before
            if isinstance(refused, Interrupted) and refused.code == heart.LOST:
                session.controlled = self._conduct.dead_man = None  # to be found out again
            raise
        await self._arrive(motion)

    async def correct(self, step: Travel, reach: Reach, progress: Progress) -> None:
        """A travel goes where the nominal chain has its target; a straight motion takes the real arm the rest, at the
        travel's own height."""
        wanted = reach.flange(step.target)
        off_mm, off_deg = measured.apart(self._sight.fresh().flange, wanted)
        if off_mm <= self._settings.tolerance_mm and off_deg <= self._settings.tolerance_deg:
            return
        if off_mm > measured.MODEL_ERROR_MM or off_deg > measured.MODEL_ERROR_DEG:
            raise Interrupted("not-reached", f"a travel ended {off_mm:.0f} mm and {off_deg:.1f}° beside its target")
        duration_s = off_mm / step.speed_mm_s + self._settings.deadline_grace_s
        await self.move(straight(wanted, step.speed_mm_s, duration_s, self._sight.tooltip_mm), progress)

    def _limit_s(self, planned_s: float) -> float:
        return planned_s * self._settings.deadline_factor + self._settings.deadline_grace_s

    async def _with_heart(self, motion: Order) -> None:
        client, limit_s = self._sight.linked().client, self._limit_s(motion.duration_s)
        try:
            with anyio.fail_after(limit_s):
                begun = await heart.begin(self._name, client, motion.move)
                beating = Heart(
                    client,
                    begun,
                    self._settings.beat_s,
                    self._settings.ending_beat_s,
                    lambda at: self._near(motion, at),
                    self._conduct.measured,
                )
                async with anyio.create_task_group() as group:
                    group.start_soon(beating.beat, name=f"{self._name} heart")
                    while not beating.over and self._conduct.mode == "moving":
                        await self._conduct.news.wait()
                    group.cancel_scope.cancel()
        except TimeoutError:
            raise _too_long(motion.duration_s, limit_s) from None
        self._conduct.unless_interrupted()
        if beating.ended_badly:
            await self._see_why(client)
        beating.judge()

    async def _in_pieces(self, motion: Order) -> None:
        """Nothing here can end a piece but its own end, so none is long, and none begins after a stop."""
        here = self._sight.fresh()
        way = Way(motion, here.joints_deg, here.flange, self._sight.tooltip_mm)
        pace, done = Pace(way), 0.0
        while done < 1.0:
            self._conduct.unless_interrupted()
            share = 1.0 if done + pace.share > 1.0 - 1e-9 else done + pace.share
            began_s = anyio.current_time()
            try:
                await self._piece(way, share)
            except ApiRefused as refused:
                if done == 0.0:
                    raise
                raise Interrupted("motion-failed", f"the robot would not go on: {refused}") from refused
            pace.took(anyio.current_time() - began_s)
            done = share

    async def _piece(self, way: Way, share: float) -> None:
        client, limit_s = self._sight.linked().client, self._limit_s(PIECE_S)
        waiting = Waiting(self._conduct.measured)
        try:
            with anyio.fail_after(limit_s):
                async with anyio.create_task_group() as group:
                    group.start_soon(waiting.wait, client, way.move_to(share), limit_s, name=f"{self._name} motion")
                    while not waiting.over and self._conduct.mode == "moving":
                        await self._conduct.news.wait()
                    group.cancel_scope.cancel()
        except TimeoutError:
            raise _too_long(PIECE_S, limit_s) from None
        self._conduct.unless_interrupted()
        if waiting.ended_badly:
            await self._see_why(client)
        waiting.judge()

    async def _see_why(self, client: Client) -> None:
        """A motion ended badly; a failure of the robot says more than that. Raises Interrupted with its words."""
        with contextlib.suppress(RobotError, WrongUnit):
            await self._sight.look(client)
        self._conduct.unless_interrupted()

    async def _arrive(self, motion: Order) -> None:
        """Measured where it was sent, standing."""
        client = self._sight.linked().client
        limit_s = anyio.current_time() + NOT_REACHED_S
        while True:
            now = await self._sight.look(client)
            self._conduct.unless_interrupted()
            if now.recovery.status not in measured.BUSY and self._reached(motion, now):
                return
            if anyio.current_time() > limit_s:
                raise Interrupted("not-reached", "the robot says that it is there, but it is not where it was sent")
            await anyio.sleep(CLOSE_LOOK_S)

    def _near(self, motion: Order, at: Position) -> bool:
        """What a beat's answer says beside: nothing depends on it but how soon the next one goes out."""
        try:
            if motion.joints_deg is not None:
                return measured.farthest_deg(degrees(at.joints_rad), motion.joints_deg) <= NEAR_DEG
            assert motion.flange is not None
            return measured.apart(flange_of(at.tooltip, self._sight.tooltip_mm), motion.flange)[0] <= NEAR_MM
        except (WrongUnit, ApiBroken):
            return False

    def _reached(self, motion: Order, now: Look) -> bool:
        settings = self._settings
        if motion.joints_deg is not None:
            return measured.farthest_deg(now.joints_deg, motion.joints_deg) <= settings.tolerance_deg
        assert motion.flange is not None
        off_mm, off_deg = measured.apart(now.flange, motion.flange)
        return off_mm <= settings.tolerance_mm and off_deg <= settings.tolerance_deg


def _nothing_moved(error: ApiRefused | Interrupted) -> bool:
    """The robot says that it did nothing."""
    if isinstance(error, Interrupted):
        return error.code == heart.LOST
    return error.status < 500 or error.error == "service_initializing"


def _too_long(planned_s: float, limit_s: float) -> Interrupted:
    return Interrupted("deadline", f"a motion of {planned_s:.1f} s took {limit_s:.1f} s")
