"""The reference demo's own test: Stockfish begins, the model gets five tries per move without a mask, legal proposals are counted.

As in the notebook of the AWS sample: the engine plays White at UCI_Elo 1350, the game stops at 50 plies, and where all tries
fail the engine moves instead. A try of a network is its next best move among all 4,162, legal or not; a text model's tries
are its ladder's, with the ladder's own engine behind them. The notebook plays one
game from the start; here every game has an opening of its own, so that they differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import chess

from edgechess_inference.errors import InferenceError
from edgechess_inference.policy.moves import move_at
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.engine import Engine, EngineSource, opened
from edgechess_training.evaluation.games import Tally, ending
from edgechess_training.evaluation.network import Network, NetworkSource, network_of
from edgechess_training.evaluation.openings import Opening
from edgechess_training.evaluation.sides import PlayerSide, Side, side_of
from edgechess_training.evaluation.statistics import Interval, share
from edgechess_training.evaluation.sums import Sums, added
from edgechess_training.evaluation.work import Task, portions

PLIES = 50
TRIES = 5
GAMES_PER_TASK = 10


@dataclass(frozen=True, slots=True)
class RetriesWork:
    """Some games. Gives sums over all moves of the model."""

    openings: tuple[Opening, ...]
    source: NetworkSource | PlayerSide
    engine: EngineSource

    def run(self) -> Sums:
        if isinstance(self.source, PlayerSide):
            return anyio.run(_laddered_games, self.openings, self.source, self.engine)
        network = network_of(self.source)
        with opened(self.engine) as engine:
            try:
                return added(_game(opening, network, engine) for opening in self.openings)
            except InferenceError as error:
                raise TrainingError(str(error)) from error


def _game(opening: Opening, network: Network, engine: Engine) -> Sums:
    board = opening.board()
    moves = []
    plies = 0
    while plies < PLIES and ending(board) is None:
        if board.turn == chess.WHITE:
            board.push_uci(engine.move(board))
        else:
            tries = _tries(board, network)
            moves.append((len(tries), tries[-1] in board.legal_moves))
            board.push(tries[-1] if moves[-1][1] else chess.Move.from_uci(engine.move(board)))
        plies += 1
    return {"games": 1, "moves": len(moves), **_counted(moves, board)}


async def _laddered_games(openings: Sequence[Opening], source: PlayerSide, engine: EngineSource) -> Sums:
    with opened(engine) as white:
        async with side_of(source) as black:
            return added([await _laddered_game(opening, black, white) for opening in openings])


async def _laddered_game(opening: Opening, side: Side, engine: Engine) -> Sums:
    board, tally = opening.board(), Tally()
    for _ in range(PLIES):
        if ending(board) is not None:
            break
        if board.turn == chess.WHITE:
            board.push_uci(engine.move(board))
        else:
            [chosen] = await side.choose([board])
            tally = tally.with_move(chosen)
            board.push_uci(chosen.uci)
    return {
        "games": 1,
        "moves": tally.moves,
        "proposals": tally.attempts,
        "legal": tally.moves - tally.fallbacks,
        "first": tally.first_legal,
        **_ended(board),
    }


def _tries(board: chess.Board, network: Network) -> list[chess.Move]:
    """Up to the first legal one."""
    logits = network.evaluate([board])[0][0]
    found = []
    for number in (-logits).argsort()[:TRIES].tolist():
        found.append(move_at(number, board))
        if found[-1] in board.legal_moves:
            break
    return found


def _counted(moves: Sequence[tuple[int, bool]], board: chess.Board) -> Sums:
    return {
        "proposals": sum(tries for tries, _ in moves),
        "legal": sum(legal for _, legal in moves),
        "first": sum(tries == 1 and legal for tries, legal in moves),
        **_ended(board),
    }


def _ended(board: chess.Board) -> Sums:
    how = ending(board)
    return {
        "lost": int(how == "checkmate" and board.turn == chess.BLACK),
        "won": int(how == "checkmate" and board.turn == chess.WHITE),
    }


def tasks_of(
    section: str, openings: Sequence[Opening], source: NetworkSource | PlayerSide, engine: EngineSource
) -> Iterator[Task]:
    return portions(section, openings, GAMES_PER_TASK, lambda some: RetriesWork(some, source, engine))


@dataclass(frozen=True, slots=True)
class RetriesFigures:
    """`first`: moves whose first try was legal. `legal` of `proposals` tries were; where none of five was, the engine moved."""

    games: int
    moves: int
    proposals: int
    legal: int
    first: Interval
    won: int
    lost: int


def figures_of(values: Mapping[int, Any]) -> RetriesFigures | None:
    sums = added(values.values())
    if not sums:
        return None
    first = share(sums["first"], sums["moves"])
    return RetriesFigures(
        sums["games"], sums["moves"], sums["proposals"], sums["legal"], first, sums["won"], sums["lost"]
    )
