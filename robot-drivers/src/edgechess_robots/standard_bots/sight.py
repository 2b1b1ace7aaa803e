"""What is seen of an RO1: one look after the other, and whether the arm stands in them."""

from __future__ import annotations

import anyio

from edgechess_robots.conduct import Conduct
from edgechess_robots.standard_bots import measured
from edgechess_robots.standard_bots.api_protocol import NotOffered
from edgechess_robots.standard_bots.client import Client
from edgechess_robots.standard_bots.measured import Look
from edgechess_robots.standard_bots.session import Session
from edgechess_robots.standard_bots.settings import StandardBotsSettings

CLOSE_LOOK_S = 0.05  # between looks while somebody waits for the arm to stand
LOOKS_STANDING = 2  # in a row: one may fall between two motions
SHOWN_DEG = 0.05  # a joint that turned less has not moved


class Sight:
    """The newest look, and the link that it came by. Every look is told to the conduct."""

    def __init__(self, conduct: Conduct, settings: StandardBotsSettings) -> None:
        self.newest: Look | None = None
        self.session: Session | None = None
        self.tooltip_mm = settings.tooltip_mm or 0.0
        self._conduct = conduct
        self._settings = settings
        self._shown: Look | None = None

    def linked(self) -> Session:
        """Raises ArmLost."""
        if self.session is None:
            raise self._conduct.offline()
        return self.session

    def fresh(self) -> Look:
        """Raises ArmLost."""
        if self.newest is None or self._conduct.mode == "offline":
            raise self._conduct.offline()
        return self.newest

    def parked(self, now: Look) -> bool:
        off = measured.farthest_deg(now.joints_deg, self._settings.park_joints_deg)
        return now.standing and off <= self._settings.parked_tolerance_deg

    async def learn_tooltip(self, client: Client) -> None:
        """How far the active tooltip is before the flange, unless it is set: from the robot, where it tells both."""
        if self._settings.tooltip_mm is not None:
            return
        try:
            flange = await client.flange()
        except NotOffered:
            return
        position = await client.position()
        self.tooltip_mm = measured.tooltip_mm(flange, position.tooltip)

    async def look(self, client: Client) -> Look:
        """A new one. Raises ArmLost, ApiBroken, ApiRefused, WrongUnit."""
        asked_s = anyio.current_time()
        recovery = await client.recovery()  # first: an arm that is idle afterwards stands where it is measured next
        position = await client.position()
        before = self.newest
        now = measured.look(before, asked_s, recovery, position, self.tooltip_mm)
        if before is None or now.at_s >= before.at_s:
            self._took(before, now)
        return now

    async def stands(self, client: Client, looks: int = LOOKS_STANDING) -> Look:
        """So many looks in a row that show the arm standing. The deadline is the caller's."""
        standing, now = 0, await self.look(client)
        while standing < looks:
            await anyio.sleep(CLOSE_LOOK_S)
            now = await self.look(client)
            standing = standing + 1 if now.standing else 0
        return now

    async def still(self, client: Client) -> Look:
        """As `stands`, whatever the robot says of itself: an arm in a person's hands stands when its joints do."""
        standing, before = 0, self.fresh()
        while standing < LOOKS_STANDING:
            await anyio.sleep(self._settings.poll_s)
            now = await self.look(client)
            turned = measured.farthest_deg(before.joints_deg, now.joints_deg)
            standing = standing + 1 if turned <= measured.STANDING_DEG_S * self._settings.poll_s else 0
            before = now
        return self.fresh()

    def _took(self, before: Look | None, now: Look) -> None:
        conduct, self.newest = self._conduct, now
        if now.emergency and not (before is not None and before.emergency):
            conduct.stops += 1  # whoever gets the arm ready was told before that: their word counts no more
        conduct.measured()
        trouble = measured.trouble(now.recovery)
        if trouble is not None and conduct.mode == "idle" and trouble.code == "guided":
            conduct.step("unready")
        elif trouble is not None and (
            conduct.mode in ("idle", "moving") or (now.recovery.failed and conduct.mode == "stopped")
        ):
            conduct.hold("alarm", trouble.code, trouble.reason)  # the heart may have heard of it, and stopped, before
        if self._shown is None or _differs(now, self._shown):
            self._shown = now
            conduct.show()


def _differs(a: Look, b: Look) -> bool:
    """Whether somebody who looks at the arm would see a difference."""
    return (
        a.recovery.status != b.recovery.status
        or a.emergency != b.emergency
        or a.standing != b.standing
        or measured.farthest_deg(a.joints_deg, b.joints_deg) > SHOWN_DEG
    )
