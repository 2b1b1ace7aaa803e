"""Puzzles as positions; those that evaluation counts never get in."""

from __future__ import annotations

from pathlib import Path

import chess
import numpy as np
import pytest
import zstandard

from edgechess_inference.policy.encoding import decode, encode
from edgechess_inference.policy.moves import move_at
from edgechess_training.dataset.errors import DatasetError
from edgechess_training.dataset.puzzles import PuzzleOptions, build_puzzles

HEADER = "PuzzleId,FEN,Moves,Rating,RatingDeviation,NbPlays,Themes,Source\n"
MATE = "a,6k1/p3qppp/1p2p3/1N6/P1r1n3/3QP1P1/5PKP/R7 b - - 1 24,e7b7 d3d8,399,,,mate,mine\n"
LONG = "b,2rr2k1/Q4ppp/1p2p3/8/2Pq4/8/P4PPP/1R3RK1 w - - 0 20,f1d1 d4d1 b1d1 d8d1,700,,,,other\n"
SAME_ELSEWHERE = LONG.replace("b,", "c,", 1).replace(",other", ",jorgenwh/alpha-nonzero")
DRAWN = "d,8/8/8/8/8/5k2/5p2/5K2 w - - 0 1,f1g1 f2f1q,900,,,equality,mine\n"
WRONG = "e,8/8/8/8/8/5k2/5p2/5K2 b - - 0 1,f1g1 f2f1q,900,,,,mine\n"
OPTIONS = PuzzleOptions(fraction=0.0)


def table(folder: Path, *rows: str) -> Path:
    path = folder / "puzzles.csv"
    path.write_text(HEADER + "".join(rows))
    return path


def test_the_solver_s_moves_and_nobody_else_s(tmp_path: Path) -> None:
    summary = build_puzzles(table(tmp_path, MATE, LONG, WRONG), tmp_path / "out", OPTIONS)
    train = np.load(tmp_path / "out" / "train.npy")
    board = chess.Board("6k1/p3qppp/1p2p3/1N6/P1r1n3/3QP1P1/5PKP/R7 b - - 1 24")
    board.push_uci("e7b7")
    assert train[0]["record"].tobytes() == encode(board)
    assert move_at(int(train[0]["move"]), board) == chess.Move.from_uci("d3d8")
    assert train["elo"].tolist() == [399, 700, 700]
    assert train["outcome"].tolist() == [2, 3, 3]
    assert train["ply"].tolist() == [1, 1, 3]
    assert summary.counts["puzzles_malformed"] == 1
    assert summary.malformed[0].startswith("puzzles.csv:4: ")
    assert decode(train[1]["record"].tobytes()).is_valid()


def test_held_out_puzzles_and_their_positions_stay_away(tmp_path: Path) -> None:
    path = table(tmp_path, MATE, LONG, SAME_ELSEWHERE)
    summary = build_puzzles(path, tmp_path / "out", OPTIONS)
    assert np.load(tmp_path / "out" / "train.npy")["elo"].tolist() == [399]
    assert summary.counts["puzzles_held_out_by_source"] == 1
    assert summary.counts["positions_that_held_out_puzzles_have_too"] == 2
    whole = build_puzzles(path, tmp_path / "whole", PuzzleOptions(fraction=0.0, without_sources=()))
    assert whole.counts["train_positions"] == 3


def test_a_theme_of_equality_is_a_draw(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no position is left of 1 puzzles"):
        build_puzzles(table(tmp_path, DRAWN), tmp_path / "out", OPTIONS)  # Kg1 is no move there
    row = DRAWN.replace("5K2 w", "7K w").replace("f1g1 f2f1q", "h1h2 f2f1q")
    build_puzzles(table(tmp_path, row), tmp_path / "out", OPTIONS)
    assert np.load(tmp_path / "out" / "train.npy")["outcome"].tolist() == [1]


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.zst"
    path.write_bytes(zstandard.compress((HEADER + MATE * 1000).encode())[:-20])
    with pytest.raises(DatasetError, match=r"x\.csv\.zst: zstd cannot unpack it"):
        build_puzzles(path, tmp_path / "out", OPTIONS)
    path = tmp_path / "y.csv"
    path.write_text(HEADER + f'a,"{"x" * 200_000}"\n')
    with pytest.raises(DatasetError, match=r"y\.csv: no table of puzzles: field larger"):
        build_puzzles(path, tmp_path / "out", OPTIONS)


def test_who_was_stopped_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out, save = table(tmp_path, MATE, LONG), tmp_path / "out", np.save

    def stopped(path: Path, array: np.ndarray) -> None:
        if path.name == "train.npy":
            raise KeyboardInterrupt
        save(path, array)

    monkeypatch.setattr(np, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        build_puzzles(path, out, OPTIONS)
    assert [left.name for left in out.iterdir()] == [".building"]
    monkeypatch.undo()
    build_puzzles(path, out, OPTIONS)
    assert len(np.load(out / "train.npy")) == 3
    assert not (out / ".building").exists()


def test_what_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="no columns FEN and Moves"):
        build_puzzles(path, tmp_path / "out", OPTIONS)
    with pytest.raises(DatasetError, match="is not empty"):
        build_puzzles(path, tmp_path, OPTIONS)
