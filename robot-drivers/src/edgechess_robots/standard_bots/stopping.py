"""How an RO1 is brought to stand, and seen to: its heart, or the end of the piece under way, has ended the motion before."""

from __future__ import annotations

from typing import Literal

import anyio

from edgechess_robots.conduct import Conduct
from edgechess_robots.errors import ArmLost, ArmRefused, RobotError
from edgechess_robots.standard_bots.client import Client
from edgechess_robots.standard_bots.settings import StandardBotsSettings
from edgechess_robots.standard_bots.sight import CLOSE_LOOK_S, Sight
from edgechess_robots.standard_bots.units import WrongUnit

STANDSTILL_S = 3.0  # half a second until a missing beat counts or a piece ends, a second to brake, and looks to see it

StopEnd = Literal["stands", "unseen", "lost"]
"""What became of a stop: seen to stand, not seen to stand, or the link is gone."""


async def say_stop(client: Client) -> None:
    """The only stop that the API has ends routines and "all ongoing motions"; without a routine it may refuse."""
    try:
        await client.stop_routine()
    except RobotError:
        return  # what counts is whether the arm is seen to stand


class Stopping:
    def __init__(self, name: str, settings: StandardBotsSettings, conduct: Conduct, sight: Sight) -> None:
        self._name = name
        self._settings = settings
        self._conduct = conduct
        self._sight = sight

    async def see_standing(self) -> None:
        """The robot is told, and looked at until the arm stands; if it does not, its power is cut where that is allowed.
        Raises ArmLost, ArmRefused ("stop not confirmed …")."""
        end, cure = await self._stood(), ": press its emergency stop"
        if end == "unseen" and self._settings.emergency_stop_as_last_resort:
            end, cure = await self._stood_without_power(), ", nor after its power was cut"
        if end == "lost":
            raise ArmLost(f"stop not confirmed: {self._conduct.offline()}")
        if end == "unseen":
            raise ArmRefused(f"stop not confirmed: arm {self._name} was not seen to stand{cure}")

    async def _stood(self) -> StopEnd:
        session = self._sight.session
        if session is None:
            return "lost"
        await say_stop(session.client)
        return await self._stands_soon(session.client)

    async def _stood_without_power(self) -> StopEnd:
        client = self._sight.linked().client
        self._conduct.last_resort = "its power was cut, for it was not seen to stand after a stop"
        try:
            await client.emergency_stop(f"arm {self._name} was not seen to stand after a stop")
        except RobotError:
            return "unseen" if self._there(client) else "lost"
        return await self._stands_soon(client)

    async def _stands_soon(self, client: Client) -> StopEnd:
        with anyio.move_on_after(STANDSTILL_S):
            while self._there(client):
                try:
                    await self._sight.stands(client)
                    return "stands"
                except (RobotError, WrongUnit):
                    await anyio.sleep(CLOSE_LOOK_S)  # one lost answer is not a lost arm
            return "lost"
        return "unseen" if self._there(client) else "lost"

    def _there(self, client: Client) -> bool:
        return self._sight.session is not None and self._sight.session.client is client
