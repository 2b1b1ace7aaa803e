"""Getting an RO1 ready, in the order of the reference: health, control, failure, brakes, what it offers, gripper. Moves
nothing."""

from __future__ import annotations

import logging

import anyio

from edgechess_robots.conduct import Conduct, MayClear
from edgechess_robots.errors import ArmAlarm, ArmRefused, ArmStopped
from edgechess_robots.kinematics import Chain
from edgechess_robots.standard_bots import measured
from edgechess_robots.standard_bots.api_protocol import ApiRefused, Health
from edgechess_robots.standard_bots.client import Client
from edgechess_robots.standard_bots.grippers import gripper_of
from edgechess_robots.standard_bots.heart import offers_controlled
from edgechess_robots.standard_bots.measured import Look
from edgechess_robots.standard_bots.offer import promises_heart
from edgechess_robots.standard_bots.pieces import PIECE_S
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_robots.standard_bots.sight import Sight

READY_POLL_S = 0.3

log = logging.getLogger(__name__)


class Readiness:
    def __init__(self, name: str, chain: Chain, settings: StandardBotsSettings, conduct: Conduct, sight: Sight) -> None:
        self._name = name
        self._chain = chain
        self._settings = settings
        self._conduct = conduct
        self._sight = sight

    async def prepare(self, stops: int, may_clear: MayClear) -> None:
        """As `Ways.prepare`. A stop in between raises ArmStopped."""
        session = self._sight.linked()
        client = session.client
        await self._started(client)
        await self._take_control(client)
        await self._clear(client, stops, may_clear)
        health = await self._healthy(client)
        self._unless_stopped_since(stops)
        session.controlled = await self._finds_heart(client, health)
        self._conduct.dead_man = session.controlled
        await self._release_brakes(client)
        await self._sight.learn_tooltip(client)
        gripper = gripper_of(client, self._settings)
        self._conduct.holding = await gripper.prepare()
        session.gripper = gripper
        now = await self._sight.stands(client)
        self._unless_stopped_since(stops)
        self._sight.linked()  # the link may have gone meanwhile
        trouble = measured.trouble(now.recovery)
        if trouble is not None:
            raise ArmAlarm(f"arm {self._name}: {trouble.reason}")
        self._check_model(now)

    async def _started(self, client: Client) -> None:
        while True:
            try:
                await client.health()
                return
            except ApiRefused as refused:
                if refused.error != "service_initializing":
                    raise
            await anyio.sleep(READY_POLL_S)

    async def _healthy(self, client: Client) -> Health:
        """Asked after a failure was cleared: until then a robot may call its health an error for that alone."""
        health = await client.health()
        if health.health == "error":
            raise ArmRefused(f"arm {self._name}: the robot reports an error of its own health: look at its app")
        return health

    async def _finds_heart(self, client: Client, health: Health) -> bool:
        """Whether the robot ends a motion by itself when our beats stay away. Raises ArmRefused for a live arm that does
        not, unless somebody has said that it may move all the same."""
        if promises_heart(health.build) or await offers_controlled(self._name, client):
            return True
        release = health.build or "a release without a name"
        words = (
            f"the robot ({release}) has no controlled motions: neither a stop nor our death ends a motion before its piece"
            f" of up to {PIECE_S:g} s is over, and its speed has no documented limit"
        )
        if self._settings.robot_kind == "live" and not self._settings.live_without_heartbeat:
            raise ArmRefused(
                f"arm {self._name}: {words}: update the robot to 2025-08 or newer, or set live_without_heartbeat = true"
            )
        log.warning("arm %s: %s", self._name, words)
        return False

    async def _take_control(self, client: Client) -> None:
        if await client.control_mode() == "api":
            return
        await client.take_control()
        mode = await client.control_mode()
        if mode != "api":
            raise ArmRefused(
                f"arm {self._name}: the robot stays in control mode {mode}: stop what runs there and close its editor"
            )

    async def _clear(self, client: Client, stops: int, may_clear: MayClear) -> None:
        """Out of a failure, where a person's word allows it. Waits for a recovery that is under way. The word is about
        the failure that was seen when it was given: another one needs another word."""
        asked = False
        seen = self._sight.fresh().recovery.failure
        while True:
            self._unless_stopped_since(stops)
            now = await self._sight.look(client)
            if now.recovery.failed:
                trouble = measured.trouble(now.recovery)
                words = trouble.reason if trouble is not None else "it failed"
                if now.emergency:
                    raise ArmStopped(f"arm {self._name}: an emergency stop is pressed ({words})")
                new = seen is not None and now.recovery.failure != seen
                if may_clear == "nothing" or asked or new:
                    raise ArmAlarm(f"arm {self._name}: {words}{' stays' if asked and not new else ''}")
                asked = True
                await self._ask_recovery(client)
            elif now.recovery.status == "RoutineRunning":
                raise ArmRefused(f"arm {self._name}: a routine runs on the robot: stop it in its app")
            elif now.recovery.status not in measured.BUSY:
                return
            await anyio.sleep(READY_POLL_S)

    async def _ask_recovery(self, client: Client) -> None:
        try:
            await client.recover()
        except ApiRefused as refused:
            raise ArmAlarm(f"arm {self._name}: {refused}") from refused

    async def _release_brakes(self, client: Client) -> None:
        if await client.brakes() == "disengaged":
            return
        await client.release_brakes()
        state = await client.brakes()
        if state != "disengaged":
            raise ArmRefused(f"arm {self._name}: the brakes stay {state}: is an emergency stop pressed?")

    def _check_model(self, now: Look) -> None:
        """What the robot measures must be the arm that plans are checked with: its tooltip and its kind of arm."""
        off_mm, off_deg = measured.apart(now.flange, self._chain.forward(now.joints_deg))
        if off_mm > measured.MODEL_ERROR_MM or off_deg > measured.MODEL_ERROR_DEG:
            raise ArmRefused(
                f"arm {self._name}: the robot's tooltip is {off_mm:.0f} mm and {off_deg:.1f}° from where an RO1 with"
                f" a tooltip of {self._sight.tooltip_mm:.0f} mm has it: choose the tooltip of the bare flange in the"
                f" robot's app, or set tooltip_mm to the length of the active one"
            )

    def _unless_stopped_since(self, stops: int) -> None:
        newest = self._sight.newest
        self._conduct.unless_stopped_since(stops, emergency=newest is not None and newest.emergency)
