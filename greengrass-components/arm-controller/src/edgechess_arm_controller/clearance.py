"""What the hand, the piece in it and the arm's links leave to everything that stands on the table. Pure; mm, board frame.

Pieces are upright cylinders as wide as their bases. So are the palm and a carried piece; the fingers are two upright boxes.
Two such bodies are clear of each other when one is far enough above the other or far enough beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from edgechess_arm_controller.hand import Handling
from edgechess_robots.body import LINK_RADII_MM, Floats, Sweep
from edgechess_robots.shapes import Shape

CORNER_SAMPLES = 9


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Everything that stands: one entry per piece."""

    places: tuple[str, ...]
    at_mm: Floats
    """Shape (m, 2)."""
    radius_mm: Floats
    top_mm: Floats

    @classmethod
    def of(cls, standing: Sequence[tuple[str, float, float, float, float]]) -> Field:
        """From (place, x, y, radius of the base, height of the top)."""
        numbers = np.array([row[1:] for row in standing], dtype=np.float64).reshape(-1, 4)
        return cls(tuple(row[0] for row in standing), numbers[:, :2], numbers[:, 2], numbers[:, 3])

    def moved(self, place: str, to_place: str, x_mm: float, y_mm: float, up_mm: float) -> Field:
        """One piece carried to another place, which is higher by `up_mm`."""
        index = self.places.index(place)
        places = (*self.places[:index], to_place, *self.places[index + 1 :])
        at, top = self.at_mm.copy(), self.top_mm.copy()
        at[index], top[index] = (x_mm, y_mm), top[index] + up_mm
        return Field(places, at, self.radius_mm, top)

    def without(self, place: str) -> Field:
        if place not in self.places:
            return self
        keep = [index for index, name in enumerate(self.places) if name != place]
        return Field(tuple(self.places[i] for i in keep), self.at_mm[keep], self.radius_mm[keep], self.top_mm[keep])


@dataclasses.dataclass(frozen=True, slots=True)
class Hand:
    """What hangs at the tool point: fingers this far apart, and the shape of the piece between them."""

    opening_mm: float
    carried: Shape | None = None

    def below_mm(self, handling: Handling) -> float:
        """How far the lowest thing hangs below the tool point."""
        carried = 0.0 if self.carried is None else self.carried.grasp_height_mm
        return max(handling.fingertip_mm, carried)

    def reach_mm(self, handling: Handling) -> float:
        """How far fingers and piece reach sideways, whatever the yaw."""
        fingers = float(np.hypot(self.opening_mm / 2 + handling.finger_thickness_mm, handling.finger_width_mm / 2))
        carried = 0.0 if self.carried is None else self.carried.base_diameter_mm / 2
        return max(fingers, carried)


def travel_z_mm(start: Sequence[float], end: Sequence[float], hand: Hand, field: Field, handling: Handling) -> float:
    """Height of the tool point for a sideways motion from `start` to `end` (x, y): what hangs lowest passes over the
    tallest piece under the swept corridor by the margin, and over the bare table where nothing is under it."""
    below = hand.below_mm(handling)
    beside = beside_line_mm(start, end, field)
    under = field.top_mm[beside < hand.reach_mm(handling) + handling.side_margin_mm]
    palm = field.top_mm[beside < handling.palm_radius_mm + handling.side_margin_mm]
    over = float(under.max(initial=0.0)) + handling.margin_mm + below
    return max(over, float(palm.max(initial=0.0)) + handling.margin_mm - handling.palm_above_mm)


def beside_line_mm(start: Sequence[float], end: Sequence[float], field: Field) -> Floats:
    """How far each piece's edge is from the straight line between two places, seen from above; shape (m,)."""
    a, b = np.asarray(start[:2], dtype=np.float64), np.asarray(end[:2], dtype=np.float64)
    along = b - a
    share = np.clip((field.at_mm - a) @ along / max(float(along @ along), 1e-9), 0.0, 1.0)
    return np.asarray(np.linalg.norm(field.at_mm - (a + share[:, None] * along), axis=1) - field.radius_mm)


def room_mm(tool_mm: Floats, yaw_deg: Floats, hand: Hand, field: Field, handling: Handling) -> Floats:
    """What each tool point (n, 3) leaves to each piece beyond what it must; shape (n, m), below 0 is too near."""
    offset = field.at_mm[None, :, :] - tool_mm[:, None, :2]
    distance = np.hypot(offset[..., 0], offset[..., 1]) - field.radius_mm
    height = tool_mm[:, 2:3] - field.top_mm
    yaw = np.radians(yaw_deg)[:, None]
    along = np.abs(offset[..., 0] * np.cos(yaw) + offset[..., 1] * np.sin(yaw))  # both fingers at once, by symmetry
    across = np.abs(offset[..., 1] * np.cos(yaw) - offset[..., 0] * np.sin(yaw))
    inner = hand.opening_mm / 2
    beside = np.maximum(np.maximum(inner - along, along - inner - handling.finger_thickness_mm), 0.0)
    fingers = np.hypot(beside, np.maximum(across - handling.finger_width_mm / 2, 0.0)) - field.radius_mm
    room = np.minimum(
        _apart(height - handling.fingertip_mm, fingers, handling),
        _apart(height + handling.palm_above_mm, distance - handling.palm_radius_mm, handling),
    )
    if hand.carried is not None:
        bottom, radius = height - hand.carried.grasp_height_mm, hand.carried.base_diameter_mm / 2
        room = np.minimum(room, _apart(bottom, distance - radius, handling))
    return np.asarray(room)


def _apart(above: Floats, beside: Floats, handling: Handling) -> Floats:
    return np.maximum(above - handling.clear_above_mm, beside - handling.neighbour_gap_mm)


def corner(before: Sequence[float], at: Sequence[float], after: Sequence[float], radius_mm: float) -> Floats:
    """Tool points (n, 3) of a corner between two straight ways, rounded within `radius_mm`: the arc of a circle where
    the ways are at a right angle. How a controller rounds is its maker's secret; motions that overlap while one slows
    down and the other speeds up stay outside of this arc, nearer to the corner."""
    turn = np.linspace(0.0, np.pi / 2.0, CORNER_SAMPLES)[:, None]
    c = np.asarray(at, dtype=np.float64)
    back, on = _unit(np.asarray(before) - c), _unit(np.asarray(after) - c)
    return np.asarray(c + radius_mm * ((1.0 - np.sin(turn)) * back + (1.0 - np.cos(turn)) * on))


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))


def corner_radius_mm(
    before: Sequence[float], at: Sequence[float], after: Sequence[float], yaw_deg: float, hand: Hand, field: Field,
    handling: Handling,
) -> float:  # fmt: skip
    """The widest of the handled radii by which this corner may be rounded; 0 where none is clear of everything."""
    half = min(float(np.linalg.norm(np.subtract(before, at))), float(np.linalg.norm(np.subtract(after, at)))) / 2.0
    radii = [radius for radius in handling.corner_radii_mm if radius <= half]
    if not radii:
        return 0.0
    points = np.concatenate([corner(before, at, after, radius) for radius in radii])
    room = room_mm(points, np.full(len(points), yaw_deg), hand, field, handling).min(axis=1, initial=np.inf)
    for radius, least in zip(radii, room.reshape(len(radii), -1).min(axis=1), strict=True):
        if least >= 0.0:
            return radius
    return 0.0


def links_room_mm(sweep: Sweep, field: Field, handling: Handling) -> tuple[float, str]:
    """The least that the links leave to a piece beyond what they must, and its place. The hand has its own check."""
    part = np.linspace(0.0, 1.0, 5)[:, None]
    begin, end = sweep.links_mm[:, 2:-2], sweep.links_mm[:, 3:-1]  # from the elbow to the flange
    radii = np.asarray(LINK_RADII_MM[2:-1])
    lowest = np.minimum(begin[..., 2], end[..., 2]).min(axis=0) - radii
    tallest = float(field.top_mm.max(initial=0.0)) + handling.clear_above_mm
    if not len(field.places) or bool((lowest > tallest).all()):
        return float(lowest.min()) - tallest, ""
    points = (begin[:, :, None] + (end - begin)[:, :, None] * part).reshape(-1, 3)
    radius = np.tile(np.repeat(radii, len(part)), len(sweep.links_mm))[:, None]
    beside = np.linalg.norm(points[:, None, :2] - field.at_mm, axis=2) - field.radius_mm - radius
    room = _apart(points[:, 2:3] - radius - field.top_mm, beside, handling).min(axis=0)
    nearest = int(room.argmin())
    return float(room[nearest]), field.places[nearest]
