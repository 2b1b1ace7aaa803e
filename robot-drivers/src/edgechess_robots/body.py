"""An arm as a body: where its links are for joint angles, and what one motion sweeps. Pure, by whole arrays.

Everything in the board frame. The links are capsules about the lines between the joints of the nominal chain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgechess_robots.kinematics import Chain
from edgechess_robots.poses import Matrix

Floats = NDArray[np.float64]

LINK_RADII_MM = (90.0, 85.0, 75.0, 65.0, 60.0, 60.0, 55.0)
"""Of the capsules from the base outwards: column, upper arm, forearm, three of the wrist, hand. Ours, generous: an arm of
this size has tubes of 120 to 150 mm, and cables."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What an arm sweeps in one motion, as postures in order, both ends included. Corners are not rounded here."""

    tool_mm: Floats
    """Shape (n, 3): the middle between the fingertips."""
    yaw_deg: Floats
    """Shape (n,): the direction along which the fingers open, about z."""
    links_mm: Floats
    """Shape (n, 8, 3): base, shoulder, elbow, wrist (three), flange, fingertips."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One arm at one board."""

    chain: Chain
    base: Matrix
    """Of the arm's base frame in the board frame."""
    tool_length_mm: float
    tool_yaw_deg: float

    def sweep(self, joints_deg: Sequence[Sequence[float]]) -> Sweep:
        links, finger = self._outline(joints_deg)
        return Sweep(links[:, -1], np.degrees(np.arctan2(finger[:, 1], finger[:, 0])), links)

    def links_mm(self, joints_deg: Sequence[float]) -> Floats:
        """Shape (8, 3), of one posture."""
        links, _ = self._outline((joints_deg,))
        return np.asarray(links[0])

    def _outline(self, joints_deg: Sequence[Sequence[float]]) -> tuple[Floats, Floats]:
        """The links, and the direction of the tool's x axis, both for every posture."""
        chain = self.chain
        q = np.radians(np.asarray(joints_deg, dtype=np.float64) + np.asarray(chain.offsets_deg))
        c1, s1, q2, q23 = np.cos(q[:, 0]), np.sin(q[:, 0]), q[:, 1], q[:, 1] + q[:, 2]
        c4, s4 = np.cos(q23 + q[:, 3]), np.sin(q23 + q[:, 3])
        c5, s5 = np.cos(q[:, 4]), np.sin(q[:, 4])
        turn = q[:, 5] + np.radians(self.tool_yaw_deg)
        c6, s6 = np.cos(turn), np.sin(turn)
        zero = np.zeros_like(c1)
        out, up = chain.a2_mm * np.cos(q2), chain.a2_mm * np.sin(q2)
        shoulder = _vectors(zero, zero, zero + chain.d1_mm)
        elbow = _vectors(out * c1, out * s1, chain.d1_mm + up)
        out, up = out + chain.a3_mm * np.cos(q23), up + chain.a3_mm * np.sin(q23)
        wrist = _vectors(out * c1, out * s1, chain.d1_mm + up)
        beside = wrist + chain.d4_mm * _vectors(s1, -c1, zero)
        last = beside + chain.d5_mm * _vectors(s4 * c1, s4 * s1, -c4)
        axis = _vectors(s1 * c5 - s5 * c4 * c1, -c1 * c5 - s5 * c4 * s1, -s5 * s4)
        flange = last + chain.d6_mm * axis
        tip = flange + self.tool_length_mm * axis
        u = _vectors(c5 * c4 * c1 + s5 * s1, c5 * c4 * s1 - s5 * c1, c5 * s4)
        v = _vectors(-s4 * c1, -s4 * s1, c4)
        finger = c6[:, None] * u + s6[:, None] * v
        turned, at = self.base[:3, :3].T, self.base[:3, 3]
        points = np.stack((np.zeros_like(shoulder), shoulder, elbow, wrist, beside, last, flange, tip), axis=1)
        return points @ turned + at, finger @ turned


def gap_mm(swept: Floats, other: Floats) -> float:
    """The least distance between the capsules of postures (n, 8, 3) and those of one posture (8, 3); below 0 they meet.

    The columns are left out: they do not move.
    """
    part = np.linspace(0.0, 1.0, 9)[:, None]
    mine = (swept[:, 1:-1, None] + (swept[:, 2:] - swept[:, 1:-1])[:, :, None] * part).reshape(-1, 3)
    radii = np.repeat(np.tile(LINK_RADII_MM[1:], len(swept)), len(part))
    least = np.inf
    for start, end, radius in zip(other[1:-1], other[2:], LINK_RADII_MM[1:], strict=True):
        along = end - start
        share = np.clip((mine - start) @ along / max(float(along @ along), 1e-9), 0.0, 1.0)
        distances = np.linalg.norm(mine - (start + share[:, None] * along), axis=1) - radii - radius
        least = min(least, float(distances.min()))
    return least


def _vectors(x: Floats, y: Floats, z: Floats) -> Floats:
    return np.stack((x, y, z), axis=1)
