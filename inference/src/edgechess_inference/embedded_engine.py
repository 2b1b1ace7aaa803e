"""`builtin[:nodes=N]`: a small chess engine inside this package, so that a match needs nothing installed.

A plain alpha-beta search over python-chess with material and piece-square values. It plays sensible beginner's
chess (about a thousand nodes a move at a few thousand nodes a second) and is no replacement for Stockfish; it
says `builtin` in every answer so that nobody takes it for one.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import anyio
import anyio.lowlevel
import anyio.to_thread
import chess

from edgechess_inference.errors import PlayerFailed
from edgechess_inference.player import Answer, PlayerOptions, Question, Seat
from edgechess_inference.random_player import draw_for
from edgechess_inference.words import parse_settings, whole_number

NODES_DEFAULT = 1500  # about half a second of pure Python
NODES_MAX = 200_000  # a minute: beyond it, install an engine
DEPTH_MAX = 12  # plies; the node limit ends the search long before
MATE = 100_000  # centipawns; above any material sum
NOISE = 8  # centipawns: among moves this close the seed decides, so that games differ

PIECE_VALUE = {
    chess.PAWN: 100,
    chess.KNIGHT: 310,
    chess.BISHOP: 325,
    chess.ROOK: 500,
    chess.QUEEN: 930,
    chess.KING: 0,
}
CENTRE_WEIGHT = {  # centipawns per step towards the centre; the king hides until the queens are gone
    chess.PAWN: 4,
    chess.KNIGHT: 12,
    chess.BISHOP: 6,
    chess.ROOK: 1,
    chess.QUEEN: 2,
    chess.KING: -9,
}
PAWN_ADVANCE = (0, 0, 2, 6, 14, 30, 60, 0)  # centipawns by rank, seen from its own side
KING_ENDGAME_WEIGHT = 8  # centipawns per step towards the centre without queens


class _OutOfNodesError(Exception):
    """Ends the search at its node limit; the best move of the last whole depth stands."""


@dataclasses.dataclass(slots=True)
class _Budget:
    nodes_left: int
    stop: Callable[[], bool]

    def spend(self) -> None:
        self.nodes_left -= 1
        if self.nodes_left <= 0 or self.stop():
            raise _OutOfNodesError


def _centre_steps(square: chess.Square) -> int:
    """0 on the rim, 3 on the four centre squares."""
    file, rank = chess.square_file(square), chess.square_rank(square)
    return min(file, 7 - file, rank, 7 - rank)


def _square_values() -> dict[tuple[chess.PieceType, chess.Color], list[int]]:
    values = {}
    for kind in chess.PIECE_TYPES:
        for color in chess.COLORS:
            row = []
            for square in chess.SQUARES:
                value = PIECE_VALUE[kind] + CENTRE_WEIGHT[kind] * _centre_steps(square)
                if kind == chess.PAWN:
                    rank = chess.square_rank(square)
                    value += PAWN_ADVANCE[rank if color == chess.WHITE else 7 - rank]
                row.append(value)
            values[kind, color] = row
    return values


_SQUARE_VALUES = _square_values()


def evaluate(board: chess.Board) -> int:
    """Centipawns, from the side to move. Material and where it stands; no search."""
    score = 0
    for (kind, color), values in _SQUARE_VALUES.items():
        part = sum(values[square] for square in board.pieces(kind, color))
        score += part if color == board.turn else -part
    if not board.queens:
        for color in chess.COLORS:
            king = board.king(color)
            if king is not None:
                part = (KING_ENDGAME_WEIGHT - CENTRE_WEIGHT[chess.KING]) * _centre_steps(king)
                score += part if color == board.turn else -part
    return score


def search(board: chess.Board, *, nodes: int, draw: random.Random, stop: Callable[[], bool] = bool) -> chess.Move:
    """The best move found within `nodes`. `stop` is asked at every node; the first depth is always finished by value.

    Raises ValueError where there is no legal move. The board comes back as it was given.
    """
    moves = sorted(board.legal_moves, key=chess.Move.uci)
    if not moves:
        raise ValueError("there is no legal move: the game is over")
    draw.shuffle(moves)
    noise = {move: draw.randint(0, NOISE) for move in moves}
    moves.sort(key=lambda move: _guess(board, move), reverse=True)
    budget = _Budget(nodes, stop)
    best = moves[0]
    own = board.copy()
    for depth in range(1, DEPTH_MAX + 1):
        try:
            best = _best_at(own, moves, noise, depth, budget)
        except _OutOfNodesError:
            break
        moves.remove(best)
        moves.insert(0, best)
    return best


def _best_at(
    board: chess.Board, moves: list[chess.Move], noise: dict[chess.Move, int], depth: int, budget: _Budget
) -> chess.Move:
    best, best_score = moves[0], -2 * MATE
    root = board.copy()
    for move in moves:
        board = root.copy()  # the search leaves a half-walked line behind when its nodes run out
        board.push(move)
        if board.is_repetition(3) or board.halfmove_clock >= 100:
            score = 0
        else:
            score = -_alpha_beta(board, depth - 1, -2 * MATE, -(best_score - NOISE), 1, budget)
        if score + noise[move] > best_score:
            best, best_score = move, score + noise[move]
    return best


def _alpha_beta(board: chess.Board, depth: int, alpha: int, beta: int, ply: int, budget: _Budget) -> int:
    budget.spend()
    if board.is_insufficient_material() or board.is_repetition(2) or board.halfmove_clock >= 100:
        return 0
    moves = list(board.legal_moves)
    if not moves:
        return ply - MATE if board.is_check() else 0
    if depth <= 0:
        return _quiet(board, alpha, beta, budget)
    moves.sort(key=lambda move: _guess(board, move), reverse=True)
    for move in moves:
        board.push(move)
        score = -_alpha_beta(board, depth - 1, -beta, -alpha, ply + 1, budget)
        board.pop()
        if score >= beta:
            return score
        alpha = max(alpha, score)
    return alpha


def _quiet(board: chess.Board, alpha: int, beta: int, budget: _Budget) -> int:
    """Captures only, so that a piece that hangs is not counted as won."""
    standing = evaluate(board)
    if standing >= beta:
        return standing
    alpha = max(alpha, standing)
    captures = sorted(board.generate_legal_captures(), key=lambda move: _guess(board, move), reverse=True)
    for move in captures:
        budget.spend()
        board.push(move)
        score = -_quiet(board, -beta, -alpha, budget)
        board.pop()
        if score >= beta:
            return score
        alpha = max(alpha, score)
    return alpha


def _guess(board: chess.Board, move: chess.Move) -> int:
    """Move ordering: promotions, then captures of much by little."""
    guess = PIECE_VALUE[move.promotion] if move.promotion else 0
    if board.is_capture(move):
        victim = board.piece_type_at(move.to_square) or chess.PAWN  # en passant takes a pawn
        attacker = board.piece_type_at(move.from_square) or chess.PAWN
        guess += 10 * PIECE_VALUE[victim] - PIECE_VALUE[attacker] + 1000
    return guess


class BuiltinPlayer:
    """The engine as a player. `notice`, where given, is repeated with each answer (why Stockfish is not playing)."""

    seat: Seat = "answers"

    def __init__(self, word: str, *, seed: int, nodes: int, inline: bool, notice: str | None = None) -> None:
        self.word = word
        self.notice = notice
        self._seed = seed
        self._nodes = nodes
        self._inline = inline

    async def choose(self, question: Question) -> Answer:
        """A move within `timeout_s`: whatever is best then. Raises PlayerFailed only where the game is over."""
        board, draw = question.board(), draw_for(self._seed, question)
        if not any(board.legal_moves):
            await anyio.lowlevel.checkpoint()
            raise PlayerFailed("there is no legal move: the game is over")
        if self._inline:
            await anyio.lowlevel.checkpoint()
            move = search(board, nodes=self._nodes, draw=draw)
        else:
            move = await self._in_thread(board, draw, question.timeout_s)
        return Answer(move.uci(), by="builtin", reason=self.notice)

    async def _in_thread(self, board: chess.Board, draw: random.Random, timeout_s: float) -> chess.Move:
        stopped: list[bool] = []
        found: list[chess.Move] = []

        def work() -> None:
            found.append(search(board, nodes=self._nodes, draw=draw, stop=lambda: bool(stopped)))

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_stop_after, 0.9 * timeout_s, stopped, name="builtin-deadline")
                await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
                tasks.cancel_scope.cancel()
        finally:
            stopped.append(True)
        return found[0]

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()


async def _stop_after(delay_s: float, stopped: list[bool]) -> None:
    await anyio.sleep(delay_s)
    stopped.append(True)


def check(rest: str) -> None:
    """Raises PlayerWordError."""
    _nodes(rest)


def _nodes(rest: str) -> int:
    found = parse_settings("builtin", rest, {"nodes": "nodes=1500"})
    return whole_number("builtin", "nodes", found.get("nodes", str(NODES_DEFAULT)), low=1, high=NODES_MAX)


async def open_player(rest: str, options: PlayerOptions) -> BuiltinPlayer:
    """The factory of the word `builtin`."""
    await anyio.lowlevel.checkpoint()
    word = f"builtin:{rest}" if rest else "builtin"
    return BuiltinPlayer(word, seed=options.seed, nodes=_nodes(rest), inline=options.inline)
