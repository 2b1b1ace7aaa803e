"""The person at the table: a seeded hand that plays, arranges, lifts, slides, knocks and guides, in continuous motions.

How a move is made is drawn from the seed: which piece of a capture is touched first, lifted or slid, king or rook first,
a pawn walked to the last rank and exchanged there or exchanged on the way. Where a piece ends is the fault
"off-centre-mm". The same seed and the same orders give the same motions.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Awaitable, Callable

import anyio
import chess

from edgechess_board.placement import PIECES, Placement, square_index, square_name
from edgechess_robots.layout import Point
from edgechess_twin.errors import HandError
from edgechess_twin.world import POCKET, XYZ, Path, PieceView, World

CARRY_HEIGHT_MM = 110.0  # a hand carries over the tallest piece (95 mm) at the height it needs and no more
LIFT_S = 0.25  # an unhurried hand; all times are at speed 1
CARRY_S = 0.25
CARRY_MM_S = 700.0
LOWER_S = 0.30
REACH_S = 0.30  # between letting go of one piece and having the next
SLIDE_MM_S = (120.0, 450.0)  # slowest and fastest slide
SWAP_S = 0.10  # in a swap the victim leaves this long before the attacker is down
SLIDES = 0.3  # part of the moves with a free way that are slid
ADOUBES = 0.05  # part of placements that are put right afterwards
CENTRED = 0.15  # in squares: what is further off-centre than this a person who arranges puts right
ARRANGE_ROUNDS = 8  # each with twice the care of the one before: nobody leaves a piece that keeps flickering

Guide = Callable[[str, XYZ], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Motion:
    """One piece on one way: `legs` are (seconds, point). `ends` None: into the pocket."""

    number: int
    start_s: float
    legs: tuple[tuple[float, XYZ], ...]
    ends: tuple[float, float] | None
    hand: str = "hand"
    stays: bool = False
    """The piece stays in the hand at the end."""

    @property
    def end_s(self) -> float:
        return self.start_s + sum(seconds for seconds, _ in self.legs)


def route(start_s: float, start: XYZ, legs: tuple[tuple[float, XYZ], ...]) -> Path:
    """A path that starts and ends each leg at rest (cubic in time)."""
    times, points = [start_s], [start]
    for seconds, point in legs:
        times.append(times[-1] + seconds)
        points.append(point)

    def where(at_s: float) -> XYZ:
        if at_s <= times[0]:
            return points[0]
        leg = bisect.bisect_right(times, at_s) - 1
        if leg >= len(points) - 1:
            return points[-1]
        part = (at_s - times[leg]) / (times[leg + 1] - times[leg])
        part = part * part * (3.0 - 2.0 * part)
        a, b = points[leg], points[leg + 1]
        return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part, a[2] + (b[2] - a[2]) * part

    return where


class Person:
    """The hand. One order at a time; a second one waits. Every method raises HandError for what cannot be done."""

    def __init__(self, world: World, *, guide: Guide | None = None) -> None:
        self._world = world
        self._guide = guide
        self._random = world.dice.stream("person")
        self._lock = anyio.Lock()
        self._in_hand: list[int] = []
        self._care = 1.0  # part of the usual distance from the centre

    # -- orders ----------------------------------------------------------------------------------------------------

    async def play(self, uci: str, before_fen: str) -> None:
        """Make a legal move of the position `before_fen`, in one of the ways people make it."""
        board, move = _legal(uci, before_fen)
        async with self._lock:
            if board.is_castling(move):
                await self._castle(board, move)
            elif board.is_capture(move):
                await self._capture(board, move)
            elif move.promotion is not None:
                await self._promote(board, move)
            else:
                await self._transfer(self._standing(move.from_square), move.to_square)
            if self._random.random() < ADOUBES:
                await self._adjust(move.to_square)

    async def arrange(self, placement_fen: str) -> None:
        """Put right whatever is not as in the placement: fallen, missing, surplus, off-centre, in a gripper."""
        try:
            wanted = Placement.from_fen(placement_fen)
        except ValueError as error:
            raise HandError(str(error)) from None
        async with self._lock:
            self._in_hand.clear()  # what was in the hand is put where it belongs like everything else
            try:
                for attempt in range(ARRANGE_ROUNDS):
                    self._care = 0.5**attempt
                    if not await self._arrange_once(wanted):
                        return
            finally:
                self._care = 1.0
            raise HandError(f"the table cannot be arranged: {self._world.placement().differences(wanted)}")

    async def lift(self, square: str) -> None:
        """Take the piece of that square into the hand, held above it."""
        async with self._lock:
            view = self._standing(_index(square))
            up = (view.x_mm, view.y_mm, CARRY_HEIGHT_MM)
            await self._perform(_Motion(view.number, self._soon(), ((self._time(LIFT_S), up),), None, stays=True))
            self._in_hand.append(view.number)

    async def place(self, square: str, piece: str | None = None) -> None:
        """Put the piece in the hand (the last one lifted) on that square; with `piece`, one fetched for it."""
        to = _index(square)
        if piece is not None and piece not in tuple(PIECES):
            raise HandError(f"piece {piece!r}: expected one letter of {PIECES}")
        async with self._lock:
            if piece is not None:
                number = self._fetch(piece)
            elif self._in_hand:
                number = self._in_hand.pop()
            else:
                raise HandError("the hand is empty: lift a piece first")
            await self._perform(self._carried(self._world.piece(number), to, self._soon()))

    async def slide(self, origin: str, target: str) -> None:
        """Push the piece over the board from square to square, without lifting it."""
        start, to = _index(origin), _index(target)
        async with self._lock:
            await self._perform(self._slid(self._standing(start), to, self._soon()))

    async def knock(self, square: str) -> None:
        """Knock over the piece of that square."""
        async with self._lock:
            view = self._standing(_index(square))
            angle = self._random.uniform(0.0, 2.0 * math.pi)
            self._world.knock(view.number, math.cos(angle), math.sin(angle))

    async def take_from(self, arm: str) -> None:
        """Take whatever the arm's gripper holds, and keep it. An empty gripper is no error."""
        async with self._lock:
            try:
                held = self._world.held_by_arm(arm)
            except KeyError:
                raise HandError(f"arm {arm!r}: this table has no such arm") from None
            if held is not None:
                await anyio.sleep(self._time(REACH_S))
                self._world.hand_pockets(held.number)

    async def guide(self, arm: str, point_mm: XYZ) -> None:
        """Drag the arm's finger centres to a point of the board frame and touch it; how well is the arm's matter."""
        if self._guide is None:
            raise HandError("this table has no arm to guide")
        async with self._lock:
            await self._guide(arm, point_mm)

    # -- kinds of move ---------------------------------------------------------------------------------------------

    async def _castle(self, board: chess.Board, move: chess.Move) -> None:
        king_side = chess.square_file(move.to_square) > chess.square_file(move.from_square)
        rank = chess.square_rank(move.from_square)
        rook_from = chess.square(7 if king_side else 0, rank)
        rook_to = chess.square(5 if king_side else 3, rank)
        king, rook = self._standing(move.from_square), self._standing(rook_from)
        order = self._random.choice(("king", "rook", "both"))
        if order == "both":
            start = self._soon()
            first = self._carried(king, move.to_square, start, hand="left hand")
            second = self._carried(rook, rook_to, start + self._time(0.05), hand="right hand")
            await self._perform(first, second)
        elif order == "king":
            await self._transfer(king, move.to_square)
            await self._transfer(self._world.piece(rook.number), rook_to, may_slide=False)
        else:
            await self._transfer(rook, rook_to)
            await self._transfer(self._world.piece(king.number), move.to_square, may_slide=False)

    async def _capture(self, board: chess.Board, move: chess.Move) -> None:
        en_passant = board.is_en_passant(move)
        to = move.to_square
        victim_square = chess.square(chess.square_file(to), chess.square_rank(move.from_square)) if en_passant else to
        attacker, victim = self._standing(move.from_square), self._standing(victim_square)
        order = self._random.choice(("victim", "attacker", "swap"))
        if move.promotion is not None and order == "victim" and self._random.random() < 0.5:
            await self._perform(self._pocketed(victim, self._soon()))
            await self._promote(board, move)
            return
        if order == "victim":
            await self._perform(self._pocketed(victim, self._soon()))
            await self._transfer(attacker, to)
        elif order == "attacker" and en_passant:
            await self._transfer(attacker, to)
            await self._perform(self._pocketed(victim, self._soon()))
        elif order == "attacker":
            # The attacker hangs in one hand while the other takes the victim away.
            up = (attacker.x_mm, attacker.y_mm, CARRY_HEIGHT_MM)
            await self._perform(
                _Motion(attacker.number, self._soon(), ((self._time(LIFT_S), up),), None, "left hand", stays=True)
            )
            await self._perform(self._pocketed(victim, self._soon(), hand="right hand"))
            await self._perform(self._carried(self._world.piece(attacker.number), to, self._soon(), hand="left hand"))
        else:
            # One hand takes the victim while the attacker comes down: the square may never be seen empty.
            down = self._carried(attacker, to, self._soon(), hand="left hand")
            away = self._pocketed(victim, max(down.start_s, down.end_s - SWAP_S / self._world.speed), hand="right hand")
            await self._perform(down, away)
        if move.promotion is not None:
            await self._exchange(to, _letter(board.turn, move.promotion))

    async def _promote(self, board: chess.Board, move: chess.Move) -> None:
        """The target is free. Walk the pawn and exchange it there, or exchange it on the way."""
        assert move.promotion is not None
        letter = _letter(board.turn, move.promotion)
        pawn = self._standing(move.from_square)
        if self._random.random() < 0.5:
            await self._transfer(pawn, move.to_square)
            await self._exchange(move.to_square, letter)
        else:
            await self._perform(self._pocketed(pawn, self._soon()))
            await self._perform(self._carried(self._world.piece(self._fetch(letter)), move.to_square, self._soon()))

    async def _exchange(self, square: int, letter: str) -> None:
        await self._perform(self._pocketed(self._standing(square), self._soon()))
        await self._perform(self._carried(self._world.piece(self._fetch(letter)), square, self._soon()))

    async def _transfer(self, view: PieceView, to: int, *, may_slide: bool = True) -> None:
        start = self._soon()
        slides = may_slide and self._random.random() < SLIDES and self._way_is_free(view, to)
        await self._perform(self._slid(view, to, start) if slides else self._carried(view, to, start))

    async def _adjust(self, square: int) -> None:
        """J'adoube: a small push to the centre."""
        view = self._world.piece_on(square)
        if view is not None:
            centre = self._world.square_centre(square)
            legs = ((self._time(LIFT_S), (centre.x_mm, centre.y_mm, 0.0)),)
            await self._perform(_Motion(view.number, self._soon(), legs, (centre.x_mm, centre.y_mm)))

    # -- arranging -------------------------------------------------------------------------------------------------

    async def _arrange_once(self, wanted: Placement) -> bool:
        """One round. False when there was nothing to do."""
        good, loose, fallen_beside = self._sort_out(wanted)
        missing = [s for s, letter in enumerate(wanted) if letter is not None and s not in good]
        if not missing and not loose and not fallen_beside:
            return False
        for view in fallen_beside:
            await self._stand_up_beside(view)
        given = self._assign(missing, wanted, loose)
        for view in loose:
            if view.number not in given.values():
                await self._perform(self._pocketed(view, self._soon()))
        waiting = dict(given)
        while waiting:
            free = [s for s in waiting if self._is_free(s, waiting[s])]
            if not free:  # they stand in each other's way: one steps aside
                number = next(iter(waiting.values()))
                await self._perform(self._pocketed(self._world.piece(number), self._soon()))
                continue
            number = waiting.pop(free[0])
            await self._perform(self._carried(self._world.piece(number), free[0], self._soon()))
        return True

    def _sort_out(self, wanted: Placement) -> tuple[set[int], list[PieceView], list[PieceView]]:
        """Squares that are good; pieces on the board or in grippers that are not; pieces lying beside the board."""
        pitch = self._world.layout.square_mm
        good: set[int] = set()
        loose: list[PieceView] = []
        beside: list[PieceView] = []
        for view in self._world.pieces():
            if view.held_by == POCKET:
                continue
            square = self._world.square_at(view.x_mm, view.y_mm)
            if view.held_by is not None:
                loose.append(view)
            elif square is None:
                over_edge = max(abs(view.x_mm), abs(view.y_mm)) < 4.4 * pitch  # it would still touch the board
                if over_edge:
                    loose.append(view)
                elif not view.upright:
                    beside.append(view)
            elif (
                view.upright
                and square not in good
                and wanted[square] == view.letter
                and view.steadiness >= 1.0
                and view.distance_mm(self._world.square_centre(square)) <= self._centred_mm
            ):
                good.add(square)
            else:
                loose.append(view)
        return good, loose, beside

    @property
    def _centred_mm(self) -> float:
        """What is this near the centre stays: nobody puts right again what they would put no better themselves."""
        pitch = self._world.layout.square_mm
        return min(CENTRED * pitch + self._world.faults.off_centre_mm, 0.34 * pitch)

    def _assign(self, missing: list[int], wanted: Placement, loose: list[PieceView]) -> dict[int, int]:
        """A piece for each missing square: one that is loose, else from the pocket, else a tray, else the box."""
        used: set[int] = set()
        given: dict[int, int] = {}
        for square in missing:
            letter = wanted[square]
            assert letter is not None
            centre = self._world.square_centre(square)
            choice = [v for v in loose if v.letter == letter and v.number not in used]
            number = _nearest(choice, centre).number if choice else self._fetch(letter, used, trays=True)
            used.add(number)
            given[square] = number
        return given

    async def _stand_up_beside(self, view: PieceView) -> None:
        """A piece that lies beside the board goes to the nearest free slot of a tray or rack, or into the pocket."""
        near = [
            point
            for point in self._slots()
            if view.distance_mm(point) < self._world.layout.square_mm * 0.75
            and not any(
                other.number != view.number and other.held_by is None and other.distance_mm(point) < 30.0
                for other in self._world.pieces()
            )
        ]
        if near:
            point = min(near, key=view.distance_mm)
            await self._perform(self._carried_to(view, point.x_mm, point.y_mm, self._soon()))
        else:
            await self._perform(self._pocketed(view, self._soon()))

    def _slots(self) -> list[Point]:
        return [point for site in self._world.layout.sites for point in (*site.tray, *site.rack)]

    def _is_free(self, square: int, number: int) -> bool:
        centre = self._world.square_centre(square)
        clearance = 0.55 * self._world.layout.square_mm
        return not any(
            view.number != number and view.held_by is None and view.distance_mm(centre) < clearance
            for view in self._world.pieces()
        )

    # -- motions ---------------------------------------------------------------------------------------------------

    def _standing(self, square: int) -> PieceView:
        view = self._world.piece_on(square)
        if view is None:
            raise HandError(f"{square_name(square)} is empty: there is nothing to take")
        return view

    def _fetch(self, letter: str, used: set[int] | None = None, *, trays: bool = False) -> int:
        """A piece of that kind from the pocket; else (when arranging) from a tray; else a spare from the box.

        Not from a rack: those are the arms' own.
        """
        for view in self._world.pieces():
            if view.letter == letter and view.held_by == POCKET and view.number not in (used or ()):
                return view.number
        if trays:
            slots = [point for site in self._world.layout.sites for point in site.tray]
            for view in self._world.pieces():
                if (
                    view.letter == letter
                    and view.held_by is None
                    and view.number not in (used or ())
                    and any(view.distance_mm(point) < 25.0 for point in slots)
                ):
                    return view.number
        return self._world.new_piece(letter)

    def _soon(self) -> float:
        """When the hand has reached the next piece."""
        return anyio.current_time() + self._time(REACH_S)

    def _time(self, seconds: float) -> float:
        """At this table's speed, and no two gestures take the same time."""
        return seconds * self._random.uniform(0.7, 1.4) / self._world.speed

    def _spot(self, square: int) -> tuple[float, float]:
        centre = self._world.square_centre(square)
        largest = self._world.faults.off_centre_mm
        if not largest:
            return centre.x_mm, centre.y_mm
        random = self._world.dice.stream("off-centre-mm")
        distance, angle = self._care * random.uniform(0.0, largest), random.uniform(0.0, 2.0 * math.pi)
        return centre.x_mm + distance * math.cos(angle), centre.y_mm + distance * math.sin(angle)

    def _way_is_free(self, view: PieceView, to: int) -> bool:
        """Nothing near the straight line to the target: a sliding piece must not push others about."""
        end = self._world.square_centre(to)
        length = view.distance_mm(end)
        if length < 1.0:
            return False
        ux, uy = (end.x_mm - view.x_mm) / length, (end.y_mm - view.y_mm) / length
        for other in self._world.pieces():
            if other.number == view.number or other.held_by is not None:
                continue
            dx, dy = other.x_mm - view.x_mm, other.y_mm - view.y_mm
            along = min(max(dx * ux + dy * uy, 0.0), length)
            gap = math.hypot(dx - along * ux, dy - along * uy)
            if gap < (view.shape.base_diameter_mm + other.shape.base_diameter_mm) / 2:
                return False
        return True

    def _carried(self, view: PieceView, to: int, start_s: float, hand: str = "hand") -> _Motion:
        return self._carried_to(view, *self._spot(to), start_s, hand)

    def _carried_to(self, view: PieceView, x: float, y: float, start_s: float, hand: str = "hand") -> _Motion:
        """Up, across and down. From the pocket a piece comes in over the board's right-hand edge."""
        legs: list[tuple[float, XYZ]] = []
        from_x, from_y = view.x_mm, view.y_mm
        if view.held_by == POCKET:
            from_x, from_y = 6.0 * self._world.layout.square_mm, y
        elif view.z_mm < CARRY_HEIGHT_MM:
            legs.append((self._time(LIFT_S), (from_x, from_y, CARRY_HEIGHT_MM)))
        across = math.hypot(x - from_x, y - from_y)
        legs.append((self._time(CARRY_S + across / CARRY_MM_S), (x, y, CARRY_HEIGHT_MM)))
        legs.append((self._time(LOWER_S), (x, y, 0.0)))
        return _Motion(view.number, start_s, tuple(legs), (x, y), hand)

    def _slid(self, view: PieceView, to: int, start_s: float) -> _Motion:
        x, y = self._spot(to)
        speed = self._random.uniform(*SLIDE_MM_S) * self._world.speed
        seconds = max(math.hypot(x - view.x_mm, y - view.y_mm) / speed, 0.05 / self._world.speed)
        return _Motion(view.number, start_s, ((seconds, (x, y, 0.0)),), (x, y))

    def _pocketed(self, view: PieceView, start_s: float, hand: str = "hand") -> _Motion:
        seconds = self._time(LIFT_S)
        return _Motion(view.number, start_s, ((seconds, (view.x_mm, view.y_mm, CARRY_HEIGHT_MM)),), None, hand)

    async def _perform(self, *motions: _Motion) -> None:
        """Make the motions, each at its own time. Cancelled midway, the hand puts down what it holds where it is."""
        world = self._world
        beats = sorted(
            [(motion.start_s, 0, number) for number, motion in enumerate(motions)]
            + [(motion.end_s, 1, number) for number, motion in enumerate(motions)]
        )
        moving: dict[int, _Motion] = {}
        try:
            for at_s, ends, index in beats:
                await anyio.sleep_until(at_s)
                motion = motions[index]
                if not ends:
                    self._begin(motion)
                    moving[index] = motion
                    continue
                moving.pop(index)
                if motion.ends is not None:
                    world.hand_leaves(motion.number, *motion.ends)
                elif not motion.stays:
                    world.hand_pockets(motion.number)
        except anyio.get_cancelled_exc_class():
            for motion in moving.values():
                view = world.piece(motion.number)
                world.hand_leaves(motion.number, view.x_mm, view.y_mm)
            raise

    def _begin(self, motion: _Motion) -> None:
        view = self._world.piece(motion.number)
        start: XYZ = (view.x_mm, view.y_mm, view.z_mm)
        if view.held_by == POCKET and motion.ends is not None:
            start = (6.0 * self._world.layout.square_mm, motion.ends[1], CARRY_HEIGHT_MM)
        path = route(motion.start_s, start, motion.legs)
        self._world.hand_moves(motion.number, motion.hand, path, motion.start_s, motion.end_s)


def _index(square: str) -> int:
    try:
        return square_index(square)
    except ValueError as error:
        raise HandError(str(error)) from None


def _legal(uci: str, fen: str) -> tuple[chess.Board, chess.Move]:
    try:
        board = chess.Board(fen)
        move = chess.Move.from_uci(uci)
    except ValueError as error:
        raise HandError(f"move {uci!r} in {fen!r}: {error}") from None
    if not board.is_legal(move):
        raise HandError(f"move {uci!r} is not legal in {fen!r}")
    return board, move


def _nearest(views: list[PieceView], point: Point) -> PieceView:
    return min(views, key=lambda view: (view.distance_mm(point), view.number))


def _letter(colour: chess.Color, kind: chess.PieceType) -> str:
    return chess.Piece(kind, colour).symbol()
