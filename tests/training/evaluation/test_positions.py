"""Puzzles, held-out positions, reliability, the engine's judgement: counted as they should be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import chess
import numpy as np
import pytest
import zstandard

from edgechess_inference.policy.encoding import encode
from edgechess_inference.policy.moves import MOVES, legal_indices
from edgechess_training.dataset.bitboards import keys
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation import heldout, judged, puzzles, reliability
from edgechess_training.evaluation.network import NetworkSource
from edgechess_training.evaluation.sides import Chosen
from edgechess_training.positions import UNKNOWN_OUTCOME

SOURCE = NetworkSource("nowhere.json")
BACK_RANK = "6k1/5ppp/8/8/8/8/r4PPP/1R4K1 b - - 0 1"  # Black errs, then two moves of White mate
HEADER = "PuzzleId,FEN,Moves,Rating,Source\n"

# ---------------------------------------------------------------- puzzles


def solve(monkeypatch: pytest.MonkeyPatch, line: str, answers: Sequence[str], rating: int = 1250) -> list[int]:
    given = iter(answers)
    monkeypatch.setattr(puzzles, "network_of", lambda source: None)
    monkeypatch.setattr(
        puzzles, "choose_moves", lambda network, choice, boards: [Chosen(next(given), raw_legal=True) for _ in boards]
    )
    [row] = puzzles.PuzzleWork((puzzles.Puzzle(BACK_RANK, tuple(line.split()), rating),), SOURCE, "pure").run()
    return row


def test_the_first_move_and_the_whole_line(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "a2b2 b1c1 b2c2 c1b1"
    assert solve(monkeypatch, line, ["b1c1", "c1b1"]) == [1250, 1, 1, 1]
    assert solve(monkeypatch, line, ["b1c1", "c1a1"]) == [1250, 1, 0, 1]
    assert solve(monkeypatch, line, ["b1a1"]) == [1250, 0, 0, 1]


def test_another_mate_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    assert solve(monkeypatch, "a2a7 b1c1 a7b7 c1a1", ["b1b8"]) == [1250, 1, 1, 1]


def test_puzzles_are_drawn_by_source_and_seed(tmp_path: Path) -> None:
    rows = [f"{number},{BACK_RANK},a2a7 b1b8,{900 + number},{'x' if number % 2 else 'y'}" for number in range(20)]
    path = tmp_path / "puzzles.csv.zst"
    path.write_bytes(zstandard.compress((HEADER + "\n".join(rows)).encode()))
    drawn = puzzles.read_puzzles(path, "x", 5, seed=1)
    assert drawn == puzzles.read_puzzles(path, "x", 8, seed=1)[:5]
    assert {puzzle.rating % 2 for puzzle in drawn} == {1}
    assert len(puzzles.read_puzzles(path, None, 100, seed=1)) == 20
    with pytest.raises(TrainingError, match="none with Source=z; --puzzle-source all takes every one"):
        puzzles.read_puzzles(path, "z", 5, seed=1)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TrainingError, match="need the columns FEN, Moves, Rating"):
        puzzles.read_puzzles(tmp_path / "bad.csv", None, 5, seed=1)


def test_figures_by_rating() -> None:
    found = puzzles.figures_of({500: [[1199, 1, 1, 1], [1200, 1, 0, 1]], 502: [[1399, 0, 0, 0], [1400, 1, 1, 1]]})
    assert (found.count, found.first.value, found.whole.value, found.legal.value) == (4, 0.75, 0.5, 0.75)
    assert [(band.low, band.count, band.whole.value) for band in found.bands] == [
        (1000, 1, 1),
        (1200, 2, 0),
        (1400, 1, 1),
    ]


# ---------------------------------------------------------------- held-out positions


def test_a_position_is_known_again_whatever_its_clock() -> None:
    boards = [chess.Board(), chess.Board("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 7 9")]
    boards += [chess.Board("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQk - 0 1")]
    same, again, other = keys(np.frombuffer(b"".join(map(encode, boards)), np.uint8).reshape(-1, 33))
    assert same == again
    assert same != other


def test_what_was_trained_on_is_known(dataset: Path) -> None:
    sample = heldout.draw_sample(dataset, 1000, seed=1)
    assert len(sample.rows) == 32
    assert sample.seen == (True,) * 16 + (True,) * 5 + (False,) * 11  # the Scotch leaves the Italian at its third move
    assert heldout.draw_sample(dataset, 3, seed=1, compare=False).seen is None


def test_the_phases() -> None:
    fens = [
        chess.STARTING_FEN,
        chess.STARTING_FEN,
        "r2rk3/8/8/8/8/8/8/R2QKBNR w KQd - 0 1",
        "4k3/8/8/8/8/8/8/RN1QK2R w KQ - 0 1",
    ]
    records = b"".join(encode(chess.Board(fen.replace(" KQd ", " KQ "))) for fen in fens)
    rows = np.frombuffer(records, np.uint8).reshape(-1, 33)
    # a rook that may castle is a piece like any other: 7 and 4 pieces
    assert heldout.phases_of(rows, np.array([3, 20, 3, 3])).tolist() == [0, 1, 0, 2]


def test_a_move_s_place_among_the_legal_ones() -> None:
    board = chess.Board()
    legal = {move.uci(): number for number, move in legal_indices(board).items()}
    logits = np.full(MOVES, -5.0, np.float32)
    logits[[legal["e2e4"], legal["d2d4"], legal["g1f3"]]] = (3.0, 2.0, 1.0)
    logits[63] = 9.0  # a1h8 is not legal
    record = np.frombuffer(encode(board), np.uint8)
    second = heldout.judged_move(logits, legal["d2d4"], record)
    total = sum(math.exp(x) for x in (3.0, 2.0, 1.0)) + 17 * math.exp(-5.0)
    assert second == {
        "count": 1,
        "top1": 0,
        "top3": 1,
        "raw": 0,
        "loss": pytest.approx(math.log(total) - 2.0, rel=1e-5),
    }
    logits[63] = 0.0
    assert heldout.judged_move(logits, legal["e2e4"], record) | {"loss": 0} == {
        "count": 1, "top1": 1, "top3": 1, "raw": 1, "loss": 0,
    }  # fmt: skip
    with pytest.raises(TrainingError, match="not legal in its position"):
        heldout.judged_move(logits, 63, record)


def test_sums_become_shares() -> None:
    one = {"count": 4, "top1": 1, "top3": 2, "raw": 4, "loss": 8.0}
    two = {"count": 4, "top1": 3, "top3": 4, "raw": 3, "loss": 4.0}
    values = {
        0: {"match": {"all": one, "opening": one}, "outlook": {}},
        1: {"match": {"all": two, "endgame": two, "unseen": two}, "outlook": {}},
    }
    found = heldout.figures_of(values)
    assert [group.group for group in found.groups] == ["all", "unseen", "opening", "endgame"]
    whole = found.groups[0]
    assert (whole.count, whole.top1.value, whole.top3.value, whole.raw_legal.value, whole.loss) == (
        8,
        0.5,
        0.75,
        0.875,
        1.5,
    )
    assert found.outlook is None


def test_the_whole_section_on_a_real_network(tiny: Path, dataset: Path) -> None:
    sample = heldout.draw_sample(dataset, 1000, seed=1)
    [task] = heldout.tasks_of("heldout", dataset, sample, NetworkSource(str(tiny)))
    found = heldout.figures_of({0: task.work.run()})
    assert {group.group: group.count for group in found.groups} == {"all": 32, "unseen": 11, "opening": 32}
    assert found.outlook is not None
    assert found.outlook.count == 32
    assert found.outlook.brier_outcomes is not None


# ---------------------------------------------------------------- reliability and judgement


def test_reliability_by_hand() -> None:
    said, came = np.array([0.05, 0.15, 0.95, 1.0]), np.array([0.0, 1.0, 1.0, 0.5])
    outlooks = np.array([[0, 0.1, 0.9], [0.1, 0.1, 0.8], [0.9, 0.1, 0], [1, 0, 0]])
    found = reliability.figures_of(reliability.sums_of(said, came, outlooks))
    assert found is not None
    assert [(one.count, one.said, one.came) for one in found.bins] == [
        (1, 0.05, 0.0), (1, 0.15, 1.0), (2, pytest.approx(0.975), 0.75),
    ]  # fmt: skip
    assert found.brier == pytest.approx((0.0025 + 0.7225 + 0.0025 + 0.25) / 4)
    assert found.brier_flat == pytest.approx(0.171875)  # the variance of 0, 1, 1, ½
    assert found.error == pytest.approx((0.05 + 0.85 + 2 * 0.225) / 4)
    assert found.brier_outcomes == pytest.approx((0.02 + 1.46 + 0.02 + 2.0) / 4)
    assert reliability.figures_of({}) is None


def test_unknown_outcomes_are_left_out() -> None:
    outlooks = np.array([[1, 0, 0], [0, 0, 1]], np.float32)
    assert heldout._outlook(np.array([UNKNOWN_OUTCOME, 0]), outlooks)["count"] == 1
    assert heldout._outlook(np.array([UNKNOWN_OUTCOME] * 2), outlooks) == {}


@pytest.mark.parametrize(
    ("best", "found", "loss"), [(50, 20, 30), (20, 50, 0), (9990, 1200, 0), (9990, 300, 700), (300, -9995, 1000)]
)
def test_a_loss_between_two_wins_is_none(best: int, found: int, loss: int) -> None:
    assert judged._loss(best, found) == loss


def test_evaluations_are_white_s(tmp_path: Path, tiny: Path) -> None:
    path = tmp_path / "evals.tsv"
    path.write_text(
        "4k3/8/8/8/8/8/8/3QK3 w - - 0 1\t+900\n4k3/8/8/8/8/8/8/3QK3 b - -\t#3\n3qk3/8/8/8/8/8/8/4K3 w - - 0 1\t#-3\n"
    )
    rows = judged.read_evals(path, 10, seed=1)
    assert sorted(centipawns for _, centipawns in rows) == [-10_000, 900, 10_000]
    [task] = judged.eval_tasks("evals", rows, NetworkSource(str(tiny)))
    total = task.work.run()
    # who is to move is winning, lost, lost
    assert sum(total["reliability"]["came"]) == pytest.approx(judged.points_of(900), abs=1e-4)
    found = judged.eval_figures(total)
    assert found is not None
    assert -1 <= found.correlation <= 1
    path.write_text("nonsense\n")
    with pytest.raises(TrainingError, match="lines are FEN TAB CENTIPAWNS"):
        judged.read_evals(path, 10, seed=1)


def test_a_perfect_outlook_correlates_wholly() -> None:
    points = np.array([0.1, 0.4, 0.9])
    moments = {"said_squares": points @ points, "products": points @ points, "points_squares": points @ points}
    found = judged.eval_figures({"reliability": reliability.sums_of(points, points), "moments": moments})
    assert found is not None
    assert found.correlation == pytest.approx(1.0)
