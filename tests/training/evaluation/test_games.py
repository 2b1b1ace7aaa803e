"""Games: whose move, whose point, when it is over, and what is kept of it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio.lowlevel
import chess
import chess.pgn
import pytest

from edgechess_inference.ladder.account import Account, Attempt
from edgechess_inference.player import Answer
from edgechess_training.evaluation import games as g
from edgechess_training.evaluation.openings import Opening
from edgechess_training.evaluation.sides import Chosen, PlayerSide, Side, SideSource, _accounted

pytestmark = pytest.mark.anyio

START = Opening("start", chess.STARTING_FEN, ())
MATED = ["f2f3", "e7e5", "g2g4", "d8h4"]  # whoever has White loses
SHUFFLE = ["g1f3", "g8f6", "f3g1", "f6g8"] * 2


class Scripted:
    """Knows one game by heart, whatever side it has."""

    def __init__(self, line: Sequence[str], asked: list[int]) -> None:
        self._line, self._asked = line, asked

    async def choose(self, boards: Sequence[chess.Board]) -> list[Chosen]:
        await anyio.lowlevel.checkpoint()
        self._asked.append(len(boards))
        return [Chosen(self._line[board.ply()], raw_legal=board.ply() > 1) for board in boards]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Both sides play what PlayerSide's word says, move by move."""
    counts: list[int] = []

    @asynccontextmanager
    async def side_of(source: SideSource) -> AsyncIterator[Side]:
        assert isinstance(source, PlayerSide)
        yield Scripted(source.word.split(), counts)

    monkeypatch.setattr(g, "side_of", side_of)
    return counts


async def test_each_opening_is_played_with_both_colours_and_all_games_at_once(asked: list[int]) -> None:
    side = PlayerSide(" ".join(MATED))
    played = await g.play_pairs([(0, START), (1, START)], side, side)
    assert [(game.pair, game.game, game.points) for game in played] == [
        (0, 0, 0.0),
        (0, 1, 1.0),
        (1, 0, 0.0),
        (1, 1, 1.0),
    ]
    assert {game.ending for game in played} == {"checkmate"}
    assert [g.result_of(game) for game in played] == ["0-1"] * 4
    assert asked == [2, 4, 4, 4, 2]  # whoever is to move in any game, after the other has moved
    tally = played[0].first
    assert (tally.moves, tally.raw_asked, tally.raw_legal) == (2, 2, 1)


async def test_a_repetition_is_claimed_when_it_is_there(asked: list[int]) -> None:
    side = PlayerSide(" ".join(SHUFFLE))
    [first, _] = await g.play_pairs([(0, START)], side, side)
    assert (first.ending, first.points, len(first.moves)) == ("threefold repetition", 0.5, 8)


async def test_moves_of_the_opening_count_for_repetition(asked: list[int]) -> None:
    opening = Opening("shuffled", chess.STARTING_FEN, tuple(SHUFFLE[:4]))
    side = PlayerSide(" ".join(SHUFFLE))
    [first, _] = await g.play_pairs([(0, opening)], side, side)
    assert (len(first.moves), first.book_moves, first.first.moves) == (8, 4, 2)


@pytest.mark.parametrize(
    ("fen", "how"),
    [
        ("7k/5K2/6Q1/8/8/8/8/8 b - - 0 1", "stalemate"),
        ("6k1/6Q1/6K1/8/8/8/8/8 b - - 0 1", "checkmate"),
        ("6k1/8/6K1/8/8/8/8/7B b - - 0 1", "insufficient material"),
        ("6k1/8/6K1/8/8/8/8/7R b - - 100 90", "fifty moves"),
        ("6k1/8/6K1/8/8/8/8/7R b - - 99 90", None),
    ],
)
async def test_how_a_game_ends(fen: str, how: str | None) -> None:
    assert g.ending(chess.Board(fen)) == how


async def test_a_game_is_kept_as_pgn(asked: list[int]) -> None:
    side = PlayerSide(" ".join(MATED))
    [_, second] = await g.play_pairs([(4, START)], side, side)
    found = chess.pgn.read_game(io.StringIO(g.pgn_of(second, "net", "Stockfish", "test")))
    assert found is not None
    assert (found.headers["White"], found.headers["Black"], found.headers["Result"]) == ("Stockfish", "net", "0-1")
    assert found.headers["Round"] == "5.2"
    assert [move.uci() for move in found.mainline_moves()] == MATED


async def test_a_ladder_s_engine_is_counted_and_is_no_proposal() -> None:
    tries = (Attempt("m", 0.1, "e9", "no-move"), Attempt("m", 0.1, "e5", "illegal"), Attempt("Stockfish", 0.1, "e2e4"))
    fallen = _accounted(Answer("e2e4", "Stockfish", account=Account(tries, fallback=True)), "e2e4")
    assert (fallen.attempts, fallen.illegal, fallen.fallback) == (2, 2, True)
    assert fallen.first_legal is False
    own = _accounted(Answer("e2e4", "m", account=Account((tries[0], Attempt("m", 0.1, "e4")))), "e2e4")
    assert (own.attempts, own.illegal, own.fallback) == (2, 1, False)
    assert own.first_legal is False


async def test_who_says_nothing_proposes_nothing_illegal() -> None:
    tries = (
        Attempt("m", 0.1, None, "late"),
        Attempt("m", 0.1, None, "unavailable"),
        Attempt("m", 0.1, "?", "ambiguous"),
    )
    found = _accounted(Answer("e2e4", "m", account=Account((*tries, Attempt("m", 0.1, "e4")))), "e2e4")
    assert (found.attempts, found.illegal, found.unanswered) == (4, 1, 2)
    engine = Account((Attempt("Stockfish", 0.1, "e2e4"),), fallback=True, skipped="no time")
    assert _accounted(Answer("e2e4", "Stockfish", account=engine), "e2e4").first_legal is None


async def test_tallies_of_games_are_added_up() -> None:
    once = g.Tally().with_move(Chosen("e2e4", attempts=3, illegal=2, first_legal=False, unanswered=1))
    twice = once.with_move(Chosen("e2e4", first_legal=True))
    assert g.sum_of([once, twice]) == g.Tally(
        moves=3, attempts=7, illegal=4, unanswered=2, first_asked=3, first_legal=1
    )
    assert g.sum_of([]) == g.Tally()
