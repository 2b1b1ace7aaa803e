"""Small datasets of real positions, and a network of a few thousand weights."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import chess
import numpy as np
import pytest

from edgechess_inference.policy.architecture import Architecture
from edgechess_inference.policy.encoding import encode
from edgechess_inference.policy.moves import index_of
from edgechess_training.positions import EVALUATION_FILE, POSITION, TRAIN_FILE, Positions

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

TOY = Architecture(trunk="residual", width=12, blocks=2, squeeze=6, policy_width=8, value_width=8)


def walk(count: int, seed: int) -> Positions:
    """Positions of random games, in each the move that comes first by its name."""
    rng, found, board = random.Random(seed), np.zeros(count, POSITION), chess.Board()
    for number in range(count):
        while board.is_game_over() or board.fullmove_number > 60:
            board.reset()
        moves = sorted(board.legal_moves, key=chess.Move.uci)
        row = found[number]
        row["record"] = np.frombuffer(encode(board), np.uint8)
        row["move"], row["outcome"], row["ply"] = index_of(moves[0], board.turn), number % 4, board.ply()
        board.push(rng.choice(moves))
    return found


@pytest.fixture
def toy() -> Architecture:
    return TOY


@pytest.fixture
def positions() -> Callable[[int, int], Positions]:
    return walk


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """48 positions to learn, 16 of them to score on."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    rows = walk(48, 1)
    np.save(folder / TRAIN_FILE, rows)
    np.save(folder / EVALUATION_FILE, rows[:16])
    return folder
