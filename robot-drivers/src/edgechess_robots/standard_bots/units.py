"""Ours against the robot's: millimetres and metres, degrees and radians, flange and tooltip frame. In this file only.

Reference "standard-bots-ro1", kinematics and limits. Every number that crosses is checked by range, because 400 is a
plausible coordinate in millimetres and an absurd one in metres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgechess_robots.kinematics import Joints
from edgechess_robots.poses import Matrix
from edgechess_robots.standard_bots.api_protocol import ApiBroken, Tooltip

MM_PER_M = 1000.0
FARTHEST_M = 5.0  # the arm reaches 1.3 m; with a long tool and on a rail it is still below this
WIDEST_M = 0.5  # no gripper opens wider
FASTEST_M_S = 5.0  # six times the factory's tooltip limit
LARGEST_RAD = 8.0  # joints turn by 2 pi at most; an angle in degrees is soon beyond it
SMALLEST_TOOL_MM = 5.0  # a tool length below this is one in metres

# Columns: the axes of the API's tooltip frame in our flange frame. Its x axis points out of the flange, ours is z.
_TOOLTIP_IN_FLANGE = np.array(
    [
        [0.0, 0.0, 1.0, 0.0],
        [0.0, -1.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


class WrongUnit(ValueError):
    """A number that is only plausible in another unit. The text names both."""


def metres(mm: float, what: str, farthest_m: float = FARTHEST_M) -> float:
    """Raises WrongUnit for what no arm reaches."""
    if not abs(mm) <= farthest_m * MM_PER_M:
        raise WrongUnit(f"{what} is {mm:g} mm: beyond {farthest_m:g} m, is it given in a smaller unit?")
    return mm / MM_PER_M


def millimetres(m: float, what: str, farthest_m: float = FARTHEST_M) -> float:
    """Raises WrongUnit where millimetres were given for metres."""
    if not abs(m) <= farthest_m:
        raise WrongUnit(f"{what} is {m:g} m: beyond {farthest_m:g} m, so it was given in millimetres for metres")
    return m * MM_PER_M


def radians(joints_deg: Sequence[float]) -> tuple[float, ...]:
    return tuple(math.radians(angle) for angle in joints_deg)


def degrees(joints_rad: Sequence[float]) -> Joints:
    """Raises WrongUnit where degrees were given for radians."""
    beyond = [angle for angle in joints_rad if not abs(angle) <= LARGEST_RAD]
    if beyond:
        raise WrongUnit(
            f"a joint stands at {beyond[0]:g} rad: more than a turn, so it was given in degrees for radians"
        )
    return tuple(math.degrees(angle) for angle in joints_rad)


def tooltip_of(flange: Matrix, tooltip_mm: float) -> Tooltip:
    """What the API is told for our flange to be there. `tooltip_mm`: its active tooltip, along the flange's axis."""
    frame = flange @ _TOOLTIP_IN_FLANGE
    place = flange[:3, 3] + tooltip_mm * flange[:3, 2]
    x, y, z = (metres(float(v), f"{axis} of the target") for axis, v in zip("xyz", place, strict=True))
    return Tooltip(x, y, z, *_quaternion(frame))


def flange_of(tooltip: Tooltip, tooltip_mm: float) -> Matrix:
    """Where our flange is when the API reports this tooltip. Raises ApiBroken for what is no pose, WrongUnit."""
    rows = []
    for axis, metre, (out, across, up) in zip(
        "xyz", (tooltip.x_m, tooltip.y_m, tooltip.z_m), _rotation(tooltip), strict=True
    ):
        at_mm = millimetres(metre, f"{axis} of the tooltip") - tooltip_mm * out
        rows.append((up, -across, out, at_mm))  # as _TOOLTIP_IN_FLANGE has it: x out of the flange is our z
    return np.array((*rows, (0.0, 0.0, 0.0, 1.0)))


def _rotation(tooltip: Tooltip) -> tuple[tuple[float, float, float], ...]:
    """Rows of the API's tooltip frame, in plain floats: an arm in motion tells where it is several times a second."""
    x, y, z, w = tooltip.qx, tooltip.qy, tooltip.qz, tooltip.qw
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    if not 0.9 < norm < 1.1:  # a robot rounds to five places; further off is something else than a quaternion
        raise ApiBroken(f"the tooltip's quaternion has length {norm:.3f}, expected 1")
    x, y, z, w = x / norm, y / norm, z / norm, w / norm
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )


def _quaternion(frame: Matrix) -> tuple[float, float, float, float]:
    """(x, y, z, w), w not negative. By the largest component first, so that no division is by almost nothing."""
    r = frame[:3, :3]
    trace = float(np.trace(r))
    squares = [float(1.0 + 2.0 * r[i, i] - trace) for i in range(3)]
    if trace >= max(float(r[i, i]) for i in range(3)):
        w = math.sqrt(max(0.0, 1.0 + trace)) / 2.0
        x, y, z = (float(v) / (4.0 * w) for v in (r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]))
        return x, y, z, w
    i = max(range(3), key=lambda n: float(r[n, n]))
    j, k = (i + 1) % 3, (i + 2) % 3
    largest = math.sqrt(max(0.0, squares[i])) / 2.0
    parts = [0.0, 0.0, 0.0]
    parts[i] = largest
    parts[j] = float(r[j, i] + r[i, j]) / (4.0 * largest)
    parts[k] = float(r[k, i] + r[i, k]) / (4.0 * largest)
    w = float(r[k, j] - r[j, k]) / (4.0 * largest)
    sign = -1.0 if w < 0.0 else 1.0
    return sign * parts[0], sign * parts[1], sign * parts[2], sign * w
