"""Calibrating an arm: a person guides the tool tip to points of the board, the arm measures, a rigid fit does the rest.

Nothing is taken from the twin's hidden truth: the measured points are the driver's own, from the controller's
joints through the nominal geometry, exactly as with a real arm.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

import anyio

from edgechess_robots.arm import Arm, Park, Plan, Straight, Travel
from edgechess_robots.calibration import MIN_TOUCHES, Calibration, Touch, fit
from edgechess_robots.errors import ArmLost, CalibrationRefused, PlanRefused
from edgechess_robots.layout import Point, TableLayout
from edgechess_robots.poses import Pose

MEASURE_TIMEOUT_S = 15.0  # the first measurement waits for the link, the others for two frames
CLEAR_MM = 200.0  # above every piece of the tallest set
PARK_MM_S = 250.0  # the default of the whole system
HOVER_MM = 30.0  # above the board: near enough to judge by eye, and nothing is touched
VERIFY_MM_S = 100.0  # somebody stands beside it and looks
ATTEMPTS = 5  # touches of σ 0.5 mm leave more than the 1 mm that is allowed once in forty times: touch again
CORNERS = ("a1", "h1", "h8", "a8", "d1", "h5", "e8", "a4")  # eight points: p99 0.8 mm on the worst square at σ 0.5 mm
VERIFIED_CORNERS = ("a1", "h1", "h8", "a8")


@runtime_checkable
class GuidedArm(Arm, Protocol):
    """An arm that a person can guide, and that measures where its fingertips are then."""

    async def measure_tip(self) -> Pose: ...
    def calibrate(self, calibration: Calibration) -> None: ...
    async def drag(self, on: bool) -> None:
        """Hand guiding by software, where the arm has it."""


Guide = Callable[[str, tuple[float, float, float]], Awaitable[None]]
"""(arm, point in the board frame, mm): a person moves the tool tip there."""
Show = Callable[[str, Sequence[Touch]], None]
"""What was just touched, and all touches so far."""


async def calibrate_by_hand(
    arm: GuidedArm,
    layout: TableLayout,
    guide: Guide,
    *,
    arm_serial: str,
    date: datetime.date,
    points: Sequence[str] = CORNERS,
    attempts: int = ATTEMPTS,
    show: Show | None = None,
) -> Calibration:
    """Powers the arm, has square centres of the board's rim touched, and parks it. Raises CalibrationRefused, RobotError or TimeoutError."""
    for attempt in range(1, attempts + 1):
        try:
            await arm.ensure_ready()
            touches = await touch(arm, layout, guide, points, show)
            calibration = fit(touches, arm_serial=arm_serial, date=date)
            break
        except (CalibrationRefused, ArmLost):
            if attempt == attempts:
                raise
    arm.calibrate(calibration)
    await arm.ensure_ready()  # a dragged arm takes no plans until it is
    await go_home(arm)
    return calibration


async def touch(
    arm: GuidedArm, layout: TableLayout, guide: Guide, points: Sequence[str], show: Show | None = None
) -> list[Touch]:
    """One after the other. Raises RobotError or TimeoutError."""
    touches: list[Touch] = []
    for name in points:
        centre = layout.square(name)
        await guide(arm.name, (centre.x_mm, centre.y_mm, 0.0))
        with anyio.fail_after(MEASURE_TIMEOUT_S):
            tip = await arm.measure_tip()
        touches.append(Touch(Point(centre.x_mm, centre.y_mm, 0.0), Point(tip.x_mm, tip.y_mm, tip.z_mm)))
        if show is not None:
            show(name, touches)
    return touches


def residual_so_far(touches: Sequence[Touch]) -> tuple[float, float] | None:
    """Residual in mm and scale of what was touched, however bad; None as long as that cannot be said."""
    if len(touches) < MIN_TOUCHES:
        return None
    try:
        so_far = fit(
            touches, arm_serial="", date=datetime.date.min, max_residual_mm=math.inf, max_scale_error=math.inf
        )  # fmt: skip
    except CalibrationRefused:
        return None
    return so_far.residual_mm, so_far.scale


@dataclasses.dataclass(frozen=True, slots=True)
class CornerError:
    """How far the tip, guided to this square's centre, is from where the calibration has it; mm, board frame."""

    square: str
    dx_mm: float
    dy_mm: float
    dz_mm: float

    @property
    def size_mm(self) -> float:
        return math.hypot(self.dx_mm, self.dy_mm, self.dz_mm)


async def verify_corners(
    arm: GuidedArm, calibration: Calibration, layout: TableLayout, guide: Guide, show: Callable[[CornerError], None]
) -> list[CornerError]:
    """Hovers slowly above each corner, lets a person guide the tip down to its centre, and measures; then parks.

    Raises RobotError or TimeoutError.
    """
    errors = []
    await arm.ensure_ready()
    for name in VERIFIED_CORNERS:
        centre = layout.square(name)
        await _hover(arm, centre)
        await guide(arm.name, (centre.x_mm, centre.y_mm, 0.0))
        with anyio.fail_after(MEASURE_TIMEOUT_S):
            found = calibration.to_board(await arm.measure_tip())
        errors.append(CornerError(name, found.x_mm - centre.x_mm, found.y_mm - centre.y_mm, found.z_mm))
        show(errors[-1])
        await arm.ensure_ready()
        await _up(arm, VERIFY_MM_S)
    await go_home(arm)
    return errors


async def _hover(arm: GuidedArm, centre: Point) -> None:
    refused: PlanRefused | None = None
    for yaw_deg in (0.0, 90.0, -90.0, 180.0):
        above = Pose(centre.x_mm, centre.y_mm, CLEAR_MM, 180.0, 0.0, yaw_deg)
        down = dataclasses.replace(above, z_mm=HOVER_MM)
        try:
            checked = arm.check(Plan((Travel(above, VERIFY_MM_S), Straight(down, VERIFY_MM_S))))
        except PlanRefused as error:
            refused = error
            continue
        report = await arm.execute(checked, token=0)
        if report.outcome != "done":
            raise ArmLost(f"arm {arm.name} did not come to its corner: {report.reason}")
        return
    assert refused is not None
    raise refused


async def go_home(arm: Arm) -> None:
    """Straight up, then to the park: a match begins with parked arms. Raises RobotError."""
    await _up(arm, PARK_MM_S)
    await _run(arm, Plan((Park(PARK_MM_S),)), "parked")


async def _up(arm: Arm, speed_mm_s: float) -> None:
    tool = arm.state().tool
    if tool is None:
        raise ArmLost(f"arm {arm.name} is not measured any more")
    if tool.z_mm < CLEAR_MM:
        up = dataclasses.replace(tool, z_mm=CLEAR_MM, rx_deg=180.0, ry_deg=0.0)
        await _run(arm, Plan((Straight(up, speed_mm_s),)), "raised")


async def _run(arm: Arm, plan: Plan, what: str) -> None:
    report = await arm.execute(arm.check(plan), token=0)
    if report.outcome != "done":
        raise ArmLost(f"arm {arm.name} could not be {what}: {report.reason}")
