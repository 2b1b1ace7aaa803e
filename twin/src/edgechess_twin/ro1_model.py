"""The geometry of a Standard Bots RO1: the chain its controller computes with, and the arm that really stands there.

Forward kinematics walks the joint origins of the maker's URDF (reference "standard-bots-ro1"); the true arm is the same
walk with origins, zeros, base and fingertip that differ a little. The inverse is the twin's own closed form for this
family of arms, turned into the RO1's frames. Units: mm and degrees. Angles follow the vendor's signs and zeros.

The tool frame's +X axis points out of the flange. The fingers open along its Z axis: pointing straight down at "yaw 0",
quaternion xyzw (0, 0.7071, 0, 0.7071), they open along the base's X axis.
"""

from __future__ import annotations

import dataclasses
import math
import random

from edgechess_twin import arm_model as model
from edgechess_twin.arm_model import (
    Branch,
    HiddenError,
    Joints,
    Point3,
    PoseTuple,
    Transform,
    Unreachable,
    apply,
    from_pose,
    invert,
    multiply,
    near,
)
from edgechess_twin.motion_profile import Kinematics

ORIGINS_MM: tuple[Point3, ...] = (
    (0.0, 0.0, 172.0),
    (-188.5, 0.0, 0.0),
    (146.35, 0.0, 590.7),
    (-149.8, 0.0, 549.4),
    (0.0, 0.0, 149.8),
    (-176.7, 0.0, 0.0),
)
"""Of each joint in the frame of the link before it (URDF `sbot.urdf`)."""
AXES = ("z", "-x", "-x", "-x", "z", "-x")  # same place
BASE_YAW_DEG = -90.0  # the URDF's base_joint
TOOL_YAW_DEG = 180.0  # the API's tool frame is the last link's frame turned by this about its z
LIMITS_DEG: Joints = (360.0, 135.0, 180.0, 360.0, 360.0, 360.0)
SPEEDS_DEG_S: Joints = (270.0, 270.0, 288.0, 390.0, 390.0, 390.0)

_DH = model.Chain((0.0, -590.7, -549.4, 0.0, 0.0, 0.0), (172.0, 0.0, 0.0, 191.95, 149.8, 176.7))
"""The same chain as parameters of the closed form (reference, "RO1 kinematics and limits")."""
_DH_BASE = from_pose((0.0, 0.0, 0.0, 0.0, 0.0, 180.0))
_DH_WRIST: Transform = ((0.0, 1.0, 0.0, 0.0), (0.0, 0.0, -1.0, 0.0), (-1.0, 0.0, 0.0, 0.0))
_DH_TOOL = multiply(_DH_WRIST, from_pose((0.0, 0.0, 0.0, 0.0, 0.0, TOOL_YAW_DEG)))


@dataclasses.dataclass(frozen=True, slots=True)
class Ro1Chain:
    """Joint origins in mm, and what the joint zeros are off by."""

    origins_mm: tuple[Point3, ...] = ORIGINS_MM
    offset_deg: Joints = (0.0,) * 6

    def flange(self, joints_deg: Joints) -> Transform:
        """The flange, in the API's convention of axes, in the base frame."""
        frame = _turned(model.IDENTITY, "z", BASE_YAW_DEG)
        for (x, y, z), axis, joint, off in zip(self.origins_mm, AXES, joints_deg, self.offset_deg, strict=True):
            px, py, pz = apply(frame, (x, y, z))
            (a, b, c, _), (d, e, f, _), (g, h, i, _) = frame
            frame = _turned(((a, b, c, px), (d, e, f, py), (g, h, i, pz)), axis, joint + off)
        return _turned(frame, "z", TOOL_YAW_DEG)


def _turned(frame: Transform, axis: str, angle_deg: float) -> Transform:
    """The frame turned about its own z or, the other way round, its own x."""
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    (a, b, g, x), (d, e, h, y), (k, m, n, z) = frame
    if axis == "z":
        return (
            (a * c + b * s, b * c - a * s, g, x),
            (d * c + e * s, e * c - d * s, h, y),
            (k * c + m * s, m * c - k * s, n, z),
        )
    return (
        (a, b * c - g * s, g * c + b * s, x),
        (d, e * c - h * s, h * c + e * s, y),
        (k, m * c - n * s, n * c + m * s, z),
    )


RO1 = Ro1Chain()


def beyond_limit(joints_deg: Joints) -> int | None:
    """The number (0 to 5) of the first joint beyond its limit."""
    for index, (joint, limit) in enumerate(zip(joints_deg, LIMITS_DEG, strict=True)):
        if abs(joint) > limit + 1e-9:
            return index
    return None


def solve(flange: Transform, branch: Branch, reference: Joints) -> Joints:
    """The joints of one branch for a flange pose of the nominal arm, each the turn nearest to `reference`.

    Raises Unreachable: no solution, or next to a singularity. A joint may be beyond its limit.
    """
    inner = multiply(multiply(invert(_DH_BASE), flange), invert(_DH_TOOL))
    found = model.solve(_DH, inner, branch, reference)
    return tuple(near(q, r, limit) for q, r, limit in zip(found, reference, LIMITS_DEG, strict=True))


def refuse_beyond(joints_deg: Joints) -> None:
    """Raises Unreachable for a joint beyond its limit."""
    beyond = beyond_limit(joints_deg)
    if beyond is not None:
        raise Unreachable(0, f"joint {beyond} beyond its limit")


def solve_near(flange: Transform, reference: Joints) -> tuple[Joints, Branch]:
    """The solution with the smallest largest joint motion from `reference`. Raises Unreachable: the first branch's
    reason where no branch has a solution."""

    def within(branch: Branch) -> Joints:
        joints = solve(flange, branch, reference)
        refuse_beyond(joints)
        return joints

    return model.nearest(within, reference)


KINEMATICS = Kinematics(RO1.flange, solve, solve_near, refuse_beyond)


def tooltip(tool_mm: float) -> Transform:
    """The active tooltip in the flange's frame: straight out."""
    return ((1.0, 0.0, 0.0, tool_mm), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))


def straight_down(x_mm: float, y_mm: float, z_mm: float, yaw_deg: float) -> Transform:
    """A pose that points down, with the fingers opening in the direction of `yaw_deg`."""
    c, s = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    return ((0.0, -s, c, x_mm), (0.0, c, s, y_mm), (-1.0, 0.0, 0.0, z_mm))


@dataclasses.dataclass(frozen=True, slots=True)
class TrueRo1:
    """The arm as it stands: its own chain, its base in the board frame, its fingertip in the flange frame."""

    chain: Ro1Chain
    base: Transform
    fingertip_mm: Point3

    @classmethod
    def build(cls, nominal_base: PoseTuple, tool_mm: float, error: HiddenError, rng: random.Random) -> TrueRo1:
        def off(bound: float) -> float:
            return rng.uniform(-bound, bound)

        origins = tuple(
            (x + off(error.link_mm), y + off(error.link_mm), z + off(error.link_mm)) for x, y, z in ORIGINS_MM
        )
        zeros = tuple(off(error.zero_deg) for _ in range(6))
        base = model.displaced(nominal_base, error, off)
        tip = (tool_mm + off(error.tool_mm), off(error.tool_mm), off(error.tool_mm))
        return cls(Ro1Chain(origins, zeros), base, tip)

    def fingertip(self, joints_deg: Joints) -> Point3:
        """The point between the fingertips, in the board frame."""
        return apply(self.base, apply(self.chain.flange(joints_deg), self.fingertip_mm))

    def yaw_deg(self, joints_deg: Joints) -> float:
        """Direction in which the fingers open, in the board plane."""
        t = multiply(self.base, self.chain.flange(joints_deg))
        return math.degrees(math.atan2(t[1][2], t[0][2]))

    def joints_touching(self, point_mm: Point3, down: Transform, reference: Joints) -> Joints:
        """Joints for which the true fingertip is at `point_mm` (board frame) with the flange turned roughly as `down`.

        The nominal inverse is corrected with the true forward map until they agree to a micrometre. Raises Unreachable.
        """
        target_mm = apply(invert(self.base), point_mm)
        return model.touching(target_mm, self.fingertip_mm, down, reference, self.chain.flange, solve_near)
