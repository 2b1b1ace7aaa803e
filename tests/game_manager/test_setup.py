"""Any table is set up, batch by batch: whatever stands where, and whatever lies beside the board."""

from __future__ import annotations

import random
from collections import Counter

import chess
import pytest

from edgechess_game_manager.repair import pieces_on
from edgechess_game_manager.setup import Beside, missing, next_batch, supplies
from edgechess_kit import messages as m

ARMS = ("white", "black")
START = chess.STARTING_BOARD_FEN


def beside(pieces: dict[str, str] | None = None) -> Beside:
    stand = pieces or {}
    slots = [f"tray-{arm}-{number}" for arm in ARMS for number in range(16)]
    slots += [f"rack-{arm}-{number}" for arm in ARMS for number in range(5)]
    return Beside(tuple(stand.items()), tuple(slot for slot in slots if slot not in stand))


def carry_out(before: str, after: str, arm: str, there: Beside) -> Beside:
    """What the controller does to tray and rack: what leaves the board goes to the arm's tray, what comes is taken away."""
    old, new = Counter(pieces_on(before).values()), Counter(pieces_on(after).values())
    pieces, free = dict(there.pieces), list(there.free)
    for piece in (new - old).elements():
        slot = min((s for s, p in pieces.items() if p == piece), key=lambda s: (s.startswith("rack-"), arm not in s))
        del pieces[slot]
        free.append(slot)
    for piece in (old - new).elements():
        slot = next(s for s in free if s.startswith(f"tray-{arm}-"))
        free.remove(slot)
        pieces[slot] = piece
    return Beside(tuple(pieces.items()), tuple(free))


def play_out(found: str, goal: str, there: Beside, limit: int) -> tuple[str, list[tuple[str, int]]]:
    batches = []
    while (batch := next_batch(found, goal, ARMS, there, limit)) is not None:
        assert 0 < len(batch.squares) <= limit
        there = carry_out(found, batch.after, batch.arm, there)
        found = batch.after
        batches.append((batch.arm, len(batch.squares)))
        assert len(batches) < 64, "no end"
    return found, batches


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("limit", [1, 8])
def test_from_the_end_of_any_game_to_the_start_and_both_arms_work(seed: int, limit: int) -> None:
    dice, board = random.Random(seed), chess.Board()
    trays: dict[str, str] = {}
    for _ in range(120):
        moves = sorted(board.legal_moves, key=chess.Move.uci)
        if not moves:
            break
        move, arm = dice.choice(moves), ARMS[0] if board.turn else ARMS[1]
        before = Counter(pieces_on(board.board_fen()).values())
        board.push(move)
        gone = before - Counter(pieces_on(board.board_fen()).values())
        for piece in gone.elements():
            number = sum(slot.startswith(f"tray-{arm}") for slot in trays)
            trays[f"tray-{arm}-{number}"] = piece
    found, batches = play_out(board.board_fen(), START, beside(trays), limit)
    assert found == START
    assert {arm for arm, _ in batches} == set(ARMS)


def test_pieces_in_each_others_way_step_aside() -> None:
    swapped = START.replace("RNBQKBNR", "NRBQKBRN")
    found, _ = play_out(swapped, START, beside(), 8)
    assert found == START


def test_what_is_too_many_leaves_the_board() -> None:
    found, batches = play_out(START, "4k3/8/8/8/8/8/8/4K3", beside(), 8)
    assert found == "4k3/8/8/8/8/8/8/4K3"
    assert sum(count for _, count in batches) == 30


def test_captured_pieces_come_back_before_spare_ones_are_taken() -> None:
    there = beside({"rack-white-0": "Q", "tray-black-0": "Q"})
    batch = next_batch(START.replace("Q", "1"), START, ARMS, there, 8)
    assert batch is not None
    assert (batch.arm, batch.squares) == ("black", ("d1",))


def test_sure_slots_are_taken_from_before_doubtful_ones() -> None:
    slots = (m.SlotState(slot="tray-white-0", piece="Q", doubtful=True), m.SlotState(slot="tray-black-0", piece="Q"))
    for rack in ((), (m.SlotState(slot="rack-white-0", piece="Q"),)):
        tray = slots[:1] if rack else slots
        there = Beside.of(m.ArmState(arms=(), tray=tray, rack=rack))
        batch = next_batch(START.replace("Q", "1"), START, ARMS, there, 8)
        assert batch is not None
        assert batch.arm == ("white" if rack else "black")
    assert supplies("Q", Beside.of(m.ArmState(arms=(), tray=slots[:1], rack=rack))) == ["rack-white-0", "tray-white-0"]


def test_the_missing_are_named_and_nothing_is_invented() -> None:
    without = START.replace("PPPPPPPP", "1PPPPPP1")
    assert missing(without, START, beside({"tray-white-0": "P"})) == Counter("P")
    assert missing(without, START, beside(), held=["P", "P"]) == Counter()
    assert next_batch(without, START, ARMS, beside(), 8) is None


def test_what_an_arm_has_refused_is_left_to_the_other() -> None:
    one = START.replace("PPPPPPPP", "1PPPPPPP").replace("8/8/8/8", "8/8/8/P7")
    first = next_batch(one, START, ARMS, beside(), 8)
    assert first is not None
    other = next_batch(one, START, ARMS, beside(), 8, frozenset({(first.arm, "a2")}))
    assert other is not None
    assert {first.arm, other.arm} == set(ARMS)
    assert next_batch(one, START, ARMS, beside(), 8, frozenset((arm, "a2") for arm in ARMS)) is None
