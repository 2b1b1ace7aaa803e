"""Calibrating an arm on the software table: a person guides the tool tip to points of the board, the arm measures.

Nothing is taken from the twin's hidden truth: the measured points are the driver's own, from the controller's
joints through the nominal geometry, exactly as with a real arm.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Awaitable, Callable

import anyio

from edgechess_robots.arm import Park, Plan, Straight
from edgechess_robots.calibration import Calibration, Touch, fit
from edgechess_robots.dobot.driver import DobotArm
from edgechess_robots.errors import ArmLost, CalibrationRefused
from edgechess_robots.layout import Point, TableLayout
from edgechess_robots.standard_bots.driver import StandardBotsArm

GuidedArm = DobotArm | StandardBotsArm
Guide = Callable[[str, tuple[float, float, float]], Awaitable[None]]
"""(arm, point in the board frame, mm): a person moves the tool tip there."""

MEASURE_TIMEOUT_S = 15.0  # the first measurement waits for the link, the others for two frames
CLEAR_MM = 200.0  # above every piece of the tallest set
PARK_MM_S = 250.0  # the default of the whole system
ATTEMPTS = 5  # touches of σ 0.5 mm leave more than the 1 mm that is allowed once in forty times: touch again
CORNERS = ("a1", "h1", "h8", "a8", "d1", "h5", "e8", "a4")  # eight points: p99 0.8 mm on the worst square at σ 0.5 mm


async def calibrate_by_hand(
    arm: GuidedArm, layout: TableLayout, guide: Guide, *, arm_serial: str, date: datetime.date
) -> Calibration:
    """Powers the arm, touches eight square centres of the board's rim, and parks it. Raises CalibrationRefused, RobotError or TimeoutError."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await arm.ensure_ready()
            calibration = fit(await _touches(arm, layout, guide), arm_serial=arm_serial, date=date)
            break
        except (CalibrationRefused, ArmLost):
            if attempt == ATTEMPTS:
                raise
    arm.calibrate(calibration)
    await arm.ensure_ready()  # a dragged arm takes no plans until it is
    await _park(arm)
    return calibration


async def _park(arm: GuidedArm) -> None:
    """Straight up, then home: the match begins with parked arms. Raises RobotError."""
    tool = arm.state().tool
    if tool is None:
        raise ArmLost(f"arm {arm.name} is not measured any more")
    up = dataclasses.replace(tool, z_mm=CLEAR_MM, rx_deg=180.0, ry_deg=0.0)
    report = await arm.execute(arm.check(Plan((Straight(up, PARK_MM_S), Park(PARK_MM_S)))), token=0)
    if report.outcome != "done":
        raise ArmLost(f"arm {arm.name} could not be parked: {report.reason}")


async def _touches(arm: GuidedArm, layout: TableLayout, guide: Guide) -> list[Touch]:
    touches = []
    for name in CORNERS:
        centre = layout.square(name)
        await guide(arm.name, (centre.x_mm, centre.y_mm, 0.0))
        with anyio.fail_after(MEASURE_TIMEOUT_S):
            tip = await arm.measure_tip()
        touches.append(Touch(Point(centre.x_mm, centre.y_mm, 0.0), Point(tip.x_mm, tip.y_mm, tip.z_mm)))
    return touches
