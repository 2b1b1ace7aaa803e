"""A motion as pieces, for releases whose only motion is one that no request can end: each piece is over soon. Pure.

Each piece begins and ends standing: that is all that is documented of two requests in a row. How long one takes is the
robot's secret as well (its accelerations are), so the first is as short as our own cautious timing says, and those after it
as long as the ones before have shown to be in time: k times the way, from rest to rest, takes at most k times as long.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from edgechess_robots.joint_planner import TURN_SPEED_DEG_S, along
from edgechess_robots.kinematics import Joints
from edgechess_robots.poses import Matrix
from edgechess_robots.standard_bots.api_protocol import Move
from edgechess_robots.standard_bots.measured import apart
from edgechess_robots.standard_bots.orders import Order
from edgechess_robots.standard_bots.units import MM_PER_M, radians, tooltip_of
from edgechess_robots.timing import joint_duration_s, straight_duration_s

PIECE_S = 0.5
"""The longest that the arm may go on when nobody wants it to: as long as a missing heartbeat takes to end a motion."""
AIM_S = 0.4  # of a piece that is measured, for the next one may be a little slower
LONGER = 2.0  # the next piece at most, against the one before
LINE_MM = 40.0
"""Of one piece of a straight motion: the releases without a heart have no `movement_kind` either, and a joint motion of this
length leaves its chord by less than half a millimetre where the arm is half a metre out (l² / 8 r)."""
LEAST_SHARE = 1.0 / 400.0  # of the way: a robot that is slower still has something else wrong


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One order, from where the arm was measured when it was given."""

    order: Order
    start_deg: Joints
    start_flange: Matrix
    tooltip_mm: float

    def move_to(self, share: float) -> Move:
        """The motion to this share of the way, in (0, 1]."""
        order = self.order
        if share >= 1.0:
            return order.move
        if order.joints_deg is not None:
            pairs = zip(self.start_deg, order.joints_deg, strict=True)
            return dataclasses.replace(order.move, joints_rad=radians([a + share * (b - a) for a, b in pairs]))
        assert order.flange is not None
        flange = along(self.start_flange, order.flange, np.array([share]))[0]
        return dataclasses.replace(order.move, tooltip=tooltip_of(flange, self.tooltip_mm))

    def planned_s(self, share: float) -> float:
        """Of a piece, from rest to rest, by our own cautious timing."""
        order = self.order
        if order.joints_deg is not None:
            to = [a + share * (b - a) for a, b in zip(self.start_deg, order.joints_deg, strict=True)]
            return joint_duration_s(self.start_deg, to, self._joint_speeds_deg_s())
        length_mm, turn_deg = self.extent()
        return straight_duration_s(share * length_mm, share * turn_deg, self._speed_mm_s(), TURN_SPEED_DEG_S)

    def cruise_s(self) -> float:
        """Of the whole way, at full speed all the time."""
        order = self.order
        if order.joints_deg is None:
            return self.extent()[0] / self._speed_mm_s()
        ends = zip(self.start_deg, order.joints_deg, self._joint_speeds_deg_s(), strict=True)
        return max(abs(b - a) / speed for a, b, speed in ends)

    def extent(self) -> tuple[float, float]:
        """Millimetres and degrees of a straight motion."""
        assert self.order.flange is not None
        return apart(self.start_flange, self.order.flange)

    def _joint_speeds_deg_s(self) -> Joints:
        speeds = self.order.move.joint_speeds_rad_s
        assert speeds is not None
        return tuple(math.degrees(speed) for speed in speeds)

    def _speed_mm_s(self) -> float:
        speed = self.order.move.tooltip_speed_m_s
        assert speed is not None
        return speed * MM_PER_M


class Pace:
    """How much of a way the next piece goes: `share`."""

    def __init__(self, way: Way) -> None:
        most = min(1.0, PIECE_S / max(way.cruise_s(), 1e-6))  # more is not done in time even at full speed
        if way.order.joints_deg is None:
            most = min(most, LINE_MM / max(way.extent()[0], 1e-6))
        self._most = max(LEAST_SHARE, most)
        self.share = self._most
        while self.share > LEAST_SHARE and way.planned_s(self.share) > AIM_S:
            self.share = max(LEAST_SHARE, self.share / 2.0)

    def took(self, seconds: float) -> None:
        """A piece of the present share took so long."""
        longer = min(LONGER, AIM_S / max(seconds, 1e-3))
        self.share = max(LEAST_SHARE, min(self._most, self.share * longer))
