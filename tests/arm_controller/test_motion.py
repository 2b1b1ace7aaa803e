"""Motions of a job: over whatever stands in the way and no higher, approaches straight down, still where fingers move."""

from __future__ import annotations

import itertools
import math

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_arm_controller.choreography import Carry, move_carries, pieces_on
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.hand import Handling
from edgechess_arm_controller.motion import (
    Amends,
    Part,
    Standing,
    _clearance_mm,
    each_part,
    retreat,
    shape_of,
    whole,
)
from edgechess_arm_controller.slots import Slots
from edgechess_robots.arm import Close, Open, Park, Straight, Travel, Verify
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import STAUNTON_6

LAYOUT = standard_layout()
HANDLING = Handling()
FRESH = Slots.filled(LAYOUT, {"white": "QQRBN", "black": "qqrbn"})
PARKED = Pose(100.0, -345.0, 200.0, 180.0, 0.0, 45.0)
XY = tuple[float, float]


def standing(fen: str) -> Standing:
    return Standing({**pieces_on(fen), **{slot.name: slot.piece for slot in FRESH if slot.piece}})


def parts_of(fen: str, lan: str, amends: Amends | None = None) -> tuple[Part, ...]:
    board = chess.Board(fen)
    board.push_uci(lan)
    carries = move_carries(fen, board.fen(), lan, "white", FRESH)
    return tuple(each_part(carries, standing(fen), LAYOUT, STAUNTON_6, HANDLING, PARKED, amends))


def straights(part: Part) -> list[Straight]:
    return [step for step in part.plan.steps if isinstance(step, Straight)]


def touches(tool: Pose, opening: float, carried: str | None, letter: str, at: XY) -> bool:
    """Whether fingers or carried piece are lower than 9.9 mm above a piece and nearer than 3.9 mm to it, by brute force:
    the fingers are grids of points, the bodies circles of points."""
    shape, yaw = shape_of(STAUNTON_6, letter), math.radians(tool.rz_deg)
    if math.hypot(tool.x_mm - at[0], tool.y_mm - at[1]) > 100.0:
        return False
    bodies = []
    for side in (-1.0, 1.0):
        for along, across in itertools.product((0.0, 2.5, 5.0, 7.5, 10.0), (-9.0, -4.5, 0.0, 4.5, 9.0)):
            a = side * (opening / 2 + along)
            x = tool.x_mm + a * math.cos(yaw) - across * math.sin(yaw)
            y = tool.y_mm + a * math.sin(yaw) + across * math.cos(yaw)
            bodies.append((x, y, tool.z_mm - 12.0))
    if carried is not None:
        held = shape_of(STAUNTON_6, carried)
        for number in range(24):
            angle, radius = number * math.pi / 12, held.base_diameter_mm / 2
            x, y = tool.x_mm + radius * math.cos(angle), tool.y_mm + radius * math.sin(angle)
            bodies.append((x, y, tool.z_mm - held.grasp_height_mm))
    return any(
        z < shape.height_mm + 9.9 and math.hypot(x - at[0], y - at[1]) < shape.base_diameter_mm / 2 + 3.9
        for x, y, z in bodies
    )


def assert_sound(parts: tuple[Part, ...], table: Standing) -> None:
    """Follows the tool through the whole plan, every 5 mm."""
    tool = PARKED
    steps = whole(parts).steps
    assert isinstance(steps[-1], Park)
    assert sum(isinstance(step, Park) for step in steps) == 1
    for part in parts:
        carry = part.carry
        assert isinstance(part.plan.steps[part.close_at], Close)
        assert isinstance(part.plan.steps[part.release_at], Open)
        carried: str | None = None
        opening = 0.0
        place, ignored = table, ""
        for index, step in enumerate(part.plan.steps):
            match step:
                case Straight(target):
                    assert (target.rx_deg, target.ry_deg) == (180.0, 0.0)
                    down = (target.x_mm, target.y_mm) == (tool.x_mm, tool.y_mm)
                    if down:
                        assert target.rz_deg == tool.rz_deg
                        ignored = carry.to_place if carried is None and index > part.close_at else carry.from_place
                    others = {n: p for n, p in place.pieces.items() if not (down and n == ignored)}
                    count = max(2, int(math.dist(_xyz(tool), _xyz(target)) / 5.0))
                    for number in range(count + 1):
                        here = _between(tool, target, number / count)
                        for name, piece in others.items():
                            at = LAYOUT.place(name)
                            assert not touches(here, opening, carried, piece, (at.x_mm, at.y_mm)), (step, name)
                    tool = target
                case Close():
                    assert (tool.x_mm, tool.y_mm) == (
                        LAYOUT.place(carry.from_place).x_mm,
                        LAYOUT.place(carry.from_place).y_mm,
                    )
                    shape = shape_of(STAUNTON_6, carry.piece)
                    assert step.width_mm < shape.grasp_width_mm
                    carried, opening, place = carry.piece, shape.grasp_width_mm, table.without(carry.from_place)
                case Verify():
                    assert isinstance(part.plan.steps[index + 1], Open)
                case Open():
                    assert step.width_mm > shape_of(STAUNTON_6, carry.piece).grasp_width_mm
                    assert step.ahead == (index == 0)
                    opening = step.width_mm
                    if index == part.release_at:
                        at = LAYOUT.place(carry.to_place)
                        assert (tool.x_mm, tool.y_mm) == (at.x_mm, at.y_mm)
                        carried, place = None, table.moved(carry)
                case Park():
                    pass
                case _:
                    raise AssertionError(step)
        table = table.moved(carry)
    for step, following in itertools.pairwise(steps):
        if not isinstance(following, Straight | Park) and isinstance(step, Straight):
            assert step.blend_mm == 0.0, "the arm stands still wherever fingers move"


def _xyz(pose: Pose) -> tuple[float, float, float]:
    return pose.x_mm, pose.y_mm, pose.z_mm


def _between(a: Pose, b: Pose, part: float) -> Pose:
    x_mm, y_mm, z_mm = (p + part * (q - p) for p, q in zip(_xyz(a), _xyz(b), strict=True))
    return Pose(x_mm, y_mm, z_mm, 180.0, 0.0, b.rz_deg)


@pytest.mark.slow  # hundreds of plans
@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False))
def test_moves_of_random_games_are_sound(random: object) -> None:
    board = chess.Board()
    for _ in range(random.randrange(60)):  # type: ignore[attr-defined]
        legal = sorted(board.legal_moves, key=chess.Move.uci)
        if not legal:
            break
        board.push(random.choice(legal))  # type: ignore[attr-defined]
    for move in sorted(board.legal_moves, key=chess.Move.uci)[:3]:
        assert_sound(parts_of(board.fen(), move.uci()), standing(board.fen()))


def test_every_way_is_as_high_as_what_stands_under_it() -> None:
    (part,) = parts_of(chess.STARTING_FEN, "e2e4")
    heights = [step.target.z_mm for step in straights(part)]
    # there and back over the king on e1: 95 + 25 + 12 of the fingers; the pawn passes over nothing: 25 + its 30
    assert heights == [132.0, 30.0, 55.0, 55.0, 31.0, 132.0]
    (part,) = parts_of("4k3/8/8/8/8/8/4P3/4K3 w - - 0 1", "e2e3")
    assert straights(part)[2].target.z_mm == 55.0
    (part,) = parts_of("4k3/8/8/8/8/8/8/R3K3 w - - 0 1", "a1d1")
    assert straights(part)[2].target.z_mm == 60.0  # the king on e1 stands beside the way
    (part,) = parts_of("4k3/8/8/8/8/8/6P1/4K3 w - - 0 1", "e1d1")
    high = straights(part)[0].target.z_mm
    assert high == 95.0 + 25.0 + 12.0  # over the king itself, to put the fingers around it


def test_a_knight_jumps_over_what_it_jumps_over() -> None:
    (part,) = parts_of(chess.STARTING_FEN, "g1f3")
    lifted = straights(part)[2].target.z_mm
    assert lifted == 68.0 + 25.0 + 40.0  # its way leans over the bishop's edge on f1; its own grasp is at 40
    (part,) = parts_of("4k3/8/8/8/8/8/5PPP/4K1N1 w - - 0 1", "g1f3")
    assert straights(part)[2].target.z_mm == 46.0 + 25.0 + 40.0


def test_corners_are_rounded_and_less_where_there_is_less_room() -> None:
    def cross(standing: dict[str, str]) -> Straight:
        (part,) = each_part(
            [Carry("R", "e3", "e6")], Standing({"e3": "R", **standing}), LAYOUT, STAUNTON_6, HANDLING, PARKED
        )
        return straights(part)[3]

    free, crowded = cross({}), cross({"e5": "k"})
    assert crowded.target.z_mm > free.target.z_mm
    assert crowded.blend_mm > 0.0
    low = Handling(margin_mm=10.0)  # no higher than what a corner must clear as well
    (part,) = each_part([Carry("R", "e3", "e6")], Standing({"e3": "R", "e5": "k"}), LAYOUT, STAUNTON_6, low, PARKED)
    assert straights(part)[3].blend_mm < crowded.blend_mm
    sharp = parts_of(chess.STARTING_FEN, "e2e4", Amends(sharp=frozenset({(0, 1)})))
    assert straights(sharp[0])[0].blend_mm == 0.0


def test_amends_raise_one_way_only() -> None:
    (part,) = parts_of(chess.STARTING_FEN, "e2e4", Amends(floors={(0, "carry"): 120.0}))
    assert [step.target.z_mm for step in straights(part)] == [132.0, 30.0, 120.0, 120.0, 31.0, 132.0]
    (part,) = parts_of(chess.STARTING_FEN, "e2e4", Amends(jointed=True))
    assert isinstance(part.plan.steps[1], Travel)


def test_without_a_known_park_the_ways_there_pass_over_everything() -> None:
    carries = [Carry("P", "a2", "a3")]
    (part,) = each_part(carries, Standing({"a2": "P", "h8": "k"}), LAYOUT, STAUNTON_6, HANDLING)
    first, last = part.plan.steps[1], part.plan.steps[9]
    assert isinstance(first, Travel)
    assert isinstance(last, Straight)
    assert first.target.z_mm == last.target.z_mm == 132.0
    assert last.blend_mm == 0.0


def test_the_fingers_of_the_crowded_start_clear_every_neighbour() -> None:
    for lan in [move.uci() for move in chess.Board().legal_moves]:
        (part,) = parts_of(chess.STARTING_FEN, lan)
        table = standing(chess.STARTING_FEN).without(lan[:2])
        at = LAYOUT.place(lan[:2])
        neighbours = []
        for name, piece in table.pieces.items():
            other = LAYOUT.place(name)
            radius = shape_of(STAUNTON_6, piece).base_diameter_mm / 2
            neighbours.append((other.x_mm - at.x_mm, other.y_mm - at.y_mm, radius))
        opening = next(step.width_mm for step in part.plan.steps if isinstance(step, Open))
        yaw = straights(part)[0].target.rz_deg
        assert _clearance_mm(yaw, opening, neighbours, HANDLING) >= HANDLING.neighbour_gap_mm


def test_fingers_along_a_free_rank_between_pieces_on_the_file() -> None:
    table = Standing({"e4": "P", "e5": "k", "e3": "K", "d5": "q", "f3": "Q", "d3": "R", "f5": "r"})
    (part,) = each_part([Carry("P", "e4", "a4")], table, LAYOUT, STAUNTON_6, HANDLING, PARKED)
    assert straights(part)[0].target.rz_deg == 0.0


def test_the_wrist_is_not_turned_where_there_is_ample_room() -> None:
    for yaw in (45.0, -135.0, 0.0, 90.0):  # the fingers are alike: 45 and -135 degrees are the same grasp
        park = Pose(0.0, -345.0, 200.0, 180.0, 0.0, yaw)
        (part,) = each_part([Carry("P", "e4", "e5")], Standing({"e4": "P"}), LAYOUT, STAUNTON_6, HANDLING, park)
        assert {step.target.rz_deg for step in straights(part)} == {yaw}


def test_no_room_for_the_fingers_is_refused() -> None:
    tight = standard_layout(square_mm=30.0)
    with pytest.raises(JobRefused, match="e2") as refused:
        tuple(each_part([Carry("P", "e2", "e4")], Standing(pieces_on(chess.STARTING_FEN)), tight, STAUNTON_6, HANDLING))
    assert refused.value.code == "clearance"


def test_a_piece_too_tall_for_the_hand_is_refused() -> None:
    short = Handling(palm_above_mm=30.0)
    with pytest.raises(JobRefused, match="the white king stands 35 mm above where it is grasped"):
        tuple(each_part([Carry("K", "e1", "e2")], Standing({"e1": "K"}), LAYOUT, STAUNTON_6, short))


def test_descents_are_never_faster_than_ways() -> None:
    assert Handling(speed_mm_s=100.0).lowering_mm_s == 100.0
    assert Handling(speed_mm_s=750.0).lowering_mm_s == 250.0


def test_a_retreat_goes_straight_up_and_parks() -> None:
    tool = Pose(10.0, 20.0, 31.0, 180.0, 0.0, 45.0)
    plan = retreat(tool, STAUNTON_6, HANDLING, held=True, open_first=False)
    up, park = plan.steps
    assert isinstance(up, Straight)
    assert isinstance(park, Park)
    assert (up.target.x_mm, up.target.y_mm, up.target.rz_deg, up.blend_mm) == (10.0, 20.0, 45.0, 0.0)
    assert up.target.z_mm == 95.0 + 25.0 + 60.0
    high = retreat(Pose(0.0, 0.0, 400.0), STAUNTON_6, HANDLING, held=False, open_first=False)
    assert [type(step) for step in high.steps] == [Park]
    parked = retreat(None, STAUNTON_6, HANDLING, held=True, open_first=True)
    assert [type(step) for step in parked.steps] == [Open]


def test_clearance_is_that_of_rectangles_and_circles() -> None:
    # opening 20, finger 10 thick and 18 wide: rectangles from 10 to 20 along x, 9 to each side
    assert math.isclose(_clearance_mm(0.0, 20.0, [(30.0, 0.0, 5.0)], HANDLING), 5.0)
    assert math.isclose(_clearance_mm(0.0, 20.0, [(-15.0, 20.0, 5.0)], HANDLING), 6.0)
    assert math.isclose(_clearance_mm(90.0, 20.0, [(0.0, 30.0, 5.0)], HANDLING), 5.0)
    assert math.isclose(_clearance_mm(0.0, 20.0, [(23.0, 13.0, 0.0)], HANDLING), 5.0)
    for a, b in itertools.pairwise((20.0, 30.0, 40.0)):
        assert _clearance_mm(0.0, a, [(50.0, 0.0, 5.0)], HANDLING) > _clearance_mm(0.0, b, [(50.0, 0.0, 5.0)], HANDLING)
