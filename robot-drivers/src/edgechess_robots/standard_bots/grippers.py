"""The grippers of an RO1 behind one interface. Whoever commands one polls it: the API answers before the fingers stand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Protocol

import anyio

from edgechess_robots.errors import ArmRefused
from edgechess_robots.standard_bots import api_protocol as api
from edgechess_robots.standard_bots.api_protocol import GripperReport
from edgechess_robots.standard_bots.client import Client
from edgechess_robots.standard_bots.settings import StandardBotsSettings

POLL_S = 0.025
STARTING_S = 0.15  # after a command the configuration may still show fingers that have not begun
UNCHANGED_S = 0.1  # fingers that tell the same for so long stand
STILL_MM = 0.2  # less than this is the same width
THERE_MM = 0.5  # this near to where they were sent, fingers that open are there: nothing more is to be seen of them
SETTLE_S = 0.3  # beyond the stroke's own time, for a gripper that does not say when it is done


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """None: the gripper does not tell."""

    holding: bool | None
    width_mm: float | None


class Gripper(Protocol):
    async def prepare(self) -> bool | None:
        """Is it there, and well? Moves nothing: an arm that restarts may be holding something. Returns whether it holds.
        Raises ArmRefused."""

    async def begin_opening(self, width_mm: float) -> None:
        """The fingers set off. `opened` before anything is asked of them again."""

    async def opened(self) -> None:
        """They stand where they were sent last. Raises ArmRefused when they do not get there in time."""

    async def close(self, width_mm: float) -> Reading:
        """Until something is held, or the fingers stand."""

    async def read(self) -> Reading: ...


def gripper_of(client: Client, settings: StandardBotsSettings) -> Gripper:
    match settings.gripper:
        case "onrobot_2fg7":
            return OnRobot2FG7(client, settings)
        case "robotiq_2f":
            return Robotiq2F(client, settings)


async def _present(client: Client, settings: StandardBotsSettings) -> GripperReport:
    report = await client.gripper()
    if report.kind != settings.gripper:
        found = "no gripper" if report.kind == "none_connected" else f"a {report.kind}"
        raise ArmRefused(
            f"the robot has {found}, the settings say {settings.gripper}: attach it and choose it in the robot's app, or"
            f" set gripper"
        )
    if report.faults:
        raise ArmRefused(
            f"the {report.kind} reports {', '.join(report.faults)}: look at it, then calibrate it in the app"
        )
    most = report.most_mm
    if most is not None and settings.gripper_stroke_mm > most + settings.gripper_tolerance_mm:
        raise ArmRefused(
            f"the {report.kind} opens to {most:.0f} mm as it is mounted, gripper_stroke_mm is"
            f" {settings.gripper_stroke_mm:.0f}: set it to what the gripper can"
        )
    return report


class OnRobot2FG7:
    """Feels what it holds (`grip_detected`)."""

    def __init__(self, client: Client, settings: StandardBotsSettings) -> None:
        self._client = client
        self._settings = settings
        self._least_mm = 0.0
        self._sent_to_mm = 0.0
        self._sent_s = 0.0

    async def prepare(self) -> bool | None:
        report = await _present(self._client, self._settings)
        self._least_mm = report.least_mm or 0.0
        return report.holding

    async def read(self) -> Reading:
        report = await self._client.gripper()
        return Reading(report.holding, report.width_mm)

    async def begin_opening(self, width_mm: float) -> None:
        await self._command(width_mm, grip=False)

    async def opened(self) -> None:
        wanted_mm = self._sent_to_mm
        reading = await self._until_still(
            lambda now: now.width_mm is not None and abs(now.width_mm - wanted_mm) <= THERE_MM
        )
        if reading.width_mm is not None and abs(reading.width_mm - wanted_mm) > self._settings.gripper_tolerance_mm:
            raise ArmRefused(f"the gripper stands at {reading.width_mm:.1f} mm instead of {wanted_mm:.1f} mm")

    async def close(self, width_mm: float) -> Reading:
        await self._command(width_mm, grip=True)
        return await self._until_still(lambda now: now.holding is True)

    async def _command(self, width_mm: float, *, grip: bool) -> None:
        self._sent_to_mm = max(width_mm, self._least_mm)
        self._sent_s = anyio.current_time()
        force_n = self._settings.gripper_force_n
        await self._client.command_gripper(api.onrobot_2fg7(self._sent_to_mm, force_n, grip=grip))

    async def _until_still(self, there: Callable[[Reading], bool]) -> Reading:
        """Until the gripper says that it is `there`, or has told the same width and feeling for a while: a grip is detected
        a moment after the fingers stand."""
        since_s, before = math.inf, None
        with anyio.move_on_after(self._settings.gripper_timeout_s):
            while True:
                reading, now_s = await self.read(), anyio.current_time()
                if there(reading):
                    return reading
                if before is None or reading.holding != before.holding or not _still(before, reading):
                    before, since_s = reading, max(now_s, self._sent_s + STARTING_S)
                if now_s - since_s >= UNCHANGED_S - 1e-9:
                    return reading
                await anyio.sleep(POLL_S)
        raise ArmRefused(f"the gripper's fingers did not stand within {self._settings.gripper_timeout_s:g} s")


class Robotiq2F:
    """Tells nothing of what it holds in the releases known: a missed grasp is left to the board to see."""

    def __init__(self, client: Client, settings: StandardBotsSettings) -> None:
        self._client = client
        self._settings = settings
        self._sent_to_mm: float | None = None
        self._there_s = 0.0

    async def prepare(self) -> bool | None:
        return (await _present(self._client, self._settings)).holding

    async def read(self) -> Reading:
        """By width, where a release tells it: fingers that something holds apart hold it."""
        report = await self._client.gripper()
        holding = report.holding
        if holding is None and report.width_mm is not None and self._sent_to_mm is not None:
            holding = report.width_mm > self._sent_to_mm + self._settings.gripper_tolerance_mm
        return Reading(holding, report.width_mm)

    async def begin_opening(self, width_mm: float) -> None:
        await self._command(width_mm)

    async def opened(self) -> None:
        await anyio.sleep_until(self._there_s)

    async def close(self, width_mm: float) -> Reading:
        await self._command(width_mm)
        await anyio.sleep_until(self._there_s)
        return await self.read()

    async def _command(self, width_mm: float) -> None:
        """A whole stroke is waited out: where the fingers are is not told."""
        settings = self._settings
        request = api.robotiq_2f(width_mm, settings.gripper_force_n, settings.gripper_speed_mm_s)
        await self._client.command_gripper(request)
        self._sent_to_mm = width_mm
        stroke_s = settings.gripper_stroke_mm / settings.gripper_speed_mm_s
        self._there_s = anyio.current_time() + stroke_s + SETTLE_S


def _still(before: Reading, now: Reading) -> bool:
    if before.width_mm is None or now.width_mm is None:
        return True
    return abs(before.width_mm - now.width_mm) < STILL_MM
