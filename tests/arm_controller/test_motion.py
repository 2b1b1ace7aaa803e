"""Motions of a job: nothing sideways below travel height, approaches straight down, parked at the end."""

from __future__ import annotations

import itertools
import math

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_arm_controller.choreography import Carry, move_carries, pieces_on
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.motion import (
    Handling,
    Part,
    Standing,
    _clearance_mm,
    plan_parts,
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


def standing(fen: str) -> Standing:
    return Standing({**pieces_on(fen), **{slot.name: slot.piece for slot in FRESH if slot.piece}})


def parts_of(fen: str, lan: str) -> tuple[Part, ...]:
    board = chess.Board(fen)
    board.push_uci(lan)
    carries = move_carries(fen, board.fen(), lan, "white", FRESH)
    return plan_parts(carries, standing(fen), LAYOUT, STAUNTON_6, HANDLING)


def assert_sound(parts: tuple[Part, ...], table: Standing) -> None:
    """Follows the tool through the whole plan."""
    tool: Pose | None = None
    steps = whole(parts).steps
    assert isinstance(steps[-1], Park)
    assert sum(isinstance(step, Park) for step in steps) == 1
    for part in parts:
        assert isinstance(part.plan.steps[part.close_at], Close)
        assert isinstance(part.plan.steps[part.release_at], Open)
        carried: str | None = None
        for index, step in enumerate(part.plan.steps):
            match step:
                case Travel(target) | Straight(target):
                    assert (target.rx_deg, target.ry_deg) == (180.0, 0.0)
                    sideways = tool is None or (target.x_mm, target.y_mm) != (tool.x_mm, tool.y_mm)
                    if isinstance(step, Travel) or sideways:
                        below = HANDLING.fingertip_mm
                        if carried is not None:
                            below = max(below, shape_of(STAUNTON_6, carried).grasp_height_mm)
                        others = [piece for place, piece in table.pieces.items() if place != part.carry.from_place]
                        if carried is None:
                            others.append(part.carry.piece)
                        tallest = max((shape_of(STAUNTON_6, piece).height_mm for piece in others), default=0.0)
                        for z in (target.z_mm, tool.z_mm if tool is not None and sideways else target.z_mm):
                            assert z - below >= tallest + HANDLING.margin_mm - 1e-9
                        assert isinstance(step, Straight) or carried is None
                    elif tool is not None and target.z_mm < tool.z_mm:
                        assert step.speed_mm_s == HANDLING.descent_speed_mm_s
                    tool = target
                case Close():
                    assert tool is not None
                    place = LAYOUT.place(part.carry.from_place)
                    assert (tool.x_mm, tool.y_mm) == (place.x_mm, place.y_mm)
                    assert step.width_mm < shape_of(STAUNTON_6, part.carry.piece).grasp_width_mm
                    carried = part.carry.piece
                case Verify():
                    assert isinstance(part.plan.steps[index + 1], Open)
                case Open():
                    assert step.width_mm > shape_of(STAUNTON_6, part.carry.piece).grasp_width_mm
                    if index == part.release_at:
                        assert tool is not None
                        place = LAYOUT.place(part.carry.to_place)
                        assert (tool.x_mm, tool.y_mm) == (place.x_mm, place.y_mm)
                        carried = None
                case Park():
                    tool = None
        table = table.moved(part.carry)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_moves_of_random_games_are_sound(random: object) -> None:
    board = chess.Board()
    for _ in range(random.randrange(60)):  # type: ignore[attr-defined]
        legal = sorted(board.legal_moves, key=chess.Move.uci)
        if not legal:
            break
        board.push(random.choice(legal))  # type: ignore[attr-defined]
    for move in sorted(board.legal_moves, key=chess.Move.uci)[:6]:
        assert_sound(parts_of(board.fen(), move.uci()), standing(board.fen()))


def test_the_first_move_goes_over_the_kings() -> None:
    (part,) = parts_of(chess.STARTING_FEN, "e2e4")
    heights = [step.target.z_mm for step in part.plan.steps if isinstance(step, Travel | Straight)]
    assert heights == [132.0, 30.0, 150.0, 150.0, 31.0, 132.0]  # 95 king, 25 margin, 12 fingers or 30 of the pawn


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
        yaw = next(step.target.rz_deg for step in part.plan.steps if isinstance(step, Travel))
        assert _clearance_mm(yaw, opening, neighbours, HANDLING) >= HANDLING.neighbour_gap_mm


def test_fingers_along_a_free_rank_between_pieces_on_the_file() -> None:
    table = Standing({"e4": "P", "e5": "k", "e3": "K"})
    (part,) = plan_parts([Carry("P", "e4", "a4")], table, LAYOUT, STAUNTON_6, HANDLING)
    first = part.plan.steps[0]
    assert isinstance(first, Travel)
    assert first.target.rz_deg == 0.0


def test_no_room_for_the_fingers_is_refused() -> None:
    tight = standard_layout(square_mm=30.0)
    with pytest.raises(JobRefused, match="e2") as refused:
        plan_parts([Carry("P", "e2", "e4")], Standing(pieces_on(chess.STARTING_FEN)), tight, STAUNTON_6, HANDLING)
    assert refused.value.code == "clearance"


def test_a_retreat_goes_straight_up_and_parks() -> None:
    tool = Pose(10.0, 20.0, 31.0, 180.0, 0.0, 45.0)
    plan = retreat(tool, STAUNTON_6, HANDLING, held=True, open_first=False)
    up, park = plan.steps
    assert isinstance(up, Straight)
    assert isinstance(park, Park)
    assert (up.target.x_mm, up.target.y_mm, up.target.rz_deg) == (10.0, 20.0, 45.0)
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
