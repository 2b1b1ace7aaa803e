"""Any table is set up, job by job, by two arms that share the work: whatever stands where, and whatever lies beside it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

import chess
import pytest

from edgechess_arm_controller.choreography import (
    Carry,
    Share,
    move_carries,
    pieces_on,
    rearrangement,
    setup_carries,
    shares,
)
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.hand import Handling
from edgechess_arm_controller.planner import Ground, plan_job
from edgechess_arm_controller.setups import nearest_squares, plan_setup
from edgechess_arm_controller.slots import Slots
from edgechess_kit.messages import ArmJob
from edgechess_robots.arm import ArmState, CheckedPlan, Plan, Straight, Travel
from edgechess_robots.errors import PlanRefused
from edgechess_robots.gradual import at_once
from edgechess_robots.layout import standard_layout
from edgechess_robots.poses import Pose
from edgechess_robots.shapes import STAUNTON_6

START = chess.STARTING_BOARD_FEN
ARMS = ("white", "black")
LAYOUT = standard_layout()
GROUND = Ground(LAYOUT, STAUNTON_6, Handling())
NEAR = nearest_squares(LAYOUT, ARMS)
FRESH = Slots.filled(LAYOUT, {"white": "QQRBN", "black": "qqrbn"})
SWAPPED_ROOKS = "Rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/rNBQKBNR"  # each on the other arm's half


class Arm:
    """Checks plans of an arm that reaches none of these places, and cannot do more than `at_once` pieces in one plan."""

    def __init__(self, *beyond: str, at_once: int = 32) -> None:
        self.beyond = {(LAYOUT.place(name).x_mm, LAYOUT.place(name).y_mm): name for name in beyond}
        self.at_once = at_once

    def check(self, plan: Plan) -> CheckedPlan:
        for step in plan.steps:
            if isinstance(step, Travel | Straight):
                name = self.beyond.get((step.target.x_mm, step.target.y_mm))
                if name is not None:
                    raise PlanRefused("unreachable", f"{name} is too far")
        if len(plan.steps) > 10 * self.at_once + 1:
            raise PlanRefused("limits", "so many turns of the last joint")
        return CheckedPlan(plan, (), (), 1.0)

    def state(self) -> ArmState:
        return ArmState("idle", (), Pose(0.0, -345.0, 200.0), True, False, None, 0.0)


FAR_REACHING = Arm()


def fen_of(board: Mapping[str, str]) -> str:
    empty = chess.BaseBoard.empty()
    for square, letter in board.items():
        empty.set_piece_at(chess.parse_square(square), chess.Piece.from_symbol(letter))
    return empty.board_fen()


def put(board: Mapping[str, str], slots: Slots, carries: tuple[Carry, ...]) -> tuple[dict[str, str], Slots]:
    """What a job leaves; nothing is taken from where it is not, or put where something stands."""
    board = {**board}
    for carry in carries:
        if carry.from_place in slots:
            assert slots[carry.from_place].piece == carry.piece
            slots = slots.put(carry.from_place, None)
        else:
            assert board.pop(carry.from_place) == carry.piece
        if carry.to_place in slots:
            assert slots[carry.to_place].free
            slots = slots.put(carry.to_place, carry.piece)
        else:
            assert carry.to_place not in board
            board[carry.to_place] = carry.piece
    return board, slots


def planned(
    found: str,
    goal: str,
    slots: Slots,
    limit: int | None = 8,
    arm: str | None = None,
    white: Arm = FAR_REACHING,
    black: Arm = FAR_REACHING,
) -> tuple[str, tuple[Carry, ...]]:
    before, after = f"{found} w - - 0 1", f"{goal} w - - 0 1"
    job = ArmJob(job_id="j", kind="setup", session_id="s", before=before, after=after, arm=arm, limit=limit)
    name, parts, _ = at_once(plan_setup(job, slots, GROUND, {"white": white, "black": black}))
    return name, tuple(part.carry for part in parts)


def play_out(
    found: str, goal: str, slots: Slots, limit: int = 8, white: Arm = FAR_REACHING, black: Arm = FAR_REACHING
) -> tuple[str, Slots, list[str], int]:
    """What the manager's loop comes to: placement and slots in the end, the arm of each job, the carries."""
    board, workers, count = pieces_on(found), [], 0
    while fen_of(board) != goal:
        try:
            arm, carries = planned(fen_of(board), goal, slots, limit, white=white, black=black)
        except JobRefused:
            break
        assert 0 < len(carries) <= limit
        board, slots = put(board, slots, carries)
        workers.append(arm)
        count += len(carries)
        assert len(workers) < 64, "no end"
    return fen_of(board), slots, workers, count


def end_of_a_game(seed: int) -> tuple[str, Slots]:
    """Captures lie in the tray of the arm that took them; promoted pieces came out of its rack."""
    dice, board, slots = random.Random(seed), chess.Board(), FRESH
    for _ in range(120):
        moves = sorted(board.legal_moves, key=chess.Move.uci)
        if not moves:
            break
        rare = [move for move in moves if move.promotion or board.is_capture(move)]
        move = dice.choice(rare if rare and dice.random() < 0.3 else moves)
        after = board.copy()
        after.push(move)
        arm = ARMS[0] if board.turn else ARMS[1]
        try:
            carries = move_carries(board.fen(), after.fen(), move.uci(), arm, slots)
        except JobRefused:
            break
        board = after
        for carry in carries:
            slots = slots.put(carry.from_place, None).put(carry.to_place, carry.piece)
    return board.board_fen(), slots


def thrown_about(seed: int) -> tuple[str, Slots]:
    """All 32 pieces anywhere, some of them in trays."""
    dice, slots = random.Random(seed), FRESH
    board = dict(zip(dice.sample(chess.SQUARE_NAMES, 32), pieces_on(START).values(), strict=True))
    trays = [slot.name for slot in FRESH.trays()]
    dice.shuffle(trays)
    for square in dice.sample(sorted(board), dice.randint(0, 14)):
        slots = slots.put(trays.pop(), board.pop(square))
    return fen_of(board), slots


# ---------------------------------------------------------------- whole setups


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("limit", [2, 8])
def test_from_the_end_of_any_game_to_the_start_and_both_arms_work(seed: int, limit: int) -> None:
    found, slots = end_of_a_game(seed)
    placement, _, workers, _ = play_out(found, START, slots, limit)
    assert placement == START
    assert set(workers) == set(ARMS)


@pytest.mark.parametrize("seed", range(6))
def test_from_anywhere_to_anywhere_every_piece_is_carried_once_or_twice(seed: int) -> None:
    found, slots = thrown_about(seed)
    for goal in (START, thrown_about(seed + 100)[0]):
        placement, after, workers, count = play_out(found, goal, slots)
        assert placement == goal
        assert set(workers) == set(ARMS)
        stays = sum(pieces_on(goal).get(square) == piece for square, piece in pieces_on(found).items())
        assert count <= 36 - stays, "all but a few go straight to where they belong"
        assert Counter(slot.piece for slot in after) + Counter(pieces_on(placement).values()) == Counter(
            slot.piece for slot in slots
        ) + Counter(pieces_on(found).values()) + Counter({None: len(pieces_on(placement)) - len(pieces_on(found))})


def test_a_ring_is_opened_in_one_job_and_one_over_both_halves_too() -> None:
    knights = START.replace("RNBQKBNR", "NRBQKBRN")
    assert play_out(knights, START, FRESH)[:3] == (START, FRESH, ["white"])
    assert play_out(SWAPPED_ROOKS, START, FRESH)[:3] == (START, FRESH, ["white"])


def test_what_is_too_many_leaves_the_board_each_arm_clearing_its_half() -> None:
    kings = "4k3/8/8/8/8/8/8/4K3"
    placement, slots, workers, count = play_out(START, kings, FRESH)
    assert (placement, count, workers) == (kings, 30, ["white", "black", "white", "black"])
    assert Counter(slot.name.split("-")[1] for slot in slots.trays() if slot.piece) == {"white": 15, "black": 15}


def test_promoted_pieces_go_home_to_the_rack_that_lacks_them() -> None:
    promoted = START.replace("PPPPPPPP", "1PPPPPPP").replace("8/8/8/8", "8/Q7/8/8")
    slots = FRESH.put("rack-white-0", None).put("tray-white-0", "P")
    placement, after, _, count = play_out(promoted, START, slots)
    assert (placement, count) == (START, 2)
    assert after == FRESH


# ---------------------------------------------------------------- who takes what, from where


def test_each_arm_begins_at_its_own_half_and_that_with_most_to_do_first() -> None:
    found = "rnbqkbnr/1pppppp1/8/p6p/8/8/1PPPPPPP/RNBQKBNR"
    slots = FRESH.put("tray-white-0", "P")
    arm, carries = planned(found, START, slots)
    assert (arm, carries) == ("black", (Carry("p", "a5", "a7"), Carry("p", "h5", "h7")))
    assert planned(START.replace("PPPPPPPP", "1PPPPPPP"), START, slots) == (
        "white",
        (Carry("P", "tray-white-0", "a2"),),
    )


def test_a_job_has_so_many_carries_and_without_a_limit_as_many_as_fit() -> None:
    kings = "4k3/8/8/8/8/8/8/4K3"
    assert [len(planned(START, kings, FRESH, limit=limit)[1]) for limit in (1, 8, None)] == [1, 8, 15]
    arm, carries = planned(START, kings, FRESH, limit=None, arm="black")
    assert (arm, len(carries)) == ("black", 16), "an arm that was named does both halves, as far as its tray goes"


def test_captured_pieces_come_back_before_spare_ones_whichever_arm_has_them() -> None:
    slots = FRESH.put("tray-black-0", "Q")
    assert planned(START.replace("Q", "1"), START, slots) == ("black", (Carry("Q", "tray-black-0", "d1"),))


def test_doubtful_slots_are_taken_from_last_and_never_filled() -> None:
    without = START.replace("Q", "1")
    doubtful = FRESH.put("tray-white-0", "Q").doubt("tray-white-0")
    assert planned(without, START, doubtful)[1] == (Carry("Q", "rack-white-0", "d1"),)
    other = doubtful.put("rack-white-0", None).put("rack-white-1", None).put("tray-black-0", "Q")
    assert planned(without, START, other) == ("black", (Carry("Q", "tray-black-0", "d1"),))
    last = other.put("tray-black-0", None)
    assert planned(without, START, last)[1] == (Carry("Q", "tray-white-0", "d1"),)
    extra = START.replace("8/8/8/8", "8/8/8/P7")
    assert planned(extra, START, FRESH.doubt("tray-white-0"))[1] == (Carry("P", "a3", "tray-white-1"),)


def test_a_slot_that_may_be_empty_holds_nothing_else_up() -> None:
    """A grasp that feels nothing ends a job: everything else is done before anybody feels there again."""
    slots = FRESH.put("tray-black-3", "p").doubt("tray-black-3").put("tray-white-0", "P").put("tray-black-5", "n")
    board = pieces_on(START.replace("pppppppp", "1ppppppp").replace("PPPPPPPP", "1PPPPPPP").replace("rn", "r1", 1))
    doubtful = Carry("p", "tray-black-3", "a7")
    carries = planned(fen_of(board), START, slots)[1]
    others = list(carries)
    while carries != (doubtful,):
        assert doubtful not in carries
        board, slots = put(board, slots, carries)
        carries = planned(fen_of(board), START, slots)[1]
        others += carries
    assert set(others) == {Carry("P", "tray-white-0", "a2"), Carry("n", "tray-black-5", "b8"), doubtful}
    for arm, slot in (("black", "tray-black-3"), ("white", "tray-white-3")):
        last = FRESH.put(slot, "p").doubt(slot)
        assert planned(START.replace("pppppppp", "1ppppppp"), START, last) == (arm, (Carry("p", slot, "a7"),))


def test_a_full_tray_leaves_the_clearing_to_the_other_arm() -> None:
    full = FRESH
    for number in range(16):
        full = full.put(f"tray-white-{number}", "n")
    extra = START.replace("8/8/8/8", "8/8/8/P7")
    arm, carries = planned(extra, START, full)
    assert (carries[0].from_place, carries[0].to_place) == ("a3", "tray-black-0")
    assert arm in ARMS
    for number in range(16):
        full = full.put(f"tray-black-{number}", "n")
    with pytest.raises(JobRefused, match="a3: no tray") as refused:
        planned(extra, START, full)
    assert refused.value.code == "no-slot"


def test_what_cannot_be_found_is_left_out_and_named_when_nothing_else_is_left() -> None:
    without = START.replace("PPPPPPPP", "1PPPPPP1")
    slots = FRESH.put("tray-white-3", "P")
    arm, carries = planned(without, START, slots)
    assert (arm, carries) == ("white", (Carry("P", "tray-white-3", "a2"),))
    with pytest.raises(JobRefused, match="h2: no white pawn in a rack or tray") as refused:
        planned(START.replace("PPPPPPPP", "PPPPPPP1"), START, FRESH)
    assert refused.value.code == "no-piece"


def test_when_the_board_is_done_each_arm_tidies_its_own_tray() -> None:
    slots = FRESH.put("rack-white-0", None).put("rack-black-4", None).put("tray-white-2", "Q").put("tray-black-0", "n")
    first = planned(START, START, slots)
    assert first == ("white", (Carry("Q", "tray-white-2", "rack-white-0"),))
    second = planned(START, START, put({}, slots, first[1])[1])
    assert second == ("black", (Carry("n", "tray-black-0", "rack-black-4"),))
    assert planned(START, START, FRESH.put("tray-white-0", "P")) == ("white", ())


# ---------------------------------------------------------------- what an arm cannot do


def test_a_far_square_is_the_other_arms_and_holds_nothing_else_up() -> None:
    found = "rnbqkbnr/2pppppp/8/pp6/8/8/PPPPPPPP/RNBQKBNR"
    assert planned(found, START, FRESH, black=Arm("a7")) == ("black", (Carry("p", "a5", "b7"),))
    left = START.replace("pppppppp", "1ppppppp").replace("8/8/8/8", "8/p7/8/8")
    assert planned(left, START, FRESH, black=Arm("a7")) == ("white", (Carry("p", "a5", "a7"),))
    with pytest.raises(JobRefused, match="a5, a7: arm white, a7: a7 is too far") as refused:
        planned(left, START, FRESH, white=Arm("a7"), black=Arm("a7"))
    assert refused.value.code == "unreachable"


def test_a_slot_beyond_reach_is_left_for_the_next_one() -> None:
    slots = FRESH.put("tray-white-0", "P").put("tray-white-1", "P")
    without = START.replace("PPPPPPPP", "1PPPPPPP")
    assert planned(without, START, slots, white=Arm("tray-white-0"))[1] == (Carry("P", "tray-white-1", "a2"),)
    extra = START.replace("8/8/8/8", "8/8/8/P7")
    assert planned(extra, START, FRESH, white=Arm("tray-white-0"))[1] == (Carry("P", "a3", "tray-white-1"),)


def test_of_a_move_too_another_arms_tray_is_used_only_where_it_is_within_reach() -> None:
    before, after = "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "4k3/8/8/3P4/8/8/8/4K3 b - - 0 1"
    job = ArmJob(job_id="1", kind="move", session_id="s", before=before, after=after, lan="e4d5")
    full = FRESH
    for number in range(16):
        full = full.put(f"tray-white-{number}", "p")
    far = [f"tray-black-{n}" for n in range(16)]
    parts, _ = at_once(plan_job(job, "white", full, GROUND, Arm(*far[:5], *far[6:])))
    assert parts[0].carry.to_place == "tray-black-5"
    with pytest.raises(JobRefused, match="within reach of arm white has a free slot for the black pawn") as crowded:
        at_once(plan_job(job, "white", full, GROUND, Arm(*far)))
    assert crowded.value.code == "no-slot"
    with pytest.raises(JobRefused, match="d5 is too far") as unreachable:
        at_once(plan_job(job, "white", FRESH, GROUND, Arm("d5")))
    assert unreachable.value.code == "unreachable"


def test_a_job_that_is_too_much_at_once_is_made_shorter() -> None:
    kings = "4k3/8/8/8/8/8/8/4K3"
    assert len(planned(START, kings, FRESH, white=Arm(at_once=3), black=Arm(at_once=3))[1]) == 2


def test_a_ring_that_no_arm_can_do_alone_is_opened_by_one_and_closed_by_both() -> None:
    """Neither reaches the other's corner, where the rooks would have to be taken from: a1 and b1 are White's, b8 Black's."""
    found, goal = "1n6/8/8/8/8/8/8/RN6", "1R6/8/8/8/8/8/8/nN6"
    placement, _, workers, count = play_out(found, goal, FRESH, white=Arm("b8"), black=Arm("a1"))
    assert placement != goal, "nobody can bring the rook from a1 to b8"
    assert (workers, count) == (["white"], 1), "and it is given up after one piece stepped aside"


@pytest.mark.parametrize("seed", range(4))
def test_arms_that_do_not_reach_the_far_rank_set_everything_up_all_the_same(seed: int) -> None:
    """What stands on the first rank and belongs on the eighth is beyond them; here nothing does."""
    dice, slots = random.Random(seed), FRESH
    middle = [square for square in chess.SQUARE_NAMES if square[1] not in "18"]
    pieces = dice.sample("PPPPPPPPpppppppp", 14)
    board = dict(zip(dice.sample(middle, 14), pieces, strict=True))
    goal = dict(zip(dice.sample(middle, 14), pieces, strict=True))
    for arm, rank in (("white", "1"), ("black", "8")):
        for number, letter in enumerate("RNB" if arm == "white" else "rnb"):
            slots = slots.put(f"tray-{arm}-{number}", letter)
            goal[f"{'abc'[number]}{rank}"] = letter
    white, black = Arm(*(f"{file}8" for file in "abcdefgh")), Arm(*(f"{file}1" for file in "abcdefgh"))
    placement, _, workers, _ = play_out(fen_of(board), fen_of(goal), slots, white=white, black=black)
    assert placement == fen_of(goal)
    assert set(workers) == set(ARMS)


# ---------------------------------------------------------------- one choreography


def test_the_parts_of_a_setup_come_to_what_a_repair_would_do() -> None:
    """One arm alone, without a limit: the same pieces go to the same squares."""
    for seed in range(20):
        dice, board = random.Random(seed), pieces_on(START)
        for square in dice.sample(sorted(board), 4):
            target = dice.choice([s for s in chess.SQUARE_NAMES if s not in board and s[1] in "3456"])
            board[target] = board.pop(square)
        whole = rearrangement(fen_of(board), START, "white", FRESH)
        share = setup_carries(fen_of(board), START, Share("white", 32), FRESH)
        assert share == whole


def test_every_share_is_tried_near_first_and_doubtful_slots_last() -> None:
    turns = [(share.arm, share.turn) for share in shares(SWAPPED_ROOKS, START, NEAR, FRESH, 8)]
    assert turns == [(arm, turn) for turn in ("near", "any", "aside", "doubtful") for arm in ARMS]
    assert {len(squares) for squares in NEAR.values()} == {32}
    assert "a4" in NEAR["white"]
    assert "h5" in NEAR["black"]
