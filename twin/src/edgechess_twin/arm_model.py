"""The geometry of a six-axis arm with parallel axes 2, 3 and 4, and the arm that really stands on the table.

Two chains of the same form: the nominal one that a controller computes with, and the true one, whose lengths, joint
zeros and base differ a little, so that no controller is ever exactly right about the world. Written independently of
the drivers' kinematics on purpose: a twin that shares the planner's formulas would confirm the planner's mistakes.

Plain Python floats throughout: one evaluation is a few dozen multiplications, for which arrays cost more than they give.
Units: mm, degrees at the interface. Transforms are three rows of four. Orientations in poses are Euler angles about the
fixed axes X, Y, Z (reference "dobot-tcp-ip-v4" section 6).
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from functools import partial

Joints = tuple[float, ...]  # six angles, degrees
PoseTuple = tuple[float, float, float, float, float, float]  # x, y, z in mm; rx, ry, rz in degrees
Row = tuple[float, float, float, float]
Transform = tuple[Row, Row, Row]
Point3 = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # w, x, y, z

IDENTITY: Transform = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))

TWISTS = (1, 0, 0, 1, -1, 0)
"""Signs of the right angles between consecutive axes (alpha)."""
ZERO_DEG = (0.0, -90.0, 0.0, -90.0, 0.0, 0.0)
"""Joint value 0 is the arm straight up (reference section 10)."""

JOINT_LIMITS_DEG = (359.2, 359.2, 163.9, 359.2, 359.2, 359.2)  # reference section 10, from the maker's URDF

WRIST_SINGULAR_DEG = 1.0  # axes 4 and 6 closer than this to parallel: the maker warns "near"; where exactly is ours
ELBOW_SINGULAR_DEG = 1.0  # arm this close to stretched
_WRIST_SINGULAR, _ELBOW_SINGULAR = (math.sin(math.radians(angle)) for angle in (WRIST_SINGULAR_DEG, ELBOW_SINGULAR_DEG))
SHOULDER_SINGULAR_MM = 5.0  # wrist centre this close to the cylinder around axis 1 that it cannot enter


class Unreachable(Exception):
    """No joints reach the pose, or only ones next to a singularity. `alarm` is the controller's number for it."""

    def __init__(self, alarm: int, reason: str) -> None:
        super().__init__(reason)
        self.alarm = alarm


def multiply(a: Transform, b: Transform) -> Transform:
    (b00, b01, b02, b03), (b10, b11, b12, b13), (b20, b21, b22, b23) = b
    rows = []
    for r0, r1, r2, r3 in a:
        rows.append(
            (
                r0 * b00 + r1 * b10 + r2 * b20,
                r0 * b01 + r1 * b11 + r2 * b21,
                r0 * b02 + r1 * b12 + r2 * b22,
                r0 * b03 + r1 * b13 + r2 * b23 + r3,
            )
        )
    return (rows[0], rows[1], rows[2])


def invert(t: Transform) -> Transform:
    (a, b, c, x), (d, e, f, y), (g, h, i, z) = t
    return (
        (a, d, g, -(a * x + d * y + g * z)),
        (b, e, h, -(b * x + e * y + h * z)),
        (c, f, i, -(c * x + f * y + i * z)),
    )


def apply(t: Transform, point: Point3) -> Point3:
    px, py, pz = point
    (a, b, c, x), (d, e, f, y), (g, h, i, z) = t
    return a * px + b * py + c * pz + x, d * px + e * py + f * pz + y, g * px + h * py + i * pz + z


def from_pose(pose: PoseTuple) -> Transform:
    x, y, z, rx, ry, rz = pose
    cx, sx = math.cos(math.radians(rx)), math.sin(math.radians(rx))
    cy, sy = math.cos(math.radians(ry)), math.sin(math.radians(ry))
    cz, sz = math.cos(math.radians(rz)), math.sin(math.radians(rz))
    return (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, x),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, y),
        (-sy, cy * sx, cy * cx, z),
    )


def to_pose(t: Transform) -> PoseTuple:
    """Inverse of `from_pose`; at ry = ±90° the split between rx and rz is chosen as rx = 0."""
    (r00, r01, _, x), (r10, r11, _, y), (r20, r21, r22, z) = t
    flat = math.hypot(r00, r10)
    if flat < 1e-9:
        rx, ry, rz = 0.0, math.copysign(math.pi / 2, -r20), math.atan2(-r01, r11)
    else:
        rx, ry, rz = math.atan2(r21, r22), math.atan2(-r20, flat), math.atan2(r10, r00)
    return x, y, z, math.degrees(rx), math.degrees(ry), math.degrees(rz)


def to_quaternion(t: Transform) -> Quaternion:
    """Unit quaternion of the rotation, w >= 0."""
    (r00, r01, r02, _), (r10, r11, r12, _), (r20, r21, r22, _) = t
    candidates = (r00 + r11 + r22, r00 - r11 - r22, r11 - r00 - r22, r22 - r00 - r11)
    largest = candidates.index(max(candidates))
    half = 0.5 * math.sqrt(1.0 + candidates[largest])
    scale = 0.25 / half
    if largest == 0:
        q = (half, (r21 - r12) * scale, (r02 - r20) * scale, (r10 - r01) * scale)
    elif largest == 1:
        q = ((r21 - r12) * scale, half, (r01 + r10) * scale, (r02 + r20) * scale)
    elif largest == 2:
        q = ((r02 - r20) * scale, (r01 + r10) * scale, half, (r12 + r21) * scale)
    else:
        q = ((r10 - r01) * scale, (r02 + r20) * scale, (r12 + r21) * scale, half)
    return q if q[0] >= 0.0 else (-q[0], -q[1], -q[2], -q[3])


def from_quaternion(q: Quaternion, at: Point3) -> Transform:
    w, x, y, z = q
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), at[0]),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), at[1]),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), at[2]),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """Standard DH lengths in mm (`a` of links 1 to 6, `d` of links 1 to 6) and what the joint zeros are off by."""

    a_mm: tuple[float, ...]
    d_mm: tuple[float, ...]
    offset_deg: tuple[float, ...] = (0.0,) * 6

    def flange(self, joints_deg: Joints) -> Transform:
        """Forward kinematics: the flange in the base frame."""
        # The frame's three axes and its origin, carried from joint to joint: a twist of 0 or ±90° only swaps axes.
        xx, xy, xz, yx, yy, yz, zx, zy, zz = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0
        px = py = pz = 0.0
        for joint, zero, offset, twist, a, d in zip(
            joints_deg, ZERO_DEG, self.offset_deg, TWISTS, self.a_mm, self.d_mm, strict=True
        ):
            theta = math.radians(joint + zero + offset)
            c, s = math.cos(theta), math.sin(theta)
            xx, xy, xz, yx, yy, yz = (
                c * xx + s * yx,
                c * xy + s * yy,
                c * xz + s * yz,
                c * yx - s * xx,
                c * yy - s * xy,
                c * yz - s * xz,
            )
            px += d * zx + a * xx
            py += d * zy + a * xy
            pz += d * zz + a * xz
            if twist > 0:
                yx, yy, yz, zx, zy, zz = zx, zy, zz, -yx, -yy, -yz
            elif twist < 0:
                yx, yy, yz, zx, zy, zz = -zx, -zy, -zz, yx, yy, yz
        return ((xx, yx, zx, px), (xy, yy, zy, py), (xz, yz, zz, pz))


CR10A = Chain((0.0, -607.0, -568.0, 0.0, 0.0, 0.0), (176.5, 0.0, 0.0, 191.0, 125.0, 108.4))  # reference section 10


@dataclasses.dataclass(frozen=True, slots=True)
class Branch:
    """Which of the eight solutions: the signs of shoulder, wrist and elbow."""

    shoulder: int
    wrist: int
    elbow: int


BRANCHES = tuple(Branch(s, w, e) for s in (1, -1) for w in (1, -1) for e in (1, -1))


def near(angle_deg: float, reference_deg: float, limit_deg: float) -> float:
    """The turn of `angle_deg` closest to `reference_deg` that lies within the joint's limit."""
    best = angle_deg + 360.0 * round((reference_deg - angle_deg) / 360.0)
    if best > limit_deg:
        best -= 360.0
    elif best < -limit_deg:
        best += 360.0
    return best


def solve(chain: Chain, flange: Transform, branch: Branch, reference: Joints) -> Joints:
    """Closed-form inverse kinematics of the nominal form (joint offsets are not considered), one branch.

    Each angle is the turn nearest to `reference`. Raises Unreachable with the controller's alarm:
    16 shoulder, 26 wrist, 27 elbow (singular), 17 no solution, 18 out of the work area.
    """
    (nx, ox, ax, px), (ny, oy, ay, py), (nz, oz, az, pz) = flange
    d1, d4, d5, d6 = chain.d_mm[0], chain.d_mm[3], chain.d_mm[4], chain.d_mm[5]
    a2, a3 = chain.a_mm[1], chain.a_mm[2]

    # Axis 1: the wrist centre lies at distance d4 beside the plane of the arm.
    wx, wy, wz = px - d6 * ax, py - d6 * ay, pz - d6 * az
    reach = math.hypot(wx, wy)
    if reach < d4:
        raise Unreachable(17, "the wrist centre is inside the cylinder around axis 1")
    if reach < d4 + SHOULDER_SINGULAR_MM:
        raise Unreachable(16, "near the shoulder singularity")
    theta1 = math.atan2(wy, wx) + branch.shoulder * math.acos(d4 / reach) + math.pi / 2
    c1, s1 = math.cos(theta1), math.sin(theta1)

    # Axis 5: the angle between the tool axis and the normal of the arm's plane.
    c5 = ax * s1 - ay * c1
    theta5 = branch.wrist * math.acos(max(-1.0, min(1.0, c5)))
    s5 = math.sin(theta5)
    if abs(s5) < _WRIST_SINGULAR:
        raise Unreachable(26, "near the wrist singularity")

    # Axis 6: where that normal shows up in the flange.
    theta6 = math.atan2((oy * c1 - ox * s1) / s5, (nx * s1 - ny * c1) / s5)
    c6, s6 = math.cos(theta6), math.sin(theta6)

    # Axes 2, 3, 4: a planar arm in the plane turned by theta1.
    ux, uy, uz = -s6 * nx - c6 * ox, -s6 * ny - c6 * oy, -s6 * nz - c6 * oz
    x = c1 * (wx - d5 * ux) + s1 * (wy - d5 * uy)
    y = wz - d5 * uz - d1
    c3 = (x * x + y * y - a2 * a2 - a3 * a3) / (2.0 * a2 * a3)
    if not -1.0 <= c3 <= 1.0:
        raise Unreachable(18, "out of the work area")
    theta3 = branch.elbow * math.acos(c3)
    s3 = math.sin(theta3)
    if abs(s3) < _ELBOW_SINGULAR:
        raise Unreachable(27, "near the elbow singularity")
    theta2 = math.atan2(y, x) - math.atan2(a3 * s3, a2 + a3 * c3)
    theta4 = math.atan2(c1 * ux + s1 * uy, -uz) - theta2 - theta3

    thetas = (theta1, theta2, theta3, theta4, theta5, theta6)
    joints = []  # each as `near` has it; a simulation asks for thousands a second, and calls cost more than sums
    for theta, zero, wanted, limit in zip(thetas, ZERO_DEG, reference, JOINT_LIMITS_DEG, strict=True):
        angle = math.degrees(theta) - zero
        best = angle + 360.0 * round((wanted - angle) / 360.0)
        joints.append(best - 360.0 if best > limit else best + 360.0 if best < -limit else best)
    return tuple(joints)


def solve_near(chain: Chain, flange: Transform, reference: Joints) -> tuple[Joints, Branch]:
    """The solution with the smallest largest joint motion from `reference`. Raises Unreachable: the first branch's
    reason where no branch has a solution."""

    def within(branch: Branch) -> Joints:
        joints = solve(chain, flange, branch, reference)
        if beyond_limit(joints) is not None:
            raise Unreachable(17, "only solutions beyond the joint limits")
        return joints

    return nearest(within, reference)


def nearest(solution: Callable[[Branch], Joints], reference: Joints) -> tuple[Joints, Branch]:
    """Of all branches' solutions that with the smallest largest joint motion from `reference`. Raises Unreachable: the
    first branch's reason where no branch has one."""
    best: tuple[float, Joints, Branch] | None = None
    failure: Unreachable | None = None
    for branch in BRANCHES:
        try:
            joints = solution(branch)
        except Unreachable as error:
            failure = failure or error
            continue
        distance = max(abs(a - b) for a, b in zip(joints, reference, strict=True))
        if best is None or distance < best[0] - 1e-9:
            best = (distance, joints, branch)
    if best is None:
        raise failure or Unreachable(17, "no solution")
    return best[1], best[2]


def beyond_limit(joints_deg: Joints) -> int | None:
    """The alarm of the first joint beyond its limit: 64 for J1 positive, 65 for J1 negative, 66 for J2 positive …"""
    for index, (joint, limit) in enumerate(zip(joints_deg, JOINT_LIMITS_DEG, strict=True)):
        if joint > limit:
            return 64 + 2 * index
        if joint < -limit:
            return 65 + 2 * index
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class HiddenError:
    """How far the arm on the table may differ from its data sheet and its drawing. Uniform within ± each bound."""

    link_mm: float = 0.3
    zero_deg: float = 0.02
    base_mm: float = 4.0
    base_height_mm: float = 2.0
    base_yaw_deg: float = 0.4
    base_tilt_deg: float = 0.1
    tool_mm: float = 0.3


EXACT = HiddenError(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class TrueArm:
    """The arm as it stands: its own chain, its base in the board frame, its fingertip in the flange frame."""

    chain: Chain
    base: Transform
    fingertip_mm: Point3

    @classmethod
    def build(cls, nominal_base: PoseTuple, tool_mm: float, error: HiddenError, rng: random.Random) -> TrueArm:
        def off(bound: float) -> float:
            return rng.uniform(-bound, bound)

        # A length of 0 is a design feature (intersecting axes), machined as well as the others.
        a = tuple(length + off(error.link_mm) for length in CR10A.a_mm)
        d = tuple(length + off(error.link_mm) for length in CR10A.d_mm)
        zeros = tuple(off(error.zero_deg) for _ in range(6))
        base = displaced(nominal_base, error, off)
        tip = (off(error.tool_mm), off(error.tool_mm), tool_mm + off(error.tool_mm))
        return cls(Chain(a, d, zeros), base, tip)

    def fingertip(self, joints_deg: Joints) -> Point3:
        """The point between the fingertips, in the board frame."""
        return apply(self.base, apply(self.chain.flange(joints_deg), self.fingertip_mm))

    def yaw_deg(self, joints_deg: Joints) -> float:
        """Direction of the flange's x axis in the board plane: the fingers open along it."""
        t = multiply(self.base, self.chain.flange(joints_deg))
        return math.degrees(math.atan2(t[1][0], t[0][0]))

    def joints_touching(self, point_mm: Point3, down: Transform, reference: Joints) -> Joints:
        """Joints for which the true fingertip is at `point_mm` (board frame) with the flange turned roughly as `down`.
        Raises Unreachable."""
        return touching(
            apply(invert(self.base), point_mm),
            self.fingertip_mm,
            down,
            reference,
            self.chain.flange,
            partial(solve_near, CR10A),
        )


def displaced(nominal_base: PoseTuple, error: HiddenError, off: Callable[[float], float]) -> Transform:
    """Where the base stands that the drawing has at `nominal_base`. `off` draws within ± a bound."""
    x, y, z, rx, ry, rz = nominal_base
    return from_pose(
        (
            x + off(error.base_mm),
            y + off(error.base_mm),
            z + off(error.base_height_mm),
            rx + off(error.base_tilt_deg),
            ry + off(error.base_tilt_deg),
            rz + off(error.base_yaw_deg),
        )
    )


def touching(
    target_mm: Point3,
    fingertip_mm: Point3,
    down: Transform,
    reference: Joints,
    true_flange: Callable[[Joints], Transform],
    nominal_joints: Callable[[Transform, Joints], tuple[Joints, Branch]],
) -> Joints:
    """Joints for which the true fingertip is at a point of the base frame: the nominal inverse, corrected with the true
    forward map until they agree to a micrometre. Raises Unreachable."""
    aim, joints = target_mm, reference
    for _ in range(20):
        tx, ty, tz = fingertip_mm
        flange = tuple((r[0], r[1], r[2], aim[k] - r[0] * tx - r[1] * ty - r[2] * tz) for k, r in enumerate(down))
        joints, _branch = nominal_joints((flange[0], flange[1], flange[2]), reference)
        got = apply(true_flange(joints), fingertip_mm)
        if max(abs(g - w) for g, w in zip(got, target_mm, strict=True)) < 1e-3:
            break
        aim = (aim[0] + target_mm[0] - got[0], aim[1] + target_mm[1] - got[1], aim[2] + target_mm[2] - got[2])
        reference = joints
    return joints
