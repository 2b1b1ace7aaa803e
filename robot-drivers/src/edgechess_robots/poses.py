"""Poses: millimetres, degrees, right-handed frames.

Orientation is Euler angles about the fixed axes X, then Y, then Z: R = Rz·Ry·Rx (Dobot's convention,
reference "dobot-tcp-ip-v4" section 6). Arrays are numpy float64.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]  # shape (4, 4), translation in mm
Vector = NDArray[np.float64]  # shape (3,), mm


@dataclasses.dataclass(frozen=True, slots=True)
class Pose:
    """Position in mm and orientation in degrees, of a frame in another one."""

    x_mm: float
    y_mm: float
    z_mm: float
    rx_deg: float = 180.0
    ry_deg: float = 0.0
    rz_deg: float = 0.0
    """The default orientation is tool straight down."""

    def matrix(self) -> Matrix:
        rx, ry, rz = (math.radians(a) for a in (self.rx_deg, self.ry_deg, self.rz_deg))
        cx, sx, cy, sy, cz, sz = (
            math.cos(rx),
            math.sin(rx),
            math.cos(ry),
            math.sin(ry),
            math.cos(rz),
            math.sin(rz),
        )
        return np.array(
            [
                [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, self.x_mm],
                [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, self.y_mm],
                [-sy, cy * sx, cy * cx, self.z_mm],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.floating[Any]]) -> Pose:
        """Inverse of `matrix`; at ry = ±90° (gimbal lock) rx is chosen 0."""
        (r00, r01, _, x), (r10, r11, _, y), (r20, r21, r22, z) = matrix[:3].tolist()
        sy = -r20
        if abs(sy) > 1.0 - 1e-12:
            rx, ry = 0.0, math.copysign(math.pi / 2, sy)
            rz = math.atan2(-r01, r11)
        else:
            rx = math.atan2(r21, r22)
            ry = math.asin(sy)
            rz = math.atan2(r10, r00)
        return cls(x, y, z, math.degrees(rx), math.degrees(ry), math.degrees(rz))

    def __matmul__(self, other: Pose) -> Pose:
        """`a_in_world @ b_in_a` is b in world."""
        return Pose.from_matrix(self.matrix() @ other.matrix())

    def inverse(self) -> Pose:
        return Pose.from_matrix(np.linalg.inv(self.matrix()))

    @property
    def position_mm(self) -> Vector:
        return np.array([self.x_mm, self.y_mm, self.z_mm])
