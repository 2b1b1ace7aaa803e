"""Kinematics of the UR-type six-axis chain that the Dobot CR family and the RO1 have (joint axes 2, 3 and 4 parallel).

Joint angles in degrees, lengths in millimetres, poses of the flange in the arm's base frame. Forward and inverse are
closed-form in plain floats: a plan asks for hundreds of solutions, and arrays of six cost more than the mathematics.
Numbers: reference "dobot-tcp-ip-v4" section 10; "standard-bots-ro1", kinematics and limits.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgechess_robots.poses import Matrix, Pose

Joints = tuple[float, ...]
"""Six joint angles in degrees."""

_Frame = tuple[float, float, float, float, float, float, float, float, float, float, float, float]
"""A pose as its x axis, y axis, z axis and origin, three floats each."""

_EDGE = 1e-9  # a cosine this far beyond 1 is rounding at full stretch, not a target out of reach
_SINGULAR_SINE = 1e-6  # below this sine of joint 5, joints 4 and 6 turn about one line and joint 6 is free

TOOL_LENGTH_MM = 180.0  # flange to the middle of the closed fingertips: the tool of the reference's reach study


class Unreachable(ValueError):
    """No joint angles reach the pose in the wanted branch. The text says which length or joint is in the way."""


@dataclasses.dataclass(frozen=True, slots=True)
class Branch:
    """Which of the eight solutions: each +1 or -1.

    `shoulder` +1: the wrist is in front of the shoulder. `elbow`: sign of sin(joint 3). `wrist`: sign of sin(joint 5).
    """

    shoulder: int
    elbow: int
    wrist: int


BRANCHES = tuple(Branch(s, e, w) for s, e, w in itertools.product((1, -1), repeat=3))


@dataclasses.dataclass(frozen=True, slots=True)
class Margins:
    """How far a posture is from each singularity: 90 degrees is farthest for elbow and wrist."""

    shoulder_mm: float
    elbow_deg: float
    wrist_deg: float


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """Standard Denavit-Hartenberg parameters with alpha = 90, 0, 0, 90, -90, 0 degrees; theta = joint + offset."""

    name: str
    d1_mm: float
    a2_mm: float
    a3_mm: float
    d4_mm: float
    d5_mm: float
    d6_mm: float
    offsets_deg: Joints = (0.0, -90.0, 0.0, -90.0, 0.0, 0.0)
    limits_deg: Joints = (359.2, 359.2, 163.9, 359.2, 359.2, 359.2)
    """Each joint turns from minus to plus this (URDF limits 6.27 and 2.861 rad)."""
    speeds_deg_s: Joints = (180.0, 180.0, 223.0, 223.0, 223.0, 223.0)

    @property
    def reach_mm(self) -> float:
        """Length of the stretched arm, from the shoulder to the middle of the wrist."""
        return abs(self.a2_mm) + abs(self.a3_mm)

    def forward(self, joints_deg: Sequence[float]) -> Matrix:
        """The flange's pose in the base frame, shape (4, 4)."""
        f = self._forward(joints_deg)
        return np.array(
            [
                [f[0], f[3], f[6], f[9]],
                [f[1], f[4], f[7], f[10]],
                [f[2], f[5], f[8], f[11]],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )

    def forward_pose(self, joints_deg: Sequence[float]) -> Pose:
        return Pose.from_matrix(self.forward(joints_deg))

    def position_mm(self, joints_deg: Sequence[float], tool_length_mm: float = 0.0) -> tuple[float, float, float]:
        """Where a point on the flange's z axis is; cheaper than the whole pose."""
        f = self._forward(joints_deg)
        return (
            f[9] + tool_length_mm * f[6],
            f[10] + tool_length_mm * f[7],
            f[11] + tool_length_mm * f[8],
        )

    def solve(self, flange: NDArray[np.float64], branch: Branch, near_deg: Sequence[float]) -> Joints:
        """The joint angles for a flange pose in one branch, each by whole turns as near to `near_deg` as limits allow.

        At the wrist singularity joint 6 keeps the value of `near_deg`. Raises Unreachable.
        """
        return self._within_limits(self._solve(_frame(flange), branch, near_deg), near_deg)

    def nearest(self, flange: NDArray[np.float64], near_deg: Sequence[float]) -> Joints:
        """The solution in the branch of `near_deg`, nearest to it. Raises Unreachable."""
        return self.solve(flange, self.branch_of(near_deg), near_deg)

    def inverse(self, flange: NDArray[np.float64]) -> tuple[Joints, ...]:
        """Every solution within the joint limits, each angle in (-180, 180]; empty when there is none."""
        frame = _frame(flange)
        zero = (0.0,) * 6
        solutions = []
        for branch in BRANCHES:
            try:
                solutions.append(self._within_limits(self._solve(frame, branch, zero), zero))
            except Unreachable:
                continue
        return tuple(solutions)

    def branch_of(self, joints_deg: Sequence[float]) -> Branch:
        f = self._forward(joints_deg)
        theta1 = math.radians(joints_deg[0] + self.offsets_deg[0])
        wrist_x = f[9] - self.d6_mm * f[6]
        wrist_y = f[10] - self.d6_mm * f[7]
        forward = wrist_x * math.cos(theta1) + wrist_y * math.sin(theta1)
        return Branch(
            1 if forward >= 0.0 else -1,
            1 if math.sin(math.radians(joints_deg[2] + self.offsets_deg[2])) >= 0.0 else -1,
            1 if math.sin(math.radians(joints_deg[4] + self.offsets_deg[4])) >= 0.0 else -1,
        )

    def margins(self, joints_deg: Sequence[float]) -> Margins:
        """Distances from the shoulder, elbow and wrist singularities (alarms 16, 27 and 26 of the controller)."""
        f = self._forward(joints_deg)
        radius = math.hypot(f[9] - self.d6_mm * f[6], f[10] - self.d6_mm * f[7])
        return Margins(
            max(0.0, radius - abs(self.d4_mm)),
            _sine_deg(joints_deg[2] + self.offsets_deg[2]),
            _sine_deg(joints_deg[4] + self.offsets_deg[4]),
        )

    def beyond_limit(self, joints_deg: Sequence[float]) -> str | None:
        """Which joint is beyond its limit, in words; None when none is."""
        for number, (angle, limit) in enumerate(zip(joints_deg, self.limits_deg, strict=True), start=1):
            if abs(angle) > limit:
                return f"joint {number} at {angle:.1f}° exceeds ±{limit:.1f}°"
        return None

    def _forward(self, joints_deg: Sequence[float]) -> _Frame:
        q1, q2, q3, q4, q5, q6 = (math.radians(q + o) for q, o in zip(joints_deg, self.offsets_deg, strict=True))
        c1, s1, c5, s5, c6, s6 = math.cos(q1), math.sin(q1), math.cos(q5), math.sin(q5), math.cos(q6), math.sin(q6)
        c234, s234 = math.cos(q2 + q3 + q4), math.sin(q2 + q3 + q4)
        # In the arm's upright plane: `out` along the direction that joint 1 faces, `up` along the base's z axis.
        out = self.a2_mm * math.cos(q2) + self.a3_mm * math.cos(q2 + q3) + self.d5_mm * s234
        up = self.d1_mm + self.a2_mm * math.sin(q2) + self.a3_mm * math.sin(q2 + q3) - self.d5_mm * c234
        zx, zy, zz = s1 * c5 - s5 * c234 * c1, -c1 * c5 - s5 * c234 * s1, -s5 * s234
        ux, uy, uz = c5 * c234 * c1 + s5 * s1, c5 * c234 * s1 - s5 * c1, c5 * s234  # the x axis of frame 5
        vx, vy, vz = -s234 * c1, -s234 * s1, c234  # its y axis
        return (
            c6 * ux + s6 * vx,
            c6 * uy + s6 * vy,
            c6 * uz + s6 * vz,
            c6 * vx - s6 * ux,
            c6 * vy - s6 * uy,
            c6 * vz - s6 * uz,
            zx,
            zy,
            zz,
            out * c1 + self.d4_mm * s1 + self.d6_mm * zx,
            out * s1 - self.d4_mm * c1 + self.d6_mm * zy,
            up + self.d6_mm * zz,
        )

    def _solve(self, f: _Frame, branch: Branch, near_deg: Sequence[float]) -> Joints:
        wx, wy, wz = f[9] - self.d6_mm * f[6], f[10] - self.d6_mm * f[7], f[11] - self.d6_mm * f[8]
        radius = math.hypot(wx, wy)
        if radius < abs(self.d4_mm) * (1.0 - _EDGE):
            raise Unreachable(
                f"too close to the base axis: the wrist is {radius:.0f} mm from it, at least {abs(self.d4_mm):.0f} needed"
            )
        swing = math.asin(_cosine(self.d4_mm / radius))
        theta1 = math.atan2(wy, wx) + (swing if branch.shoulder > 0 else math.pi - swing)
        c1, s1 = math.cos(theta1), math.sin(theta1)

        c5 = (f[9] * s1 - f[10] * c1 - self.d4_mm) / self.d6_mm
        if abs(c5) > 1.0 + 1e-6:
            raise Unreachable("the wrist cannot turn the flange that way")
        theta5 = branch.wrist * math.acos(_cosine(c5))
        s5 = math.sin(theta5)
        if abs(s5) < _SINGULAR_SINE:
            theta6 = math.radians(near_deg[5] + self.offsets_deg[5])
        else:  # the axis of joints 2 to 4, seen from the flange, is (c6 s5, -s6 s5, c5)
            theta6 = math.atan2(-(f[3] * s1 - f[4] * c1) / s5, (f[0] * s1 - f[1] * c1) / s5)
        c6, s6 = math.cos(theta6), math.sin(theta6)

        vx, vy, vz = -(f[0] * s6 + f[3] * c6), -(f[1] * s6 + f[4] * c6), -(f[2] * s6 + f[5] * c6)  # axis of joint 5
        theta234 = math.atan2(vx * c1 + vy * s1, -vz)
        out = (wx - self.d5_mm * vx) * c1 + (wy - self.d5_mm * vy) * s1
        up = wz - self.d5_mm * vz - self.d1_mm
        c3 = (out * out + up * up - self.a2_mm**2 - self.a3_mm**2) / (2.0 * self.a2_mm * self.a3_mm)
        if abs(c3) > 1.0 + _EDGE:
            span = math.hypot(out, up)
            shortest = abs(abs(self.a2_mm) - abs(self.a3_mm))
            raise Unreachable(
                f"out of reach: {span:.0f} mm from the shoulder, {shortest:.0f} to {self.reach_mm:.0f} can be"
            )
        theta3 = branch.elbow * math.acos(_cosine(c3))
        theta2 = math.atan2(up, out) - math.atan2(
            self.a3_mm * math.sin(theta3), self.a2_mm + self.a3_mm * math.cos(theta3)
        )
        thetas = (theta1, theta2, theta3, theta234 - theta2 - theta3, theta5, theta6)
        return tuple(math.degrees(t) - o for t, o in zip(thetas, self.offsets_deg, strict=True))

    def _within_limits(self, joints_deg: Joints, near_deg: Sequence[float]) -> Joints:
        turned = []
        for angle, near, limit in zip(joints_deg, near_deg, self.limits_deg, strict=True):
            best = angle + 360.0 * round((near - angle) / 360.0)
            if abs(best) > limit and abs(best - math.copysign(360.0, best)) <= limit:
                best -= math.copysign(360.0, best)
            turned.append(best)
        beyond = self.beyond_limit(turned)
        if beyond is not None:
            raise Unreachable(beyond)
        return tuple(turned)


def _frame(matrix: NDArray[np.float64]) -> _Frame:
    (a, b, c, x), (d, e, f, y), (g, h, i, z) = matrix[:3].tolist()
    return (a, d, g, b, e, h, c, f, i, x, y, z)


def _cosine(value: float) -> float:
    return max(-1.0, min(1.0, value))


def _sine_deg(angle_deg: float) -> float:
    return math.degrees(math.asin(min(1.0, abs(math.sin(math.radians(angle_deg))))))


CR10A = Chain("CR10A", 176.5, -607.0, -568.0, 191.0, 125.0, 108.4)
CR5A = Chain("CR5A", 147.0, -427.0, -357.0, 141.0, 116.0, 105.0)
RO1 = Chain(
    "RO1",
    172.0,
    -590.7,
    -549.4,
    191.95,
    149.8,
    176.7,
    # The base frame of the URDF is turned by half a turn; the last offset turns the flange so that "tool straight down,
    # no yaw" is the same orientation as on the other chains, and the controller's (0, .7071, 0, .7071).
    offsets_deg=(180.0, -90.0, 0.0, -90.0, 0.0, -90.0),
    limits_deg=(360.0, 135.0, 180.0, 360.0, 360.0, 360.0),
    speeds_deg_s=(270.0, 270.0, 288.0, 390.0, 390.0, 390.0),
)
CHAINS = {chain.name: chain for chain in (CR10A, CR5A, RO1)}

PARK_DEG: Joints = (22.8, 54.7, -148.6, 3.9, 90.0, -22.2)
"""The parking posture of an arm of the standard layout: tool down, 125 mm before the board's edge on the arm's own side, its
fingertips at (100, -345, 200) mm and along the diagonal (CR10A, White's side). Nothing stands there; an arm anywhere above
the board, the trays or its own rack passes it at 30 mm or more, with the generous links of `body`; and the way to a square
is 380 mm on average."""
RO1_PARK_DEG: Joints = (203.1, 57.7, -140.5, -7.2, 90.0, 68.1)
"""The same of an RO1: its fingertips are at the same place, and are passed by the same 30 mm or more."""
