"""A network of a few thousand random numbers, packed, and a small dataset."""

from __future__ import annotations

from pathlib import Path

import chess
import numpy as np
import pytest

from edgechess_inference.policy.architecture import Architecture, weights_of
from edgechess_inference.policy.checkpoint import pack_policy
from edgechess_inference.policy.encoding import encode
from edgechess_inference.policy.moves import index_of
from edgechess_training.positions import POSITION

TINY = Architecture(trunk="residual", width=12, blocks=1, squeeze=4, policy_width=8, value_width=6)
ITALIAN = "e4 e5 Nf3 Nc6 Bc4 Bc5 c3 Nf6 d3 d6 O-O O-O Re1 a6 Bb3 Ba7"
SCOTCH = "e4 e5 Nf3 Nc6 d4 exd4 Nxd4 Nf6 Nxc6 bxc6 e5 Qe7 Qe2 Nd5 c4 Ba6"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    address = tmp_path_factory.mktemp("model") / "tiny.json"
    draw = np.random.default_rng(7)
    weights = {
        name: (draw.normal(size=shape) * 0.4 + (1.0 if "norm" in name else 0.0)).astype(np.float32)
        for name, shape in weights_of(TINY).items()
    }
    pack_policy(address, TINY, weights, licence="MIT")
    return address


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of 42 endings that are drawn by the clock after three plies."""
    path = tmp_path_factory.mktemp("book") / "short.epd"
    lines = []
    for rank in range(2, 8):
        for file in range(7):
            board = chess.Board(None)
            board.set_piece_map({chess.A1: chess.Piece.from_symbol("K"), chess.H1: chess.Piece.from_symbol("R")})
            board.set_piece_at(chess.square(file, rank), chess.Piece.from_symbol("k"))
            lines.append(f"{board.epd()} hmvc 97;")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on the Italian, evaluated on both: the Scotch shares its first four plies."""
    folder = tmp_path_factory.mktemp("dataset")
    np.save(folder / "train.npy", rows_of(ITALIAN, game=0, outcome_white=2))
    both = [rows_of(ITALIAN, game=1, outcome_white=1), rows_of(SCOTCH, game=2, outcome_white=0)]
    np.save(folder / "evaluation.npy", np.concatenate(both))
    return folder


def rows_of(line: str, *, game: int, outcome_white: int) -> np.ndarray:
    """One row per move."""
    board, rows = chess.Board(), []
    for ply, token in enumerate(line.split()):
        move = board.parse_san(token)
        outcome = outcome_white if board.turn == chess.WHITE else 2 - outcome_white
        record = np.frombuffer(encode(board), np.uint8)
        rows.append((record, index_of(move, board.turn), outcome, game, ply, 0))
        board.push(move)
    return np.array(rows, POSITION)
