"""What an engine thinks: of the moves a network chooses (centipawn loss), and of positions (its outlook against the engine's)."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chess
import numpy as np
import zstandard

from edgechess_inference.errors import InferenceError
from edgechess_inference.policy.encoding import decode
from edgechess_training.compressed import unpacked
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation import reliability
from edgechess_training.evaluation.engine import EngineSource, opened
from edgechess_training.evaluation.network import NetworkSource, network_of, scores
from edgechess_training.evaluation.sides import Choice, choose_moves
from edgechess_training.evaluation.statistics import Interval, mean_of
from edgechess_training.evaluation.sums import Sums
from edgechess_training.evaluation.work import Task, portions
from edgechess_training.positions import EVALUATION_FILE, open_positions

JUDGED_PER_TASK = 100
LOSS_MAX_CP = 1000  # a mate missed in a won game is one blunder, not a hundred
BLUNDER_CP = 200
EVALS_PER_TASK = 2000
POINTS_PER_CP = 0.00368208  # Lichess's logistic of winning chances
MATE_CP = 10_000


@dataclass(frozen=True, slots=True)
class CentipawnWork:
    """Some rows of an evaluation file. Gives the loss of each, in centipawns."""

    folder: str
    rows: tuple[int, ...]
    source: NetworkSource
    choice: Choice
    engine: EngineSource

    def run(self) -> list[int]:
        found = open_positions(Path(self.folder) / EVALUATION_FILE)[list(self.rows)]
        boards = [decode(record.tobytes()) for record in found["record"]]
        chosen = choose_moves(network_of(self.source), self.choice, boards)
        with opened(self.engine) as engine:
            try:
                return [
                    _loss(engine.centipawns(board), engine.centipawns(board, [chess.Move.from_uci(move.uci)]))
                    for board, move in zip(boards, chosen, strict=True)
                ]
            except InferenceError as error:
                raise TrainingError(str(error)) from error


def _loss(best: int, found: int) -> int:
    """Both are cut first: between two ways to win there is no loss. A move that looks better than the best loses nothing."""
    limited = [max(-LOSS_MAX_CP, min(LOSS_MAX_CP, score)) for score in (best, found)]
    return min(LOSS_MAX_CP, max(0, limited[0] - limited[1]))


def centipawn_tasks(
    section: str, folder: Path, rows: Sequence[int], source: NetworkSource, choice: Choice, engine: EngineSource
) -> Iterator[Task]:
    for start in range(0, len(rows), JUDGED_PER_TASK):
        some = tuple(rows[start : start + JUDGED_PER_TASK])
        yield Task(section, start, CentipawnWork(str(folder), some, source, choice, engine))


@dataclass(frozen=True, slots=True)
class CentipawnFigures:
    """`loss`: mean, in centipawns. `median`; `blunders`: share that loses BLUNDER_CP or more."""

    count: int
    loss: Interval
    median: float
    blunders: float


def centipawn_figures(values: Mapping[int, Any]) -> CentipawnFigures:
    losses = sorted(loss for value in values.values() for loss in value)
    blunders = sum(loss >= BLUNDER_CP for loss in losses) / max(1, len(losses))
    return CentipawnFigures(len(losses), mean_of(losses), float(np.median(losses)) if losses else 0.0, blunders)


# ---------------------------------------------------------------- outlook against the engine's


@dataclass(frozen=True, slots=True)
class EvalWork:
    """Positions with the engine's centipawns for White. Gives sums of reliability, and of the correlation."""

    positions: tuple[tuple[str, int], ...]
    source: NetworkSource

    def run(self) -> Sums:
        boards = [_board(fen) for fen, _ in self.positions]
        said = scores(network_of(self.source).evaluate(boards)[1]).astype(float)
        signs = np.array([1 if board.turn == chess.WHITE else -1 for board in boards])
        points = points_of(signs * np.array([centipawns for _, centipawns in self.positions]))
        products = {"said_squares": said @ said, "products": said @ points, "points_squares": points @ points}
        moments = {name: float(value) for name, value in products.items()}
        return {"reliability": reliability.sums_of(said, points), "moments": moments}


def points_of(centipawns: Any) -> Any:
    """Expected points that centipawns mean, for the same side."""
    return 1 / (1 + np.exp(-POINTS_PER_CP * np.clip(centipawns, -5000, 5000)))


@dataclass(frozen=True, slots=True)
class EvalFigures:
    """`correlation`: of expected points, the network's and the engine's."""

    reliability: reliability.Reliability
    correlation: float


def eval_figures(total: Sums) -> EvalFigures | None:
    found = reliability.figures_of(total.get("reliability", {}))
    if found is None:
        return None
    sums, moments, n = total["reliability"], total["moments"], found.count
    said, came = sum(sums["said"]), sum(sums["came"])
    covariance = moments["products"] - said * came / n
    spreads = (moments["said_squares"] - said**2 / n) * (moments["points_squares"] - came**2 / n)
    correlation = covariance / math.sqrt(spreads) if spreads > 0 else 0.0
    return EvalFigures(found, max(-1.0, min(1.0, correlation)))  # rounding may have gone beyond


def read_evals(path: Path, count: int, seed: int) -> list[tuple[str, int]]:
    """`count` lines by seed of FEN TAB centipawns for White ("+36", "#-3" is mate). Raises TrainingError."""
    try:
        with path.open("rb") as file:
            packed = path.suffix == ".zst"
            stream: Any = unpacked(file) if packed else file
            lines = io.TextIOWrapper(stream, "utf-8").read().splitlines()
    except (OSError, UnicodeDecodeError, zstandard.ZstdError) as error:
        raise TrainingError(f"the evaluations {path} cannot be read: {error}") from error
    random.Random(seed).shuffle(lines)
    try:
        return [(fen, _centipawns(text)) for fen, text in (line.split("\t") for line in lines[:count])]
    except ValueError as error:
        raise TrainingError(f"the evaluations {path}: {error}; lines are FEN TAB CENTIPAWNS") from error


def _centipawns(text: str) -> int:
    if text.startswith("#"):
        return -MATE_CP if text.startswith("#-") else MATE_CP
    return int(text)


def _board(fen: str) -> chess.Board:
    try:
        return chess.Board(fen)
    except ValueError as error:
        raise TrainingError(f"the evaluations hold {fen!r}: {error}") from error


def eval_tasks(section: str, positions: Sequence[tuple[str, int]], source: NetworkSource) -> Iterator[Task]:
    return portions(section, positions, EVALS_PER_TASK, lambda some: EvalWork(some, source))
