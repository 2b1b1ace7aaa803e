"""Games between two sides, many at once: rules claimed, nothing adjudicated, every game kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import chess
import chess.pgn

from edgechess_training.evaluation.openings import Opening
from edgechess_training.evaluation.sides import Chosen, Side, SideSource, side_of


@dataclass(frozen=True, slots=True)
class Tally:
    """What one side did in a game. `raw_legal` of `raw_asked`: best of all moves legal, where that is known. `attempts`: tries
    of a text model, of which `illegal` were no legal move and `unanswered` said nothing in time; `first_legal` of
    `first_asked`: moves whose first try was legal. `fallbacks`: moves that an engine made in its place."""

    moves: int = 0
    raw_asked: int = 0
    raw_legal: int = 0
    attempts: int = 0
    illegal: int = 0
    fallbacks: int = 0
    unanswered: int = 0
    first_asked: int = 0
    first_legal: int = 0

    def with_move(self, chosen: Chosen) -> Tally:
        return Tally(
            self.moves + 1,
            self.raw_asked + (chosen.raw_legal is not None),
            self.raw_legal + bool(chosen.raw_legal),
            self.attempts + chosen.attempts,
            self.illegal + chosen.illegal,
            self.fallbacks + chosen.fallback,
            self.unanswered + chosen.unanswered,
            self.first_asked + (chosen.first_legal is not None),
            self.first_legal + bool(chosen.first_legal),
        )


def sum_of(tallies: Iterable[Tally]) -> Tally:
    return Tally(*(sum(column) for column in zip(*map(dataclasses.astuple, tallies), strict=True)))


@dataclass(frozen=True, slots=True)
class Played:
    """One finished game. `pair` and `game` (0 or 1: the first side has White, or Black) name it; `points` of the first side."""

    pair: int
    game: int
    opening: str
    start_fen: str
    book_moves: int
    moves: tuple[str, ...]
    points: float
    ending: str
    first: Tally
    second: Tally


@dataclass(slots=True)
class _Live:
    pair: int
    game: int
    opening: Opening
    board: chess.Board
    tallies: list[Tally] = field(default_factory=lambda: [Tally(), Tally()])

    @property
    def mover(self) -> int:
        """0: the first side is to move."""
        return int((self.board.turn == chess.WHITE) == bool(self.game))

    def push(self, side: int, chosen: Chosen) -> None:
        self.board.push_uci(chosen.uci)
        self.tallies[side] = self.tallies[side].with_move(chosen)


async def play_pairs(pairs: Sequence[tuple[int, Opening]], first: SideSource, second: SideSource) -> list[Played]:
    """Each opening twice, colours exchanged. Raises TrainingError."""
    live = [_Live(number, game, opening, opening.board()) for number, opening in pairs for game in (0, 1)]
    finished: list[Played] = []
    async with side_of(first) as one, side_of(second) as two:
        while live:
            for side, player in enumerate((one, two)):
                await _move_all(side, player, live)
                finished += [played for game in live if (played := _played(game)) is not None]
                live = [game for game in live if ending(game.board) is None]
    return sorted(finished, key=lambda played: (played.pair, played.game))


async def _move_all(side: int, player: Side, live: Iterable[_Live]) -> None:
    games = [game for game in live if game.mover == side and ending(game.board) is None]
    if games:
        chosen = await player.choose([game.board for game in games])
        for game, move in zip(games, chosen, strict=True):
            game.push(side, move)


def ending(board: chess.Board) -> str | None:
    """How the game is over, every draw that can be claimed being claimed; None while it is not."""
    if not any(board.generate_legal_moves()):
        return "checkmate" if board.is_check() else "stalemate"
    if board.is_insufficient_material():
        return "insufficient material"
    if board.halfmove_clock >= 100:
        return "fifty moves"
    return "threefold repetition" if board.is_repetition(3) else None


def _played(game: _Live) -> Played | None:
    how = ending(game.board)
    if how is None:
        return None
    points = 0.5 if how != "checkmate" else float(game.mover == 1)
    start = game.opening
    moves = tuple(move.uci() for move in game.board.move_stack)
    return Played(
        game.pair, game.game, start.name, start.start_fen, len(start.moves), moves, points, how, *game.tallies
    )


def pgn_of(played: Played, first: str, second: str, event: str) -> str:
    """One game as PGN, with the names of both sides."""
    game = chess.pgn.Game()
    board = chess.Board(played.start_fen)
    game.setup(board)
    names = (first, second) if not played.game else (second, first)
    game.headers.update(Event=event, Round=f"{played.pair + 1}.{played.game + 1}", White=names[0], Black=names[1])
    game.headers["Result"] = result_of(played)
    game.headers["Opening"] = played.opening
    game.headers["Termination"] = played.ending
    game.add_line([chess.Move.from_uci(uci) for uci in played.moves])
    return str(game) + "\n\n"


def result_of(played: Played) -> str:
    white = played.points if not played.game else 1 - played.points
    return {1.0: "1-0", 0.0: "0-1"}.get(white, "1/2-1/2")


def played_from(data: dict[str, Any]) -> Played:
    """From its JSON."""
    fields = dict(data)
    fields["moves"] = tuple(fields["moves"])
    fields["first"], fields["second"] = Tally(**fields["first"]), Tally(**fields["second"])
    return Played(**fields)
