"""The grippers of an RO1 behind one interface. Whoever commands one polls it: the API answers before the fingers stand."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import anyio

from edgechess_robots.errors import ArmRefused
from edgechess_robots.standard_bots import api_protocol as api
from edgechess_robots.standard_bots.api_protocol import GripperReport
from edgechess_robots.standard_bots.client import Client
from edgechess_robots.standard_bots.settings import StandardBotsSettings

POLL_S = 0.1
STARTING_S = 0.15  # after a command the configuration may still show fingers that have not begun
STILL_MM = 0.2  # between two polls: fingers that moved less stand
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

    async def open(self, width_mm: float) -> None:
        """Raises ArmRefused when the fingers do not get there in time."""

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

    async def prepare(self) -> bool | None:
        report = await _present(self._client, self._settings)
        self._least_mm = report.least_mm or 0.0
        return report.holding

    async def read(self) -> Reading:
        report = await self._client.gripper()
        return Reading(report.holding, report.width_mm)

    async def open(self, width_mm: float) -> None:
        width_mm = max(width_mm, self._least_mm)
        await self._command(width_mm, grip=False)
        reading = await self._until_still()
        if reading.width_mm is not None and abs(reading.width_mm - width_mm) > self._settings.gripper_tolerance_mm:
            raise ArmRefused(f"the gripper stands at {reading.width_mm:.1f} mm instead of {width_mm:.1f} mm")

    async def close(self, width_mm: float) -> Reading:
        await self._command(max(width_mm, self._least_mm), grip=True)
        return await self._until_still()

    async def _command(self, width_mm: float, *, grip: bool) -> None:
        await self._client.command_gripper(api.onrobot_2fg7(width_mm, self._settings.gripper_force_n, grip=grip))
        await anyio.sleep(STARTING_S)

    async def _until_still(self) -> Reading:
        """Two readings of the same width, and of the same feeling: the grip is detected a moment after the fingers stand."""
        with anyio.move_on_after(self._settings.gripper_timeout_s):
            before = await self.read()
            while True:
                await anyio.sleep(POLL_S)
                reading = await self.read()
                if reading.holding == before.holding and _still(before, reading):
                    return reading
                before = reading
        raise ArmRefused(f"the gripper's fingers did not stand within {self._settings.gripper_timeout_s:g} s")


class Robotiq2F:
    """Tells nothing of what it holds in the releases known: a missed grasp is left to the board to see."""

    def __init__(self, client: Client, settings: StandardBotsSettings) -> None:
        self._client = client
        self._settings = settings
        self._sent_to_mm: float | None = None

    async def prepare(self) -> bool | None:
        return (await _present(self._client, self._settings)).holding

    async def read(self) -> Reading:
        """By width, where a release tells it: fingers that something holds apart hold it."""
        report = await self._client.gripper()
        holding = report.holding
        if holding is None and report.width_mm is not None and self._sent_to_mm is not None:
            holding = report.width_mm > self._sent_to_mm + self._settings.gripper_tolerance_mm
        return Reading(holding, report.width_mm)

    async def open(self, width_mm: float) -> None:
        await self._command(width_mm)

    async def close(self, width_mm: float) -> Reading:
        await self._command(width_mm)
        return await self.read()

    async def _command(self, width_mm: float) -> None:
        """Waits out a whole stroke: where the fingers are is not told."""
        settings = self._settings
        request = api.robotiq_2f(width_mm, settings.gripper_force_n, settings.gripper_speed_mm_s)
        await self._client.command_gripper(request)
        self._sent_to_mm = width_mm
        await anyio.sleep(settings.gripper_stroke_mm / settings.gripper_speed_mm_s + SETTLE_S)


def _still(before: Reading, now: Reading) -> bool:
    if before.width_mm is None or now.width_mm is None:
        return True
    return abs(before.width_mm - now.width_mm) < STILL_MM
