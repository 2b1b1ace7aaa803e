"""One ply of lookahead over a policy network: every legal move is made, and the network's outlook there weighed with its liking.

What the rules know is not asked: mate is played at once; stalemate, dead material, a position seen before and the
fiftieth move are worth half a point, so that whoever is ahead avoids them and whoever is behind seeks them.

    tree = branches(board, ranking.moves)
    scores = ...                       # expected points of the side to move in each of `asked(tree)`, 0 to 1
    move = preferred(tree, scores).uci

Pure: no clock, no I/O, no model. The weighing is the answer to "which move has most expected points, if straying from the
policy costs TEMPER points for each unit of log probability": a value head that has seen only games' results is noisy,
and a move that no master ever plays has to look much better to be played.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import chess

from edgechess_inference.move_model import MoveChance

TEMPER = 0.1  # points per unit of log probability
DRAW = 0.5
MATE = 1.0
LEAST_PROBABILITY = 1e-9  # of what rounding made nothing
CLOCK_OF_DRAW = 100  # halfmoves without capture or pawn move: a draw can be claimed


@dataclasses.dataclass(frozen=True, slots=True)
class Branch:
    """A legal move. `board`: the position after it, without its history. `points`: what the mover gets by the rules
    alone; None: the network is asked."""

    uci: str
    probability: float
    board: chess.Board
    points: float | None


def branches(board: chess.Board, moves: Sequence[MoveChance]) -> list[Branch]:
    """One per move, in their order; a single one where it gives mate. `board` is left as it was; its stack is looked at."""
    found = []
    for chance in moves:
        board.push_uci(chance.uci)
        points = _points(board)
        found.append(Branch(chance.uci, chance.probability, board.copy(stack=False), points))
        board.pop()
        if points == MATE:
            return found[-1:]
    return found


def asked(tree: Sequence[Branch]) -> list[Branch]:
    """Those about which the rules say nothing; none where mate decides."""
    return [branch for branch in tree if branch.points is None]


def preferred(tree: Sequence[Branch], scores: Sequence[float], temper: float = TEMPER) -> Branch:
    """`scores`: expected points of the side to move after each of `asked(tree)`, in that order. Equals: the likelier."""
    theirs = iter(scores)
    worth = [1.0 - next(theirs) if branch.points is None else branch.points for branch in tree]
    weighed = [
        points + temper * math.log(max(branch.probability, LEAST_PROBABILITY))
        for points, branch in zip(worth, tree, strict=True)
    ]
    return tree[max(range(len(tree)), key=lambda number: weighed[number])]


def _points(board: chess.Board) -> float | None:
    """For whoever has just moved."""
    if not any(board.generate_legal_moves()):
        return MATE if board.is_check() else DRAW
    drawn = board.halfmove_clock >= CLOCK_OF_DRAW or board.is_insufficient_material() or board.is_repetition(2)
    return DRAW if drawn else None
