"""The one physical world: pieces with continuous poses, grippers that hold them, and what happens on contact.

Frame: the board frame of `edgechess_robots.layout`, millimetres. Time: `anyio.current_time()`, seconds.

The world is driven by events, never polled. Whoever moves something hands over its whole path as a function of time;
positions are computed when somebody looks, and what the path will bring about (a bump, a piece that slips) is foreseen
when it is handed over and happens at its own instant. A table on which nothing moves costs nothing.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import anyio

from edgechess_board.placement import NAMES, Placement
from edgechess_robots.layout import Point, TableLayout
from edgechess_robots.shapes import Shape, ShapeSet
from edgechess_twin.faults import NONE, Dice, Faults

XYZ = tuple[float, float, float]
Path = Callable[[float], XYZ]
"""Position in mm at a scheduler time in s. Must answer for any time; clamps outside its own span."""

POCKET = "pocket"  # `held_by` of pieces that a person keeps off the table

SENSED_HEIGHT_MM = 8.0  # a base higher than this above a square is not felt (reference "dgt-protocol" 12: a guess)
UPRIGHT_DROP_MM = 20.0  # released from higher than this a piece topples
GENTLE_DROP_MM = 4.0  # released from lower than this it stays exactly where it was
GRASP_ACROSS_MM = 10.0  # half a finger's width: how far beside the fingers' line a piece may stand and be held
GRASP_HEIGHT_TOLERANCE_MM = 12.0  # the collar that fingers find is about this tall
FINGER_RADIUS_MM = 5.0  # a finger seen from above
FINGER_BELOW_TIP_MM = 10.0  # finger tips reach this far below the finger centres
PRESS_MM = 3.0  # deeper than this below the board's surface a fingertip presses; its rubber gives way before
OFF_CENTRE_MM = 3.0  # further from the centre than this a piece may be felt unsteadily
KNOT_MM = 15.0  # a long low path is computed this far apart, and filled in between: the cubic is half a millimetre off at most
ARM_OPENING_MM = 40.0  # gripper opening before anybody commanded one


@dataclasses.dataclass(frozen=True, slots=True)
class PieceView:
    """A snapshot of one piece. `x_mm, y_mm, z_mm` is the middle of its base; `held_by` an arm, a hand or "pocket".

    `steadiness` is the probability that a square in full coupling feels it at one visit.
    """

    number: int
    letter: str
    shape: Shape
    x_mm: float
    y_mm: float
    z_mm: float
    upright: bool
    held_by: str | None
    steadiness: float

    def distance_mm(self, point: Point) -> float:
        return math.hypot(self.x_mm - point.x_mm, self.y_mm - point.y_mm)


@dataclasses.dataclass(frozen=True, slots=True)
class PieceLeft:
    """One piece of a table that was left and is taken up again: the fields of `PieceView` that outlive a process."""

    letter: str
    x_mm: float
    y_mm: float
    upright: bool = True
    held_by: str | None = None
    steadiness: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class GripResult:
    """What a gripper feels: the width between its fingers, and whether something is between them."""

    width_mm: float
    holding: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Moving:
    """A piece on its way, for those who sample it: letter, steadiness and its path."""

    letter: str
    steadiness: float
    where: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """All that can be felt, as of one version of the world. Stays valid for times before the next version."""

    version: int
    still: tuple[PieceView, ...]
    moving: tuple[Moving, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Intrusion:
    """Two arms above the board at once: never allowed."""

    arms: tuple[str, str]
    from_s: float
    until_s: float


@dataclasses.dataclass(slots=True)
class _Piece:
    number: int
    letter: str
    shape: Shape
    rest: XYZ
    path: Path | None = None
    upright: bool = True
    held_by: str | None = None
    steadiness: float = 1.0


@dataclasses.dataclass(slots=True)
class _Gripper:
    path: Path
    start_s: float
    end_s: float
    yaw_deg: float = 0.0
    opening_mm: float = ARM_OPENING_MM
    holds: int | None = None
    offset: XYZ = (0.0, 0.0, 0.0)
    slips: bool = False
    bumps: bool = False
    above: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    """Spans of time above the board; the last may lie in the future while a path is under way."""


class World:
    """The truth about one table. All methods are synchronous and take effect at `anyio.current_time()`."""

    def __init__(
        self,
        layout: TableLayout,
        shapes: ShapeSet,
        *,
        seed: int = 0,
        faults: Faults = NONE,
        speed: float = 1.0,
        placement: Placement | None = None,
        racks: Mapping[str, str] | None = None,
        left: Sequence[PieceLeft] | None = None,
    ) -> None:
        """`racks` gives the letters that stand in each arm's rack, slot 0 first. `speed` scales motion, nothing else.

        With `left` every piece is as it was left, and `placement` and `racks` say nothing.
        """
        if speed <= 0.0:
            raise ValueError(f"speed {speed}: expected more than 0")
        self.layout = layout
        self.shapes = shapes
        self.faults = faults
        self.speed = speed
        self.dice = Dice(seed)
        self.version = 0
        self._event = anyio.Event()
        self._pieces: list[_Piece] = []
        self._grippers: dict[str, _Gripper] = {}
        self._unrest: list[tuple[str, float, float]] = []
        self._pending: list[tuple[float, int, str, Callable[[float], None]]] = []
        self._pending_number = 0
        self._scene: Scene | None = None
        self.placed = 0
        """How often a piece was put down on the board, by whomever: a measure of moves."""
        self.closings = 0
        """How often empty fingers closed to take something (narrower than any piece), whether they caught it or not."""
        self.accidents: list[str] = []
        """What went wrong by itself, in order, for the trace: "slip black Q", "bump white p"."""
        if left is not None:
            for piece in left:
                self._restore(piece)
            return
        for square, letter in enumerate(placement or Placement.empty()):
            if letter is not None:
                self._add(letter, self.square_centre(square))
        for arm, letters in (racks or {}).items():
            for letter, slot in zip(letters, layout.site(arm).rack, strict=False):
                self._add(letter, slot)

    # -- looking ---------------------------------------------------------------------------------------------------

    def square_centre(self, square: int) -> Point:
        pitch = self.layout.square_mm
        return Point((square % 8 - 3.5) * pitch, (square // 8 - 3.5) * pitch)

    def square_at(self, x_mm: float, y_mm: float) -> int | None:
        """The square whose borders contain the point, None beside the board."""
        pitch = self.layout.square_mm
        column, row = math.floor(x_mm / pitch + 4.0), math.floor(y_mm / pitch + 4.0)
        return column + 8 * row if 0 <= column <= 7 and 0 <= row <= 7 else None

    def pieces(self) -> tuple[PieceView, ...]:
        """Every piece, wherever it is, in order of their numbers."""
        now = self._advance()
        return tuple(self._view(piece, now) for piece in self._pieces)

    def piece(self, number: int) -> PieceView:
        now = self._advance()
        return self._view(self._pieces[number], now)

    def piece_on(self, square: int) -> PieceView | None:
        """The upright free piece within the square's borders; the one nearest to its centre if there are two."""
        centre = self.square_centre(square)
        found = [
            v for v in self.pieces() if v.held_by is None and v.upright and self.square_at(v.x_mm, v.y_mm) == square
        ]
        return min(found, key=lambda view: view.distance_mm(centre), default=None)

    def placement(self) -> Placement:
        """What stands on the board: upright, held by nobody, within a square's borders."""
        squares: dict[int, tuple[float, str]] = {}
        now = self._advance()
        for piece in self._pieces:
            if piece.held_by is not None or not piece.upright:
                continue
            x, y, _ = self._position(piece, now)
            square = self.square_at(x, y)
            if square is None:
                continue
            centre = self.square_centre(square)
            distance = math.hypot(x - centre.x_mm, y - centre.y_mm)
            if square not in squares or distance < squares[square][0]:
                squares[square] = (distance, piece.letter)
        return Placement.from_mapping({square: letter for square, (_, letter) in squares.items()})

    def scene(self) -> Scene:
        """What a sensor may feel now: free or low pieces, still and moving. Cached per version."""
        now = self._advance()
        if self._scene is None or self._scene.version != self.version:
            still: list[PieceView] = []
            moving: list[Moving] = []
            for piece in self._pieces:
                if piece.held_by == POCKET:
                    continue
                if piece.path is not None:
                    moving.append(Moving(piece.letter, piece.steadiness, piece.path))
                else:
                    still.append(self._view(piece, now))
            self._scene = Scene(self.version, tuple(still), tuple(moving))
        return self._scene

    def quiet_from(self, at_s: float) -> float:
        """`at_s` if nothing that the board feels is moving then, otherwise the end of the present unrest."""
        end = at_s
        for _, start, stop in self._unrest:
            if start <= at_s < stop:
                end = max(end, stop)
        return end

    def next_unrest(self, after_s: float) -> float:
        """When something that the board feels will next start to move, as far as handed-over paths tell; else inf."""
        return min((start for _, start, _ in self._unrest if start > after_s), default=math.inf)

    async def wait_changed(self, version: int) -> None:
        """Returns at once if the world is newer than `version`, else at the next change."""
        while self.version == version:
            await self._event.wait()

    # -- arms ------------------------------------------------------------------------------------------------------

    def arm_appears(self, arm: str, tip: Point) -> None:
        """An arm's finger centres are here and stay. Call once before anything else with that arm."""
        now = self._advance()
        place = (tip.x_mm, tip.y_mm, tip.z_mm)
        self._grippers[arm] = gripper = _Gripper(_staying(place), now, now)
        if self._over_board(*place):
            gripper.above.append((now, math.inf))

    def tip_path(
        self, arm: str, path: Path, start_s: float, end_s: float, yaw_deg: float = 0.0, *, guided: bool = False
    ) -> None:
        """The arm's true finger centres (board frame) will follow `path` and then stay at `path(end_s)`.

        Replaces whatever was left of the path before: a stop is a new path from now on. `yaw_deg` is the direction in
        which the fingers close, about z. `guided`: by a person's hand, which touches and does not press. Everything that the motion does to pieces is foreseen here: about ten to
        sixty evaluations of `path`, more the further it goes near the pieces.
        """
        now = self._advance()
        gripper = self._grippers[arm]
        self._forget(arm)
        gripper.above = [(a, min(b, now)) for a, b in gripper.above if a < now][-32:]

        def clamped(at_s: float) -> XYZ:
            return path(min(max(at_s, start_s), end_s))

        gripper.path, gripper.start_s, gripper.end_s, gripper.yaw_deg = clamped, start_s, end_s, yaw_deg
        held = self._held(gripper)
        if held is not None:
            held.path = self._carried(gripper)
        self._foresee(arm, gripper, held, guided)
        if held is not None:
            self._touch()  # an empty gripper above the board is nothing that anybody but the arm itself can feel

    def tip(self, arm: str) -> XYZ:
        """Where the arm's finger centres truly are now."""
        return self._grippers[arm].path(self._advance())

    def grip(self, arm: str) -> GripResult:
        """What the gripper feels now. A piece that slipped is no longer felt."""
        self._advance()
        gripper = self._grippers[arm]
        held = self._held(gripper)
        return GripResult(held.shape.grasp_width_mm if held else gripper.opening_mm, held is not None)

    def held_by_arm(self, arm: str) -> PieceView | None:
        now = self._advance()
        held = self._held(self._grippers[arm])
        return self._view(held, now) if held else None

    def gripper_closed(self, arm: str, opening_mm: float, to_width_mm: float = 0.0) -> GripResult:
        """The fingers have closed from `opening_mm` towards `to_width_mm`, at the tip's present place and yaw.

        They hold an upright piece that stood between them (or the one they already held); else they are at
        `to_width_mm`.
        """
        now = self._advance()
        gripper = self._grippers[arm]
        if (held := self._held(gripper)) is not None:
            return GripResult(held.shape.grasp_width_mm, True)
        if to_width_mm < min(shape.grasp_width_mm for shape in self.shapes.shapes):
            self.closings += 1
        gripper.opening_mm = max(to_width_mm, 0.0)
        found = self._between(gripper, now, opening_mm, to_width_mm)
        if found is None or self.dice.happens("missed-grasp", self.faults.missed_grasp):
            if found is not None:
                self.note_accident(f"missed-grasp {arm} {found.letter}")
            return GripResult(gripper.opening_mm, False)
        x, y, z = gripper.path(now)
        px, py, pz = self._position(found, now)
        across = self._across(gripper, px - x, py - y)
        yaw = math.radians(gripper.yaw_deg)
        gripper.offset = (-across * math.sin(yaw), across * math.cos(yaw), pz - z)
        gripper.holds = found.number
        gripper.opening_mm = found.shape.grasp_width_mm
        gripper.slips = self.dice.happens("slip", self.faults.slip)
        gripper.bumps = self.dice.happens("bump", self.faults.bump)
        found.held_by = arm
        found.path = self._carried(gripper)
        self._touch()
        return GripResult(found.shape.grasp_width_mm, True)

    def gripper_opened(self, arm: str, opening_mm: float) -> None:
        """The fingers have opened: what they held stands, topples or falls where it was."""
        now = self._advance()
        gripper = self._grippers[arm]
        self._push_neighbours(arm, gripper, now, opening_mm)
        gripper.opening_mm = opening_mm
        held = self._held(gripper)
        if held is None:
            return
        x, y, z = self._position(held, now)
        self._forget(arm)
        gripper.holds = None
        if z > GENTLE_DROP_MM:
            random = self.dice.stream("drop")
            x, y = x + random.gauss(0.0, 2.0), y + random.gauss(0.0, 2.0)
        self._put(held, x, y, upright=z <= UPRIGHT_DROP_MM)
        self.placed += self.square_at(x, y) is not None
        if gripper.bumps:
            self._bump_neighbour(held, x, y)
        self._touch()

    def arm_above_board(self, arm: str) -> bool:
        """Are its finger centres above the 64 squares now, at whatever height?"""
        x, y, z = self.tip(arm)
        return self._over_board(x, y, z)

    def arms_above_board(self) -> tuple[str, ...]:
        return tuple(arm for arm in self._grippers if self.arm_above_board(arm))

    def intrusions(self) -> tuple[Intrusion, ...]:
        """Every span up to now in which two arms were above the board at once (the last 32 visits of each arm)."""
        now = self._advance()
        found: list[Intrusion] = []
        arms = list(self._grippers)
        for number, first in enumerate(arms):
            for second in arms[number + 1 :]:
                spans = self._grippers[second].above
                for a, b in self._grippers[first].above:
                    for c, d in spans:
                        if c < b and a < d:  # asked at every message of a simulation: most visits never meet
                            start, stop = max(a, c), min(b, d, now)
                            if start < stop:
                                found.append(Intrusion((first, second), start, stop))
        return tuple(found)

    def note_accident(self, text: str) -> None:
        """Into the record of what went wrong by itself."""
        self.accidents.append(text)

    # -- hands -----------------------------------------------------------------------------------------------------

    def hand_moves(self, number: int, hand: str, path: Path, start_s: float, end_s: float) -> None:
        """A hand has the piece (from wherever it was, a gripper too) and takes it along `path`; upright again."""
        now = self._advance()
        piece = self._pieces[number]
        self._release(piece)
        piece.held_by, piece.upright, piece.steadiness = hand, True, 1.0

        def clamped(at_s: float) -> XYZ:
            return path(min(max(at_s, start_s), end_s))

        piece.path = clamped
        samples = [(t, clamped(t)) for t in _times(max(now, start_s), end_s, 17)]
        self._mark_low(f"piece-{number}", [(t, xyz[2]) for t, xyz in samples])
        self._touch()

    def hand_leaves(self, number: int, x_mm: float, y_mm: float) -> None:
        """The hand lets go of the piece, which stands here now. If another stands in the way, the hand nudges it aside."""
        self._advance()
        piece = self._pieces[number]
        self._release(piece)
        for other in self._standing_near(x_mm, y_mm, piece.shape.base_diameter_mm / 2, exclude=number):
            self._shove(other, other.rest[0] - x_mm, other.rest[1] - y_mm, 6.0)
        piece.rest, piece.upright, piece.held_by, piece.path = (x_mm, y_mm, 0.0), True, None, None
        self._feel(piece)
        self.placed += self.square_at(x_mm, y_mm) is not None
        self._touch()

    def hand_pockets(self, number: int) -> None:
        """The person keeps the piece off the table."""
        self._advance()
        piece = self._pieces[number]
        self._release(piece)
        piece.held_by, piece.path, piece.upright, piece.steadiness = POCKET, None, True, 1.0
        self._touch()

    def knock(self, number: int, dx_mm: float, dy_mm: float) -> None:
        """The piece is knocked over towards (dx, dy)."""
        now = self._advance()
        piece = self._pieces[number]
        x, y, _ = self._position(piece, now)
        self._release(piece)
        self._fall(piece, x, y, dx_mm, dy_mm)
        self._touch()

    def set_up(self, pieces: Sequence[PieceLeft]) -> None:
        """The table is cleared and stands like this, at once: for those who make many short experiments on one table.

        Raises ValueError while an arm holds something. Pieces are numbered anew.
        """
        self._advance()
        for arm, gripper in self._grippers.items():
            if gripper.holds is not None:
                raise ValueError(f"arm {arm} holds a piece: nothing is set up round it")
        for key in [f"piece-{piece.number}" for piece in self._pieces]:
            self._forget(key)
        self._pieces.clear()
        for left in pieces:
            self._restore(left)
        self._touch()

    def new_piece(self, letter: str) -> int:
        """A spare from the box, in the pocket. Its number."""
        self._advance()
        piece = self._add(letter, Point(0.0, 0.0))
        piece.held_by = POCKET
        self._touch()
        return piece.number

    # -- inside ----------------------------------------------------------------------------------------------------

    def _add(self, letter: str, point: Point) -> _Piece:
        shape = self.shapes[NAMES[letter.lower()]]
        piece = _Piece(len(self._pieces), letter, shape, (point.x_mm, point.y_mm, point.z_mm))
        self._pieces.append(piece)
        return piece

    def _restore(self, left: PieceLeft) -> None:
        piece = self._add(left.letter, Point(left.x_mm, left.y_mm))
        piece.upright, piece.steadiness = left.upright, left.steadiness
        if left.held_by in self._arms_of_layout():  # without power a gripper lets go, and what it held falls
            piece.upright, piece.steadiness = False, 0.0
        elif left.held_by is not None:
            piece.held_by = POCKET

    def _arms_of_layout(self) -> tuple[str, ...]:
        return tuple(site.name for site in self.layout.sites)

    def _position(self, piece: _Piece, at_s: float) -> XYZ:
        return piece.rest if piece.path is None else piece.path(at_s)

    def _view(self, piece: _Piece, at_s: float) -> PieceView:
        x, y, z = self._position(piece, at_s)
        return PieceView(
            piece.number, piece.letter, piece.shape, x, y, z, piece.upright, piece.held_by, piece.steadiness
        )

    def _held(self, gripper: _Gripper) -> _Piece | None:
        return None if gripper.holds is None else self._pieces[gripper.holds]

    def _touch(self) -> None:
        self.version += 1
        event, self._event = self._event, anyio.Event()
        event.set()

    def _advance(self) -> float:
        """Let everything foreseen up to now happen, each at its own instant. Returns now."""
        now = anyio.current_time()
        while self._pending and self._pending[0][0] <= now:
            at_s, _, _, act = heapq.heappop(self._pending)
            act(at_s)
            self._touch()
        if len(self._unrest) > 16:
            self._unrest = [span for span in self._unrest if span[2] > now - 1.0]
        return now

    def _later(self, key: str, at_s: float, act: Callable[[float], None]) -> None:
        self._pending_number += 1
        heapq.heappush(self._pending, (at_s, self._pending_number, key, act))
        self._unrest.append((key, at_s, at_s + 0.001))

    def _forget(self, key: str) -> None:
        """What was foreseen of this actor's path does not happen."""
        if any(entry[2] == key for entry in self._pending):
            self._pending = [entry for entry in self._pending if entry[2] != key]
            heapq.heapify(self._pending)
        self._unrest = [span for span in self._unrest if span[0] != key]

    def _release(self, piece: _Piece) -> None:
        """Nobody holds the piece any longer (it may still be in the air: the caller puts it somewhere)."""
        for arm, gripper in self._grippers.items():
            if gripper.holds == piece.number:
                self._forget(arm)
                gripper.holds = None
        self._forget(f"piece-{piece.number}")
        piece.held_by = None

    def _over_board(self, x_mm: float, y_mm: float, z_mm: float) -> bool:
        half = 4.0 * self.layout.square_mm
        return abs(x_mm) < half and abs(y_mm) < half

    def _carried(self, gripper: _Gripper) -> Path:
        path, (dx, dy, dz) = gripper.path, gripper.offset

        def where(at_s: float) -> XYZ:
            x, y, z = path(at_s)
            return x + dx, y + dy, max(z + dz, 0.0)  # pressed onto the table a piece gives way in the fingers

        return where

    def _across(self, gripper: _Gripper, dx: float, dy: float) -> float:
        yaw = math.radians(gripper.yaw_deg)
        return -dx * math.sin(yaw) + dy * math.cos(yaw)

    def _between(self, gripper: _Gripper, now: float, opening_mm: float, to_width_mm: float) -> _Piece | None:
        """The upright free piece between the fingers that is nearest to their centre."""
        x, y, z = gripper.path(now)
        yaw = math.radians(gripper.yaw_deg)
        best: tuple[float, _Piece] | None = None
        for piece in self._pieces:
            if piece.held_by is not None or not piece.upright or piece.shape.grasp_width_mm <= to_width_mm:
                continue
            px, py, pz = self._position(piece, now)
            along = (px - x) * math.cos(yaw) + (py - y) * math.sin(yaw)
            across = self._across(gripper, px - x, py - y)
            if (
                abs(along) <= (opening_mm - piece.shape.grasp_width_mm) / 2
                and abs(across) <= GRASP_ACROSS_MM
                and abs(z - pz - piece.shape.grasp_height_mm) <= GRASP_HEIGHT_TOLERANCE_MM
            ):
                distance = math.hypot(along, across)
                if best is None or distance < best[0]:
                    best = (distance, piece)
        return best[1] if best else None

    def _foresee(self, arm: str, gripper: _Gripper, held: _Piece | None, guided: bool) -> None:
        """What the gripper's new path will do: time above the board, unrest, bumps, a fingertip that presses, a slip."""
        start, end = gripper.start_s, gripper.end_s
        samples = [(t, gripper.path(t)) for t in _times(start, end, 9)]
        lowest = min(xyz[2] for _, xyz in samples) - FINGER_BELOW_TIP_MM
        if held is not None:
            lowest = min(lowest, min(xyz[2] for _, xyz in samples) + gripper.offset[2])
        length = sum(math.dist(a[1][:2], b[1][:2]) for a, b in itertools.pairwise(samples))
        low = lowest < self.shapes.tallest_mm + 5.0
        if low and length > 20.0:
            knots = [(t, gripper.path(t)) for t in _times(start, end, min(65, 9 + int(length / KNOT_MM)))]
            samples = _filled(knots, min(129, 9 + int(length / 3.0)))
        self._note_above(gripper, samples)
        if held is not None:
            self._mark_low(arm, [(t, xyz[2] + gripper.offset[2]) for t, xyz in samples])
        slip_s = math.inf
        if held is not None and gripper.slips and length > self.layout.square_mm / 2:
            slip_s = start + (end - start) * self.dice.stream("slip").uniform(0.1, 0.9)
            self._later(arm, slip_s, lambda at_s: self._slip(arm, gripper, at_s))
        if not guided:
            self._foresee_press(arm, samples)
        if low:
            self._foresee_bumps(arm, gripper, held, samples, slip_s)

    def _note_above(self, gripper: _Gripper, samples: list[tuple[float, XYZ]]) -> None:
        entered: float | None = None
        for at_s, (x, y, z) in samples:
            above = self._over_board(x, y, z)
            if above and entered is None:
                entered = at_s
            elif not above and entered is not None:
                gripper.above.append((entered, at_s))
                entered = None
        if entered is not None:
            gripper.above.append((entered, math.inf))  # until the next path says otherwise

    def _mark_low(self, key: str, heights: list[tuple[float, float]]) -> None:
        """Unrest while the base is low enough to be felt (to the grain of the samples, on the long side)."""
        begin: float | None = None
        for number, (at_s, height) in enumerate(heights):
            if height < SENSED_HEIGHT_MM:
                if begin is None:
                    begin = heights[max(number - 1, 0)][0]
            elif begin is not None:
                self._unrest.append((key, begin, at_s))
                begin = None
        if begin is not None:
            self._unrest.append((key, begin, heights[-1][0]))

    def _foresee_press(self, arm: str, samples: list[tuple[float, XYZ]]) -> None:
        """Into the board: going down there counts, not leaving it."""
        for (_, (_, _, before_z)), (at_s, (x, y, z)) in itertools.pairwise(samples):
            if z < before_z and z - FINGER_BELOW_TIP_MM < -PRESS_MM and self._over_board(x, y, z):
                self._later(arm, at_s, lambda _at_s: self.note_accident(f"press {arm}"))
                return

    def _foresee_bumps(
        self, arm: str, gripper: _Gripper, held: _Piece | None, samples: list[tuple[float, XYZ]], before_s: float
    ) -> None:
        yaw = math.radians(gripper.yaw_deg)
        half = gripper.opening_mm / 2 + FINGER_RADIUS_MM
        fx, fy = half * math.cos(yaw), half * math.sin(yaw)
        standing = [p for p in self._pieces if p.held_by is None and p.upright and p.path is None]
        touched: set[int] = set()
        for number, (at_s, (x, y, z)) in enumerate(samples):
            if at_s >= before_s:
                return
            bodies = [
                (x + fx, y + fy, FINGER_RADIUS_MM, z - FINGER_BELOW_TIP_MM),
                (x - fx, y - fy, FINGER_RADIUS_MM, z - FINGER_BELOW_TIP_MM),
            ]
            if held is not None:
                dx, dy, dz = gripper.offset
                bodies.append((x + dx, y + dy, held.shape.base_diameter_mm * 0.45, z + dz))
            for piece in standing:
                px, py, _ = piece.rest
                if piece.number in touched or abs(px - x) > 90.0 or abs(py - y) > 90.0:
                    continue
                for bx, by, radius, bottom in bodies:
                    if bottom > piece.shape.height_mm - 2.0:
                        continue
                    # A piece is widest at its base; higher up about as wide as its collar.
                    width = piece.shape.base_diameter_mm if bottom < 15.0 else piece.shape.grasp_width_mm
                    if math.hypot(px - bx, py - by) < radius + width / 2:
                        touched.add(piece.number)
                        if number > 0:  # what the gripper touches already when it sets off, it does not run into
                            self._later(arm, at_s, self._bumping(arm, piece, px - bx, py - by))
                        break

    def _push_neighbours(self, arm: str, gripper: _Gripper, now: float, opening_mm: float) -> None:
        """Fingers that part push aside what stands beside them; what has no room to give way falls."""
        x, y, z = gripper.path(now)
        yaw = math.radians(gripper.yaw_deg)
        before, after = (width / 2 + FINGER_RADIUS_MM for width in (gripper.opening_mm, opening_mm))
        for side in (1.0, -1.0):
            ux, uy = side * math.cos(yaw), side * math.sin(yaw)
            for piece in self._pieces:
                if piece.held_by is not None or not piece.upright or piece.path is not None:
                    continue
                bottom = z - FINGER_BELOW_TIP_MM
                if bottom > piece.shape.height_mm - 2.0:
                    continue
                px, py, _ = piece.rest
                along = (px - x) * ux + (py - y) * uy
                across = abs((py - y) * ux - (px - x) * uy)
                width = piece.shape.base_diameter_mm if bottom < 15.0 else piece.shape.grasp_width_mm
                reach = FINGER_RADIUS_MM + width / 2
                if across >= reach or along <= before:
                    continue
                push_mm = after + math.sqrt(reach * reach - across * across) - along
                if push_mm <= 0.0 or push_mm > after - before:  # not reached, or touched already before they parted
                    continue
                self.note_accident(f"push {arm} {piece.letter}")
                to = (px + ux * push_mm, py + uy * push_mm)
                if self._standing_near(*to, piece.shape.base_diameter_mm / 2, exclude=piece.number):
                    self._fall(piece, px, py, ux, uy)
                else:
                    self._shove(piece, ux, uy, push_mm)
                self._touch()

    def _bumping(self, arm: str, piece: _Piece, dx: float, dy: float) -> Callable[[float], None]:
        def act(_at_s: float) -> None:
            if piece.held_by is None and piece.upright and piece.path is None:
                self.note_accident(f"collision {arm} {piece.letter}")
                self._fall(piece, piece.rest[0], piece.rest[1], dx, dy)

        return act

    def _slip(self, arm: str, gripper: _Gripper, at_s: float) -> None:
        held = self._held(gripper)
        if held is None:
            return
        x, y, _ = self._position(held, at_s)
        gripper.holds, gripper.slips, gripper.opening_mm = None, False, 0.0
        held.held_by = None
        self.note_accident(f"slip {arm} {held.letter}")
        angle = self.dice.stream("slip").uniform(0.0, 2 * math.pi)
        self._put(held, x, y, upright=False, dx=math.cos(angle), dy=math.sin(angle))

    def _put(self, piece: _Piece, x: float, y: float, *, upright: bool, dx: float = 0.0, dy: float = 0.0) -> None:
        """The piece comes down here, onto whatever stands there."""
        piece.held_by, piece.path = None, None
        below = self._standing_near(x, y, piece.shape.base_diameter_mm / 2, exclude=piece.number)
        for other in below:
            self._fall(other, other.rest[0], other.rest[1], other.rest[0] - x, other.rest[1] - y)
        if upright and not below:
            piece.rest, piece.upright = (x, y, 0.0), True
            self._feel(piece)
        else:
            self._fall(piece, x, y, dx, dy)

    def _standing_near(self, x: float, y: float, radius_mm: float, exclude: int) -> list[_Piece]:
        return [
            piece
            for piece in self._pieces
            if piece.number != exclude
            and piece.held_by is None
            and piece.upright
            and piece.path is None
            and math.hypot(piece.rest[0] - x, piece.rest[1] - y) < 0.9 * (radius_mm + piece.shape.base_diameter_mm / 2)
        ]

    def _fall(self, piece: _Piece, x: float, y: float, dx: float, dy: float) -> None:
        """Lying: the base tips away, its coil is out of the field, mostly or altogether."""
        random = self.dice.stream("fall")
        length = math.hypot(dx, dy)
        if length < 1e-6:
            angle = random.uniform(0.0, 2 * math.pi)
            dx, dy, length = math.cos(angle), math.sin(angle), 1.0
        roll = random.uniform(5.0, 20.0)
        piece.rest = (x + dx / length * roll, y + dy / length * roll, 0.0)
        piece.upright, piece.held_by, piece.path = False, None, None
        piece.steadiness = 0.3 if random.random() < 0.2 else 0.0

    def _shove(self, piece: _Piece, dx: float, dy: float, distance_mm: float) -> None:
        length = math.hypot(dx, dy) or 1.0
        x, y, _ = piece.rest
        piece.rest = (x + dx / length * distance_mm, y + dy / length * distance_mm, 0.0)
        self._feel(piece)

    def _bump_neighbour(self, placed: _Piece, x: float, y: float) -> None:
        """The fault "bump": the nearest neighbour is shoved off its place or falls."""
        near = [
            (math.hypot(piece.rest[0] - x, piece.rest[1] - y), piece)
            for piece in self._pieces
            if piece is not placed and piece.held_by is None and piece.upright and piece.path is None
        ]
        distance, other = min(near, key=lambda entry: (entry[0], entry[1].number), default=(math.inf, placed))
        if distance > 1.6 * self.layout.square_mm:
            return
        self.note_accident(f"bump {other.letter}")
        dx, dy = other.rest[0] - x, other.rest[1] - y
        random = self.dice.stream("bump")
        shove_mm = random.uniform(0.25, 0.6) * self.layout.square_mm
        length = math.hypot(dx, dy) or 1.0
        to = (other.rest[0] + dx / length * shove_mm, other.rest[1] + dy / length * shove_mm)
        if random.random() < 0.5 or self._standing_near(*to, other.shape.base_diameter_mm / 2, exclude=other.number):
            self._fall(other, other.rest[0], other.rest[1], dx, dy)
        else:
            self._shove(other, dx, dy, shove_mm)

    def _feel(self, piece: _Piece) -> None:
        """How steadily the board feels a piece that was just put down: the fault "flicker" needs it off-centre."""
        x, y, _ = piece.rest
        piece.steadiness = 1.0
        square = self.square_at(x, y)
        if square is None:
            return
        centre = self.square_centre(square)
        offset = math.hypot(x - centre.x_mm, y - centre.y_mm)
        if offset > OFF_CENTRE_MM and self.dice.happens("flicker", self.faults.flicker):
            # Felt at 90 to 99 of 100 visits: worse the further out, but the board settles in between.
            piece.steadiness = 1.0 - min(0.1, 0.01 * offset / OFF_CENTRE_MM)


def _times(start_s: float, end_s: float, count: int) -> list[float]:
    if end_s <= start_s:
        return [start_s]
    return [start_s + (end_s - start_s) * number / (count - 1) for number in range(count)]


def _filled(knots: list[tuple[float, XYZ]], count: int) -> list[tuple[float, XYZ]]:
    """So many samples, both ends among them, on the cubic through knots that are evenly apart in time (Catmull and Rom's)."""
    last = len(knots) - 1
    if count <= last + 1:
        return knots
    begin_s, step_s = knots[0][0], (knots[-1][0] - knots[0][0]) / (count - 1)
    inner = [place for _, place in knots]
    places = [_beyond(*inner[:3]), *inner, _beyond(*inner[:-4:-1])]
    samples = []
    for number in range(count - 1):
        index, f = divmod(number * last / (count - 1), 1.0)
        a, b, c, d = places[int(index) : int(index) + 4]
        wa, wd = f * (-0.5 + f * (1.0 - 0.5 * f)), f * f * (-0.5 + 0.5 * f)
        wb, wc = 1.0 + f * f * (-2.5 + 1.5 * f), f * (0.5 + f * (2.0 - 1.5 * f))
        x, y, z = (wa * p + wb * q + wc * r + wd * s for p, q, r, s in zip(a, b, c, d, strict=True))
        samples.append((begin_s + number * step_s, (x, y, z)))
    return [*samples, knots[-1]]


def _beyond(a: XYZ, b: XYZ, c: XYZ) -> XYZ:
    """The place before the first of three that lie on a parabola, evenly apart."""
    x, y, z = (3.0 * p - 3.0 * q + r for p, q, r in zip(a, b, c, strict=True))
    return x, y, z


def _staying(place: XYZ) -> Path:
    return lambda _at_s: place
