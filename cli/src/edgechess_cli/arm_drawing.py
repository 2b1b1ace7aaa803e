"""The picture of a planned move: the table from above, and each carry from the side. One SVG, nothing loaded from outside."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import assert_never

import chess
import numpy as np

from edgechess_arm_controller import motion
from edgechess_arm_controller.clearance import Hand, beside_line_mm, corner
from edgechess_arm_controller.hand import Handling
from edgechess_arm_controller.motion import Part, Standing, field_of, shape_of
from edgechess_robots.arm import Close, Open, Park, Step, Straight, Travel, Verify
from edgechess_robots.body import LINK_RADII_MM, Floats, Sweep
from edgechess_robots.layout import COLUMNS, Point, TableLayout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import Shape, ShapeSet

INK, FAINT, PAPER = "#2b2d33", "#8b8f98", "#fbfaf6"
LIGHT, DARK, TABLE = "#efe7d6", "#cdbb9b", "#f3f1ea"
WAYS = {"to": "#3b6ea8", "carry": "#d2582b", "home": "#5d7d5a"}
WAY_NAMES = {"to": "to the piece, fingers empty", "carry": "with the piece", "home": "home, fingers empty"}
FONT = "font-family='Helvetica Neue, Helvetica, Arial, sans-serif'"
GLYPHS = "font-family='DejaVu Sans, Segoe UI Symbol, Apple Symbols, sans-serif'"

TOP_SCALE = 0.86  # px per mm from above
TOP_X, TOP_Y = 40.0, 118.0
SIDE_X, SIDE_WIDTH = 830.0, 720.0
ROW_GAP = 56.0
SIDE_TOP_MM = 240.0  # of the side view: over the palm on the usual ways
ROW_PX = 383.0


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """One part, what stands when it begins, and what its steps sweep."""

    part: Part
    standing: Standing
    sweeps: tuple[Sweep | None, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Shown:
    """Everything that the picture shows. `seconds` of every step of all parts, in order."""

    title: str
    subtitle: str
    scenes: tuple[Scene, ...]
    seconds: tuple[float, ...]
    layout: TableLayout
    shapes: ShapeSet
    handling: Handling
    arm: str
    outlines: Mapping[str, Floats]
    park: Pose
    rounds: bool


def drawing(shown: Shown) -> str:
    """The whole SVG."""
    width = SIDE_X + SIDE_WIDTH + 40.0
    height = TOP_Y + 70.0 + (ROW_PX + ROW_GAP) * max(2, len(shown.scenes)) - ROW_GAP
    marks = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{height:.0f}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}'>",
        f"<rect width='{width:.0f}' height='{height:.0f}' fill='{PAPER}'/>",
        _text(40, 54, shown.title, 27, weight="600"),
        _text(40, 84, shown.subtitle, 15, FAINT),
        *_from_above(shown),
        *_from_the_side(shown),
        *_legend(height - 34.0),
        "</svg>",
    ]
    return "\n".join(marks) + "\n"


# ---- from above


def _from_above(shown: Shown) -> list[str]:
    view = _Above(shown)
    marks = view.table()
    marks += [view.arm(name, outline) for name, outline in shown.outlines.items()]
    for scene in shown.scenes:
        marks += view.ways(scene)
    marks += view.pieces()
    for scene in shown.scenes:
        marks += view.fingers(scene)
    return [*marks, view.parked()]


class _Above:
    """The table as seen by a lamp: the executing arm at the bottom, whichever it is."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.sign = 1.0 if shown.layout.site(shown.arm).base.y_mm < 0.0 else -1.0
        self.square = shown.layout.square_mm

    def at(self, x_mm: float, y_mm: float) -> tuple[float, float]:
        half = 8.0 * self.square
        top = 4.6 * self.square
        return TOP_X + (half + self.sign * x_mm) * TOP_SCALE, TOP_Y + (top - self.sign * y_mm) * TOP_SCALE

    def table(self) -> list[str]:
        square = self.square * TOP_SCALE
        left, top = TOP_X, TOP_Y
        marks = [_rect(left, top, 16 * square, 18.0 * square, TABLE, radius=10)]
        for column in range(8):
            for row in range(8):
                x, y = self.at((column - 3.5) * self.square, (row - 3.5) * self.square)
                fill = DARK if (column + row) % 2 == 0 else LIGHT
                marks.append(_rect(x - square / 2, y - square / 2, square, square, fill))
        for index in range(8):
            x, y = self.at((index - 3.5) * self.square, -self.sign * 4.26 * self.square)
            marks.append(_text(x, y + 4, COLUMNS[index], 11, FAINT, "middle"))
            x, y = self.at(-self.sign * 4.24 * self.square, (index - 3.5) * self.square)
            marks.append(_text(x, y + 4, str(index + 1), 11, FAINT, "middle"))
        for site in self.shown.layout.sites:
            for slot in (*site.tray, *site.rack):
                x, y = self.at(slot.x_mm, slot.y_mm)
                marks.append(_circle(x, y, self.square * 0.38 * TOP_SCALE, "none", "#d8d3c5", 1))
            for label, slots in (("tray", site.tray[8:]), ("rack", site.rack)):
                if slots:
                    edge = max(slots, key=lambda slot: self.sign * slot.y_mm)
                    x, y = self.at(edge.x_mm, edge.y_mm)
                    marks.append(_text(x, y - 28, f"{label} {site.name}", 9.5, FAINT, "middle"))
        return marks

    def arm(self, name: str, outline: Floats) -> str:
        """Parked. Cut off where the picture ends."""
        marks = []
        for start, end, radius in zip(outline[1:-1], outline[2:], LINK_RADII_MM[1:], strict=True):
            (x1, y1), (x2, y2) = self.at(start[0], start[1]), self.at(end[0], end[1])
            marks.append(
                f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{INK}' "
                f"stroke-width='{2 * radius * TOP_SCALE * 0.8:.1f}' stroke-linecap='round'/>"
            )
        clip = f"<clipPath id='table'><rect x='{TOP_X}' y='{TOP_Y}' width='{16 * self.square * TOP_SCALE:.0f}' "
        clip += f"height='{18.0 * self.square * TOP_SCALE:.0f}' rx='10'/></clipPath>"
        opacity = 0.11 if name == self.shown.arm else 0.07
        return f"{clip}<g clip-path='url(#table)'><g opacity='{opacity}'>{''.join(marks)}</g></g>"

    def ways(self, scene: Scene) -> list[str]:
        marks = []
        for step, leg in motion.LEG_OF.items():
            sweep = scene.sweeps[step] if step < len(scene.sweeps) else None
            if sweep is None:
                continue
            wide = 2.0 * (_hand(scene, leg, self.shown).reach_mm(self.shown.handling)) * TOP_SCALE
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(p[0], p[1]) for p in sweep.tool_mm))
            common = f"points='{points}' fill='none' stroke='{WAYS[leg]}' stroke-linejoin='round'"
            marks.append(
                f"<polyline {common} stroke-width='{wide:.1f}' stroke-linecap='round' opacity='0.16'/>"
                f"<polyline {common} stroke-width='2.4'/>"
            )
        return marks

    def pieces(self) -> list[str]:
        marks = []
        carries = [scene.part.carry for scene in self.shown.scenes]
        taken = {carry.from_place for carry in carries}
        for place, letter in self.shown.scenes[0].standing.pieces.items():
            point = self.shown.layout.place(place)
            marks.append(self._piece(point, letter, 0.45 if place in taken else 1.0))
        for carry in carries:
            point = self.shown.layout.place(carry.to_place)
            marks.append(self._piece(point, carry.piece, 1.0, WAYS["carry"]))
        return marks

    def _piece(self, at: Point, letter: str, opacity: float, ring: str = INK) -> str:
        x, y = self.at(at.x_mm, at.y_mm)
        radius = shape_of(self.shown.shapes, letter).base_diameter_mm / 2 * TOP_SCALE
        fill, ink = ("#ffffff", INK) if letter.isupper() else ("#4a4c55", "#ffffff")
        glyph = chess.UNICODE_PIECE_SYMBOLS[letter.lower()]
        return (
            f"<g opacity='{opacity}'>{_circle(x, y, radius, fill, ring, 1.6 if ring != INK else 1.0)}"
            f"<text x='{x:.1f}' y='{y + radius * 0.52:.1f}' font-size='{radius * 1.5:.1f}' text-anchor='middle' "
            f"fill='{ink}' {GLYPHS}>{glyph}</text></g>"
        )

    def fingers(self, scene: Scene) -> list[str]:
        """Both fingers as they come down and as they let go."""
        marks = []
        handling = self.shown.handling
        openings = [step.width_mm for step in scene.part.plan.steps if isinstance(step, Open)]
        for step, opening in ((motion.LOWER, openings[0]), (motion.SET_DOWN, openings[1])):
            sweep = scene.sweeps[step]
            assert sweep is not None
            x, y = self.at(float(sweep.tool_mm[-1, 0]), float(sweep.tool_mm[-1, 1]))
            turn = -float(sweep.yaw_deg[-1])  # up is y on the table, down on paper
            long, wide = handling.finger_thickness_mm * TOP_SCALE, handling.finger_width_mm * TOP_SCALE
            inner = opening / 2 * TOP_SCALE
            bars = "".join(
                _rect(a, -wide / 2, long, wide, WAYS["to"], radius=2.5) for a in (inner, -inner - long)
            )  # fmt: skip
            marks.append(
                f"<g transform='translate({x:.1f} {y:.1f}) rotate({turn:.1f})'>{bars}"
                f"<line x1='{-inner:.1f}' y1='0' x2='{inner:.1f}' y2='0' stroke='{WAYS['to']}' "
                f"stroke-width='1' stroke-dasharray='2 3'/></g>"
            )
        return marks

    def parked(self) -> str:
        x, y = self.at(self.shown.park.x_mm, self.shown.park.y_mm)
        base = self.shown.layout.site(self.shown.arm).base
        bx, by = self.at(base.x_mm, base.y_mm)
        return (
            _circle(x, y, 6, PAPER, WAYS["home"], 2.4)
            + _text(x + 13, y + 5, "parked", 12, INK)
            + _circle(bx, by, 7, INK, INK, 1)
            + _text(bx, by + 24, f"{self.shown.arm}'s base", 11, FAINT, "middle")
        )


# ---- from the side


def _from_the_side(shown: Shown) -> list[str]:
    marks: list[str] = []
    first, began_s, came_from = 0, 0.0, "parked"
    for number, scene in enumerate(shown.scenes):
        count = len(scene.part.plan.steps)
        seconds = shown.seconds[first : first + count]
        row = _Side(shown, scene, seconds, began_s, came_from, TOP_Y + number * (ROW_PX + ROW_GAP))
        marks += row.marks()
        came_from = scene.part.carry.to_place
        first, began_s = first + count, began_s + sum(seconds)
    if len(shown.scenes) == 1:
        marks += _timetable(shown, TOP_Y + ROW_PX + ROW_GAP + 20.0)
    return marks


def _timetable(shown: Shown, top_px: float) -> list[str]:
    """Every step with the time at which it is reached at the latest."""
    scene, marks, now_s = shown.scenes[0], [], 0.0
    for number, (step, took_s) in enumerate(zip(scene.part.plan.steps, shown.seconds, strict=True)):
        now_s += took_s
        what, how, leg = _step_in_words(number, step, scene, shown)
        y = top_px + number * 29.0
        marks += [
            _circle(SIDE_X + 8, y - 4.5, 5, WAYS[leg], WAYS[leg], 1),
            _text(SIDE_X + 68, y, f"{now_s:.1f} s", 13, INK, "end", "600"),
            _text(SIDE_X + 86, y, what, 13),
            _text(SIDE_X + 330, y, how, 12.5, FAINT),
        ]
    return marks


def _step_in_words(number: int, step: Step, scene: Scene, shown: Shown) -> tuple[str, str, str]:
    """What is reached, how, and on which way."""
    carry = scene.part.carry
    place = carry.from_place if number <= motion.LIFT else carry.to_place
    leg = "to" if number < motion.GRASP else "carry" if number <= motion.RELEASE else "home"
    match step:
        case Travel() | Straight():
            z_mm, upright = step.target.z_mm, number in (motion.LOWER, motion.SET_DOWN)
            what = f"down on {place}" if upright else f"above {place}"
            how = f"{z_mm:.0f} mm high, {step.speed_mm_s:.0f} mm/s, fingers at {step.target.rz_deg % 180.0:.0f}°"
            rounded = shown.rounds and step.blend_mm > 0.0
            return what, how + (f", corner rounded by {step.blend_mm:.0f} mm" if rounded else ""), leg
        case Open():
            return "fingers open", f"{step.width_mm:.0f} mm" + (", on the way" if step.ahead else ""), leg
        case Close():
            return "fingers close", "until they feel the piece", leg
        case Verify():
            return "still held?", "asked before it is let go", leg
        case Park():
            return "parked", "measured", leg
        case _:
            assert_never(step)


class _Side:
    """One carry, its ways laid out one after another along the table."""

    def __init__(
        self,
        shown: Shown,
        scene: Scene,
        seconds: Sequence[float],
        began_s: float,
        came_from: str,
        top_px: float,
    ) -> None:
        self.shown = shown
        self.scene = scene
        self.began_s = began_s
        self.came_from = came_from
        self.seconds = seconds
        steps = scene.part.plan.steps
        source, target = (
            shown.layout.place(place) for place in (scene.part.carry.from_place, scene.part.carry.to_place)
        )
        start = scene.sweeps[motion.APPROACH]
        assert start is not None
        begin = (float(start.tool_mm[0, 0]), float(start.tool_mm[0, 1]))
        self.ends: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
            "to": (begin, (source.x_mm, source.y_mm)),
            "carry": ((source.x_mm, source.y_mm), (target.x_mm, target.y_mm)),
        }
        if isinstance(steps[-1], Park):
            self.ends["home"] = ((target.x_mm, target.y_mm), (shown.park.x_mm, shown.park.y_mm))
        self.lengths = {leg: math.dist(a, b) for leg, (a, b) in self.ends.items()}
        total = sum(self.lengths.values())
        highest = max([SIDE_TOP_MM, *(float(s.tool_mm[:, 2].max()) + 60.0 for s in scene.sweeps if s is not None)])
        self.scale = min((SIDE_WIDTH - 90.0) / max(total, 1.0), (ROW_PX - 60.0) / highest, 1.25)
        self.left = SIDE_X + 45.0 + (SIDE_WIDTH - 90.0 - total * self.scale) / 2
        self.top, self.ground = top_px, top_px + ROW_PX - 34.0

    def x(self, leg: str, along_mm: float) -> float:
        before = {"to": 0.0, "carry": self.lengths["to"], "home": self.lengths["to"] + self.lengths["carry"]}[leg]
        return self.left + (before + along_mm) * self.scale

    def y(self, z_mm: float) -> float:
        return self.ground - z_mm * self.scale

    def marks(self) -> list[str]:
        carry = self.scene.part.carry
        return [
            _text(SIDE_X, self.top + 14, str(carry), 15, INK, weight="600"),
            *self.table(),
            *self.pieces(),
            *self.ghosts(),
            *self.path(),
            *self.heights(),
            *self.times(),
        ]

    def table(self) -> list[str]:
        right = self.left + sum(self.lengths.values()) * self.scale
        marks = [_rect(self.left - 40, self.ground, right - self.left + 80, 7, DARK)]
        carry = self.scene.part.carry
        places = [(self.x("to", 0.0), self.came_from), (self.x("carry", 0.0), carry.from_place)]
        places.append((self.x("carry", self.lengths["carry"]), carry.to_place))
        if "home" in self.ends:
            places.append((self.x("home", self.lengths["home"]), "parked"))
        taken_px = -math.inf  # names of places near to each other stand below each other
        for x, name in places:
            below = 15.0 if x - 3.6 * len(name) < taken_px else 0.0
            taken_px = x + 3.6 * len(name) if not below else -math.inf
            marks.append(_line(x, self.ground, x, self.ground + 11 + below, INK, 1.2))
            marks.append(_text(x, self.ground + 26 + below, name, 12.5, INK, "middle", weight="600"))
        return marks

    def pieces(self) -> list[str]:
        """What stands under each way, solid, and what stands near beside it, pale."""
        marks = []
        carry = self.scene.part.carry
        for leg, (a, b) in self.ends.items():
            standing = self.scene.standing if leg != "home" else self.scene.standing.moved(carry)
            if leg == "carry":
                standing = standing.without(carry.from_place)
            field = field_of(standing, self.shown.layout, self.shown.shapes)
            if not field.places:
                continue
            beside = beside_line_mm(a, b, field)
            reach = _hand(self.scene, leg, self.shown).reach_mm(self.shown.handling)
            reach += self.shown.handling.side_margin_mm
            along = np.asarray(b) - np.asarray(a)
            unit = along / max(float(np.linalg.norm(along)), 1e-9)
            places = (field.at_mm - np.asarray(a)) @ unit
            for index in np.argsort(-beside):
                if beside[index] > reach + 20.0 or not -20.0 <= places[index] <= self.lengths[leg] + 20.0:
                    continue
                place = field.places[index]
                under = bool(beside[index] < reach)
                moved = place in (carry.from_place, carry.to_place)
                marks.append(
                    self._piece(self.x(leg, float(places[index])), standing.pieces[place], under, 0.3 if moved else 1.0)
                )
        return marks

    def _piece(self, x: float, letter: str, under: bool, opacity: float) -> str:
        shape = shape_of(self.shown.shapes, letter)
        fill = "#ffffff" if letter.isupper() else "#4a4c55"
        body = _silhouette(shape, x, self.ground, self.scale)
        ink = INK if letter.isupper() else "#ffffff"
        glyph = chess.UNICODE_PIECE_SYMBOLS[letter.lower()]
        size = shape.base_diameter_mm * 0.62 * self.scale
        return (
            f"<g opacity='{opacity * (1.0 if under else 0.22):.2f}'><path d='{body}' fill='{fill}' stroke='{INK}' "
            f"stroke-width='1'/><text x='{x:.1f}' y='{self.ground - 3:.1f}' font-size='{size:.1f}' "
            f"text-anchor='middle' fill='{ink}' {GLYPHS}>{glyph}</text></g>"
        )

    def heights(self) -> list[str]:
        """The height of each way, and the lowest thing that hangs on it."""
        marks = []
        for leg in self.ends:
            hand = _hand(self.scene, leg, self.shown)
            step = self.scene.part.plan.steps[{"to": motion.APPROACH, "carry": motion.CROSS, "home": motion.LEAVE}[leg]]
            assert isinstance(step, Straight | Travel)
            z_mm = step.target.z_mm
            low = z_mm - hand.below_mm(self.shown.handling)
            x1, x2 = self.x(leg, 0.0), self.x(leg, self.lengths[leg])
            marks.append(_line(x1, self.y(low), x2, self.y(low), WAYS[leg], 1.0, "3 4"))
            middle = (x1 + x2) / 2
            if abs(x2 - x1) > 48.0:
                marks.append(
                    _text(middle, self.y(low) + 14, f"lowest {low:.0f} mm", 10.5, WAYS[leg], "middle", halo=True)
                )
        return marks

    def path(self) -> list[str]:
        marks = []
        for leg, color in WAYS.items():
            for run in self._runs(leg):
                points = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
                marks.append(
                    f"<polyline points='{points}' fill='none' stroke='{color}' stroke-width='2.6' "
                    f"stroke-linejoin='round' stroke-linecap='round'/>"
                )
        return marks

    def _runs(self, leg: str) -> list[list[tuple[float, float]]]:
        """The tool point's way, corners rounded as planned, in three runs between the two places where it stands."""
        groups = {"to": (motion.APPROACH, motion.LOWER), "carry": (motion.LIFT, motion.CROSS, motion.SET_DOWN)}
        groups["home"] = (motion.LEAVE, motion.HOME)
        steps = [step for step in groups[leg] if step < len(self.scene.sweeps)]
        owner = {motion.LEAVE: "home" if "home" in self.ends else "carry"}
        points: list[tuple[float, float, float]] = []  # along, height, radius of the corner there
        for step in steps:
            sweep, planned = self.scene.sweeps[step], self.scene.part.plan.steps[step]
            assert sweep is not None
            rows = self._along(sweep, owner.get(step, leg), step)
            blend = planned.blend_mm if isinstance(planned, Straight) and self.shown.rounds else 0.0
            points += [(x, z, 0.0) for x, z in rows[:-1]] + [(*rows[-1], blend)]
        return [_smoothed(points, self.scale)]

    def _along(self, sweep: Sweep, leg: str, step: int) -> list[tuple[float, float]]:
        if leg not in self.ends or step == motion.LEAVE:
            leg_x = self.x("carry", self.lengths["carry"])
            return [(leg_x, self.y(float(z))) for z in sweep.tool_mm[:, 2]]
        a, b = (np.asarray(end) for end in self.ends[leg])
        unit = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
        return [(self.x(leg, float((p[:2] - a) @ unit)), self.y(float(p[2]))) for p in sweep.tool_mm]

    def ghosts(self) -> list[str]:
        """The hand at the grasp, in the middle of the way with the piece in it, and at the release."""
        carry = self.scene.part.carry
        shape = shape_of(self.shown.shapes, carry.piece)
        openings = [step.width_mm for step in self.scene.part.plan.steps if isinstance(step, Open)]
        middle = self.lengths["carry"] / 2
        crossing = self.scene.part.plan.steps[motion.CROSS]
        assert isinstance(crossing, Straight)
        return [
            self._hand(self.x("carry", 0.0), shape.grasp_height_mm, openings[0]),
            self._hand(self.x("carry", self.lengths["carry"]), shape.grasp_height_mm, openings[1]),
            self._hand(self.x("carry", middle), crossing.target.z_mm, shape.grasp_width_mm, shape),
        ]

    def _hand(self, x: float, z_mm: float, opening_mm: float, held: Shape | None = None) -> str:
        """The fingers; with the piece that they hold, the palm above them as well."""
        handling, s = self.shown.handling, self.scale
        marks = []
        if held is not None:
            base = self.y(z_mm - held.grasp_height_mm)
            white = self.scene.part.carry.piece.isupper()
            fill = "#ffffff" if white else "#4a4c55"
            marks.append(
                f"<path d='{_silhouette(held, x, base, s)}' fill='{fill}' stroke='{WAYS['carry']}' stroke-width='1.4'/>"
            )
        top, bottom = self.y(z_mm + handling.palm_above_mm), self.y(z_mm - handling.fingertip_mm)
        thick = handling.finger_thickness_mm * s
        for side in (-1.0, 1.0):
            inner = x + side * opening_mm / 2 * s
            marks.append(_rect(min(inner, inner + side * thick), top, thick, bottom - top, "#7d8490", radius=2))
        if held is not None:
            palm = handling.palm_radius_mm * s
            marks.append(_rect(x - palm, top - 24 * s, 2 * palm, 24 * s, "#7d8490", radius=4))
        return f"<g opacity='{0.2 if held is None else 0.6}'>{''.join(marks)}</g>"

    def times(self) -> list[str]:
        """When the arm is where, above the places where something happens."""
        reached = np.cumsum([self.began_s, *self.seconds])
        carry_x = (self.x("carry", 0.0), self.x("carry", self.lengths["carry"]))
        at = [
            (self.x("to", 0.0), reached[0]),
            (carry_x[0], reached[motion.GRASP + 1]),
            (carry_x[1], reached[motion.RELEASE + 1]),
        ]
        if "home" in self.ends:
            at.append((self.x("home", self.lengths["home"]), reached[-1]))
        marks = []
        for x, when_s in at:
            label = f"{when_s:.1f} s"
            marks.append(_rect(x - 22, self.top + 27, 44, 19, INK, radius=9.5))
            marks.append(_text(x, self.top + 41, label, 11.5, "#ffffff", "middle", weight="600"))
            marks.append(_line(x, self.top + 46, x, self.ground, "#c9c5b8", 0.8, "1 3"))
        return marks


# ---- marks


def _hand(scene: Scene, leg: str, shown: Shown) -> Hand:
    openings = [step.width_mm for step in scene.part.plan.steps if isinstance(step, Open)]
    shape = shape_of(shown.shapes, scene.part.carry.piece)
    if leg == "carry":
        return Hand(shape.grasp_width_mm, shape)
    return Hand(openings[0] if leg == "to" else openings[1])


def _smoothed(points: Sequence[tuple[float, float, float]], scale: float) -> list[tuple[float, float]]:
    """A polyline in px with its corners rounded, radii in mm."""
    run: list[tuple[float, float]] = []
    joined = 0  # points before this one are rounded away
    for index, (x, y, radius) in enumerate(points):
        reach = radius * scale
        if reach <= 0.0 or index in (0, len(points) - 1):
            if index >= joined:
                run.append((x, y))
            continue
        run = [p for p in run if math.dist(p, (x, y)) >= reach] or run[:1]
        joined = next((i for i in range(index, len(points)) if math.dist(points[i][:2], (x, y)) >= reach), len(points))
        after = points[min(joined, len(points) - 1)]
        arc = corner((*run[-1], 0.0), (x, y, 0.0), (*after[:2], 0.0), reach)
        run += [(float(a), float(b)) for a, b, _ in arc]
    return run


def _silhouette(shape: Shape, x: float, ground: float, scale: float) -> str:
    """A turned piece: a foot as wide as its base, a stem as wide as its grasp, a head."""
    base, neck = shape.base_diameter_mm / 2 * scale, shape.grasp_width_mm / 2 * scale
    foot, collar, top = ground - 7 * scale, ground - shape.grasp_height_mm * scale, ground - shape.height_mm * scale
    head = neck * 1.15
    return (
        f"M{x - base:.1f},{ground:.1f} L{x - base:.1f},{foot:.1f} "
        f"Q{x - neck:.1f},{(foot * 2 + collar) / 3:.1f} {x - neck * 0.8:.1f},{collar:.1f} "
        f"Q{x - head:.1f},{(collar + top) / 2:.1f} {x - head * 0.55:.1f},{top:.1f} "
        f"L{x + head * 0.55:.1f},{top:.1f} Q{x + head:.1f},{(collar + top) / 2:.1f} {x + neck * 0.8:.1f},{collar:.1f} "
        f"Q{x + neck:.1f},{(foot * 2 + collar) / 3:.1f} {x + base:.1f},{foot:.1f} L{x + base:.1f},{ground:.1f} Z"
    )


def _legend(y: float) -> list[str]:
    marks, x = [], SIDE_X
    for leg, name in WAY_NAMES.items():
        marks.append(_line(x, y - 4, x + 26, y - 4, WAYS[leg], 3))
        marks.append(_text(x + 33, y, name, 12, INK))
        x += 33 + 7.0 * len(name) + 22
    return marks


def _text(
    x: float,
    y: float,
    text: str,
    size: float,
    fill: str = INK,
    anchor: str = "start",
    weight: str = "400",
    halo: bool = False,
) -> str:
    behind = f" stroke='{PAPER}' stroke-width='3.5' stroke-linejoin='round' paint-order='stroke'" if halo else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size:g}' fill='{fill}' text-anchor='{anchor}' "
        f"font-weight='{weight}'{behind} {FONT}>{escape(text)}</text>"
    )


def _rect(x: float, y: float, width: float, height: float, fill: str, radius: float = 0.0) -> str:
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' rx='{radius:g}' fill='{fill}'/>"


def _circle(x: float, y: float, radius: float, fill: str, stroke: str, width: float) -> str:
    return (
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius:.1f}' fill='{fill}' stroke='{stroke}' stroke-width='{width:g}'/>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float, dash: str = "") -> str:
    dashed = f" stroke-dasharray='{dash}'" if dash else ""
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{stroke}' stroke-width='{width:g}'{dashed}/>"
