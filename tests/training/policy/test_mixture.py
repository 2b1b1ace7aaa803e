"""Batches: shares, order, mirrors, and what an engine thinks of positions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import chess
import numpy as np
import pytest

from edgechess_inference.policy.encoding import decode, encode
from edgechess_inference.policy.moves import index_of, legal_indices
from edgechess_training.errors import TrainingError
from edgechess_training.policy.mixture import MIRRORED_MOVES, Mixture, Source, batch_of, open_sources, outlooks_of
from edgechess_training.positions import POSITION, TRAIN_FILE, Positions, outlooks_path

Walk = Callable[[int, int], Positions]


def numbered(count: int, first: int = 0) -> Positions:
    """Positions that differ in their clock and move only."""
    rows = np.zeros(count, POSITION)
    rows["move"] = np.arange(first, first + count)
    return rows


def test_each_position_once_per_pass_and_in_another_order_each_pass() -> None:
    mixture = Mixture([Source("a", 1.0, numbered(10))], seed=1, mirror=False)
    seen = np.concatenate([mixture.batch(step, 4).moves for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert list(seen[:10]) != list(seen[10:])


def test_a_mixture_that_goes_on_draws_what_it_would_have_drawn() -> None:
    sources = [Source("a", 0.7, numbered(50)), Source("b", 0.3, numbered(7, 100))]
    whole, first = Mixture(sources, seed=3), Mixture(sources, seed=3)
    expected = [whole.batch(step, 16).moves.tolist() for step in range(6)]
    found = [first.batch(step, 16).moves.tolist() for step in range(3)]
    second = Mixture(sources, seed=3, drawn=dict(first.drawn))
    found += [second.batch(step, 16).moves.tolist() for step in range(3, 6)]
    assert found == expected


def test_shares_are_kept() -> None:
    sources = [Source("a", 0.7, numbered(1000)), Source("b", 0.2, numbered(10)), Source("c", 0.1, numbered(10))]
    mixture = Mixture(sources, seed=1)
    for step in range(100):
        assert len(mixture.batch(step, 100)) == 100
    assert sum(mixture.drawn.values()) == 10_000
    for name, share in (("a", 7000), ("b", 2000), ("c", 1000)):
        assert abs(mixture.drawn[name] - share) < 200


def test_another_seed_is_another_order() -> None:
    one, two = (Mixture([Source("a", 1.0, numbered(100))], seed=seed, mirror=False) for seed in (1, 2))
    assert one.batch(0, 20).moves.tolist() != two.batch(0, 20).moves.tolist()


def test_a_mirrored_move_is_the_move_in_a_mirror() -> None:
    board = chess.Board("8/2P3k1/8/8/1n1pP3/8/5K2/R7 w - - 0 1")
    twin = board.transform(chess.flip_horizontal)
    of_twin = legal_indices(twin)
    assert {int(MIRRORED_MOVES[number]) for number in legal_indices(board)} == set(of_twin)
    knight = index_of(chess.Move.from_uci("c7c8n"), chess.WHITE)
    assert of_twin[int(MIRRORED_MOVES[knight])] == chess.Move.from_uci("f7f8n")


def test_positions_are_mirrored_unless_somebody_may_castle() -> None:
    boards = [chess.Board(), chess.Board("8/2P3k1/8/8/1n2P3/8/5K2/R7 w - - 0 1")]
    rows = np.zeros(2, POSITION)
    for row, board, move in zip(rows, boards, ("e2e4", "a1a8"), strict=True):
        row["record"], row["move"] = np.frombuffer(encode(board), np.uint8), index_of(chess.Move.from_uci(move), True)
    batch = batch_of(rows, outlooks_of(rows), mirrored=np.array([True, True]))
    plain = batch_of(rows, outlooks_of(rows))
    assert (batch.tokens[0] == plain.tokens[0]).all()
    assert batch.moves[0] == plain.moves[0]
    twin = boards[1].transform(chess.flip_horizontal)
    assert batch.tokens[1].tolist() == _tokens(twin)
    assert batch.moves[1] == index_of(chess.Move.from_uci("h1h8"), chess.WHITE)


def _tokens(board: chess.Board) -> list[int]:
    record = encode(board)
    assert decode(record).board_fen() == board.board_fen()
    return [record[square // 2] >> 4 * (square % 2) & 15 for square in chess.SQUARES]


def test_outcomes_become_win_draw_loss_or_nothing() -> None:
    rows = numbered(4)
    rows["outcome"] = [0, 1, 2, 3]
    assert outlooks_of(rows).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_an_engines_outlook_goes_before_the_outcome(tmp_path: Path) -> None:
    np.save(tmp_path / TRAIN_FILE, numbered(2))
    np.save(outlooks_path(tmp_path / TRAIN_FILE), np.array([[700, 200, 100]] * 2, np.uint16))
    batch = Mixture(open_sources(str(tmp_path)), seed=1).batch(0, 2)
    assert np.allclose(batch.outlooks, [[0.7, 0.2, 0.1]] * 2)


def test_outlooks_of_another_length_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / TRAIN_FILE, numbered(2))
    np.save(outlooks_path(tmp_path / TRAIN_FILE), np.zeros((1, 3), np.uint16))
    with pytest.raises(TrainingError, match=r"train-wdl.npy does not belong to train.npy"):
        open_sources(str(tmp_path))


@pytest.mark.parametrize("share", [1.0, 1.5, 0.0, -0.1])
def test_shares_leave_something(tmp_path: Path, share: float) -> None:
    with pytest.raises(TrainingError, match="leave something"):
        open_sources(str(tmp_path), [("other", share)])


def test_what_is_no_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="edgechess dataset build"):
        open_sources(str(tmp_path))
    np.save(tmp_path / TRAIN_FILE, np.zeros(3))
    with pytest.raises(TrainingError, match="no positions of"):
        open_sources(str(tmp_path))
    (tmp_path / TRAIN_FILE).write_bytes(b"rubbish")
    with pytest.raises(TrainingError, match="cannot be read"):
        open_sources(str(tmp_path))


def test_a_dataset_is_given_once(tmp_path: Path, positions: Walk) -> None:
    np.save(tmp_path / TRAIN_FILE, positions(4, 1))
    with pytest.raises(TrainingError, match="given twice"):
        open_sources(str(tmp_path), [(str(tmp_path), 0.5)])
