"""Stockfish as an opponent and as a judge: fixed nodes, one thread, nothing remembered from one question to the next.

Nodes instead of time, so that a busy machine does not make a weaker opponent. UCI_Elo below the engine's full strength is
drawn by the engine from its own clock: such games cannot be repeated move for move, only their openings can.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import chess
import chess.engine

from edgechess_inference.engine_adapter import EngineProcess
from edgechess_inference.errors import InferenceError
from edgechess_inference.stockfish import find_stockfish
from edgechess_training.errors import TrainingError

NODES_DEFAULT = 5_000  # some 8 ms
NODES_OF_STRONG = 25_000
STRONG_ELO = 1800  # above, Stockfish 15.1 draws its move at depth 6 and more, with four lines: 5,000 nodes end before
HASH_MIB = 1  # emptied before every move
MOVE_TIMEOUT_S = 60.0  # only a broken engine needs it
MATE_CP = 10_000


@dataclass(frozen=True, slots=True)
class EngineSource:
    """`elo` None: full strength. `nodes`: per move."""

    path: str
    elo: int | None = None
    nodes: int = NODES_DEFAULT


@dataclass(frozen=True, slots=True)
class EngineCard:
    """What an engine says of itself. The same UCI_Elo means another strength in another version."""

    name: str
    path: str
    elo_low: int | None
    elo_high: int | None


def nodes_for(elo: int | None, asked: int | None) -> int:
    """`asked`, or what this strength needs to be itself."""
    return asked or (NODES_OF_STRONG if elo is not None and elo > STRONG_ELO else NODES_DEFAULT)


def find_engine() -> str:
    """Raises TrainingError where there is none."""
    try:
        found = find_stockfish()
    except InferenceError as error:
        raise TrainingError(str(error)) from error
    if found is None:
        raise TrainingError(
            "Stockfish is not installed (Debian: apt install stockfish); EDGECHESS_STOCKFISH may name it"
        )
    return found


def card_of(path: str) -> EngineCard:
    """Starts the engine and asks. Raises TrainingError."""
    with opened(EngineSource(path)) as engine:
        span = engine.process.spin("UCI_Elo")
        low, high = (span.low, span.high) if span is not None else (None, None)
        return EngineCard(engine.process.reported_name, path, low, high)


class Engine:
    """One process; made by `opened`."""

    def __init__(self, process: EngineProcess, source: EngineSource) -> None:
        self.process = process
        self._limit = chess.engine.Limit(nodes=source.nodes)

    def move(self, board: chess.Board) -> str:
        """In UCI. Raises PlayerFailed."""
        return self.process.play(board, self._limit, timeout_s=MOVE_TIMEOUT_S, game=object())

    def centipawns(self, board: chess.Board, moves: list[chess.Move] | None = None) -> int:
        """Of the best move, or of the best of `moves`, for the side to move; mates are MATE_CP. Raises PlayerFailed."""
        return self.process.score(
            board, self._limit, timeout_s=MOVE_TIMEOUT_S, mate_cp=MATE_CP, moves=moves, game=object()
        )


@contextmanager
def opened(source: EngineSource) -> Iterator[Engine]:
    """Ends the process with the block. Raises TrainingError: it does not start, or has not this Elo."""
    process = EngineProcess("Stockfish")
    try:
        process.open([source.path])
        options: dict[str, str | int | bool] = {"Threads": 1, "Hash": HASH_MIB}
        if source.elo is not None:
            _check_elo(process, source.elo)
            options |= {"UCI_LimitStrength": True, "UCI_Elo": source.elo}
        process.configure(options)
        yield Engine(process, source)
    except InferenceError as error:
        raise TrainingError(str(error)) from error
    finally:
        process.close()


def _check_elo(process: EngineProcess, elo: int) -> None:
    span = process.spin("UCI_Elo")
    if span is None:
        raise TrainingError(f"{process.reported_name} has no UCI_Elo: give it nodes instead (stockfish:nodes=1000)")
    if not span.low <= elo <= span.high:
        raise TrainingError(f"{process.reported_name} plays UCI_Elo {span.low} to {span.high}, not {elo}")
