"""One connection to an RO1 after the other: greeted, watched, and given up when it shows nothing any more."""

from __future__ import annotations

import math

import anyio

from edgechess_robots.conduct import Conduct
from edgechess_robots.dobot.tcp import Connect
from edgechess_robots.errors import ArmLost, ArmProtocolError, RobotError
from edgechess_robots.standard_bots import measured
from edgechess_robots.standard_bots.api_protocol import ApiBroken, ApiRefused
from edgechess_robots.standard_bots.client import Client, Site
from edgechess_robots.standard_bots.measured import Look
from edgechess_robots.standard_bots.session import Session
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_robots.standard_bots.sight import CLOSE_LOOK_S, LOOKS_STANDING, Sight
from edgechess_robots.standard_bots.stopping import say_stop
from edgechess_robots.standard_bots.units import WrongUnit

GREET_S = 8.0  # the longest that a new connection may take to be answered and to show an arm that stands
LAST_LOOK_S = 0.5  # for one more look before a link is given up: it may be we who did not look, and not the robot


class Link:
    """`serve` is one connection. See `Conduct.keep_linked`."""

    def __init__(
        self, connect: Connect, site: Site, settings: StandardBotsSettings, conduct: Conduct, sight: Sight
    ) -> None:
        self._connect = connect
        self._site = site
        self._settings = settings
        self._conduct = conduct
        self._sight = sight

    async def serve(self) -> bool:
        """One connection, until it fails. Returns whether it came up."""
        async with Client(self._connect, self._site) as client:
            if not await self._greet(client):
                return False
            code, reason = "link-lost", "the connection was closed"
            try:
                code, reason = await self._watch(client)
            finally:
                self._sight.session = None
                self._conduct.unlinked(code, reason)
        return True

    async def _greet(self, client: Client) -> bool:
        """A new connection moves nothing. It waits until whatever may still run here ends, and measures where that left
        the arm: our own motions died with their heart or end with their piece, somebody else's is asked to end."""
        try:
            with anyio.fail_after(GREET_S):
                now = await self._first_look(client)
        except TimeoutError:
            return self._not_linked("link-lost", "the arm was not seen to stand after the connection")
        except WrongUnit as error:
            return self._not_linked("protocol", str(error))
        except RobotError as error:
            return self._not_linked("protocol" if isinstance(error, ArmProtocolError) else "link-lost", str(error))
        self._sight.session = Session(client)
        self._linked(now)
        return True

    async def _first_look(self, client: Client) -> Look:
        sight = self._sight
        await client.health()
        await sight.learn_tooltip(client)
        now = await sight.look(client)
        if now.recovery.status == "RunningAdHocCommand":
            await say_stop(client)
        standing = 0
        while standing < LOOKS_STANDING and not now.recovery.failed:
            await anyio.sleep(CLOSE_LOOK_S)
            now = await sight.look(client)
            standing = standing + 1 if now.standing or now.recovery.status in measured.GUIDED else 0
            if now.recovery.status == "RoutineRunning":
                break  # not ours: it is told when the arm is to be made ready
        return now

    def _not_linked(self, code: str, reason: str) -> bool:
        self._conduct.not_linked(code, reason)
        return False

    def _linked(self, now: Look) -> None:
        """What happened while nobody looked is shown at once. An emergency stop holds the arm even after its release;
        another failure of an arm that was not in motion is for `ensure_ready` to judge."""
        trouble = measured.trouble(now.recovery)
        conduct = self._conduct
        if trouble is not None and now.recovery.failed and (conduct.held or trouble.code == "emergency-stop"):
            conduct.hold("linked-alarm", trouble.code, trouble.reason)
        else:
            conduct.linked()

    async def _watch(self, client: Client) -> tuple[str, str]:
        """Looks at the robot until it cannot be seen. Returns code and reason."""
        last = "no answer"
        while True:
            found = await self._look(client, self._left_s())
            if isinstance(found, tuple):
                return found
            last = found or last
            if self._left_s() > 0.0:
                await anyio.sleep(min(self._settings.poll_s, self._left_s()))
                continue
            found = await self._look(client, LAST_LOOK_S)
            if isinstance(found, tuple):
                return found
            if self._left_s() <= 0.0:
                return "stale-feedback", f"no state for {self._settings.stale_s:g} s ({found or last})"

    def _left_s(self) -> float:
        """Until the newest look is stale, whoever looked."""
        newest = self._sight.newest
        return (newest.at_s if newest is not None else -math.inf) + self._settings.stale_s - anyio.current_time()

    async def _look(self, client: Client, limit_s: float) -> str | tuple[str, str] | None:
        """Code and reason when the connection is of no more use; a reason alone when this look failed."""
        try:
            with anyio.move_on_after(limit_s):
                await self._sight.look(client)
        except ApiRefused as refused:
            return ("link-lost", str(refused)) if refused.error == "authorization_required" else str(refused)
        except (ApiBroken, WrongUnit) as broken:
            return "protocol", str(broken)
        except ArmLost as lost:
            return str(lost)
        return None
