from __future__ import annotations

from collections.abc import Callable

import chess
import msgspec
import pytest

from edgechess_game_manager import rules
from edgechess_kit import messages as m

Make = Callable[..., m.GameRequest]
START = chess.STARTING_FEN


def session(fen: str = START) -> rules.Session:
    return rules.new_session("s1", fen)


def code(result: object) -> str:
    assert isinstance(result, rules.Refusal), result
    assert result.reason
    return result.code


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        # chess.js writes e3 after every double step; no black pawn can capture there
        (
            "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1",
            "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1",
            True,
        ),
        # here one can
        ("4k3/8/8/8/3pP3/8/8/4K3 b - e3 0 1", "4k3/8/8/8/3pP3/8/8/4K3 b - - 0 1", False),
        # here the capture would expose the king on the rank
        ("8/8/8/8/k2pP2R/8/8/4K3 b - e3 0 1", "8/8/8/8/k2pP2R/8/8/4K3 b - - 0 1", True),
        # counters do not count, the turn does, and so do castling rights
        ("4k3/8/8/8/8/8/8/4K2R w K - 0 1", "4k3/8/8/8/8/8/8/4K2R w K - 37 60", True),
        ("4k3/8/8/8/8/8/8/4K2R w K - 0 1", "4k3/8/8/8/8/8/8/4K2R b K - 0 1", False),
        ("4k3/8/8/8/8/8/8/4K2R w K - 0 1", "4k3/8/8/8/8/8/8/4K2R w - - 0 1", False),
        # a right without its rook is none
        ("4k3/8/8/8/8/8/8/4K2R w KQkq - 0 1", "4k3/8/8/8/8/8/8/4K2R w K - 0 1", True),
    ],
)
def test_positions_are_compared_never_strings(one: str, other: str, same: bool) -> None:
    assert rules.same_position(one, other) is same


@pytest.mark.parametrize(
    ("fen", "lan"),
    [
        ("r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1", "e1g1"),
        ("r3k2r/8/8/8/8/8/8/R3K2R b KQkq - 0 1", "e8c8"),
        ("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "e5d6"),
        ("3rk3/4P3/8/8/8/8/8/4K3 w - - 0 1", "e7d8n"),
        (START, "e2e4"),
    ],
)
def test_legal_moves_of_every_kind(move: Make, fen: str, lan: str) -> None:
    result = rules.check_move(session(fen), move(fen, lan, "t"))
    assert isinstance(result, rules.LegalMove)
    board = chess.Board(fen)
    board.push_uci(lan)
    assert result.after == board.fen()


def test_refusals_name_their_reason(move: Make) -> None:
    good = move(START, "e2e4", "t")
    replace = msgspec.structs.replace
    ours = session()
    assert code(rules.check_move(None, good)) == "no-session"
    assert code(rules.check_move(ours, replace(good, session_id="x"))) == "wrong-session"
    assert code(rules.check_move(ours, replace(good, color="b"))) == "out-of-turn"
    assert code(rules.check_move(ours, replace(good, before="8/8/8/8/8/8/8/8"))) == "malformed"
    assert code(rules.check_move(ours, replace(good, before="not/a/fen w - -"))) == "malformed"
    assert code(rules.check_move(ours, replace(good, after="not/a/fen w - -"))) == "malformed"
    assert code(rules.check_move(ours, replace(good, to="e3"))) == "malformed"
    assert code(rules.check_move(ours, replace(good, promotion="q"))) == "malformed"
    assert code(rules.check_move(ours, replace(good, lan="e2e2"))) == "illegal"
    over = rules.advance(session("k7/8/1KQ5/8/8/8/8/8 w - - 0 1"), "c6b7", claim_draws=True)
    assert (over.result, over.termination) == ("1-0", "checkmate")
    assert code(rules.check_move(over, good)) == "session-ended"


@pytest.mark.parametrize(
    ("fen", "lan", "words"),
    [
        (START, "e4e5", "e4 is empty"),
        (START, "e7e5", "on e7 stands a black pawn"),
        (START, "e2e5", "the white pawn on e2 cannot go to e5"),
        ("4k3/8/8/8/4r3/8/4B3/4K3 w - - 0 1", "e2d3", "the king would be in check"),
        ("7k/4P3/8/8/8/8/8/4K3 w - - 0 1", "e7e8", "the piece to promote to is missing"),
    ],
)
def test_why_a_move_is_illegal(move: Make, fen: str, lan: str, words: str) -> None:
    refusal = rules.check_move(session(fen), move(fen, lan, "t"))
    assert isinstance(refusal, rules.Refusal)
    assert words in refusal.reason


def test_starts(start: Make) -> None:
    assert isinstance(rules.check_start(start("t"), claim_draws=True), rules.Session)
    assert code(rules.check_start(start("t", fen="8/8/8/8/8/8/8/8 w - - 0 1"), claim_draws=True)) == "illegal"
    mated = "k7/1Q6/1K6/8/8/8/8/8 b - - 0 1"
    assert code(rules.check_start(start("t", fen=mated), claim_draws=True)) == "game-over"
    other = msgspec.structs.replace(start("t"), after="rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR b KQkq - 0 1")
    assert code(rules.check_start(other, claim_draws=True)) == "after-mismatch"
    assert code(rules.check_start(msgspec.structs.replace(other, before="x" * 20), claim_draws=True)) == "malformed"


def ended(fen: str, moves: list[str], *, claim_draws: bool) -> str | None:
    now = session(fen)
    for lan in moves:
        assert not now.over
        now = rules.advance(now, lan, claim_draws=claim_draws)
    return now.termination


SHUFFLE = ["g1f3", "g8f6", "f3g1", "f6g8"]


def test_the_game_ends_by_the_full_rules() -> None:
    assert ended("7k/8/6K1/8/8/8/8/5Q2 w - - 0 1", ["f1f7"], claim_draws=True) == "stalemate"
    assert ended("7k/8/6K1/8/8/8/1p6/B7 w - - 0 1", ["a1b2"], claim_draws=True) == "insufficient-material"
    assert ended(START, SHUFFLE * 2, claim_draws=True) == "threefold-repetition"
    assert ended(START, SHUFFLE * 2, claim_draws=False) is None
    assert ended(START, SHUFFLE * 4, claim_draws=False) == "fivefold-repetition"
    assert ended("7k/8/8/8/8/8/R7/K7 w - - 99 80", ["a2b2"], claim_draws=True) == "fifty-moves"
    assert ended("7k/8/8/8/8/8/R7/K7 w - - 99 80", ["a2b2"], claim_draws=False) is None
    assert ended("7k/8/8/8/8/8/R7/K7 w - - 149 99", ["a2b2"], claim_draws=False) == "seventyfive-moves"
    assert ended("k7/8/1K6/8/8/8/8/7R w - - 99 80", ["h1h8"], claim_draws=True) == "checkmate"


def test_a_right_that_is_lost_makes_another_position() -> None:
    rook = ["h1g1", "h8g8", "g1h1", "g8h8"]
    fen = "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1"
    assert ended(fen, rook * 2, claim_draws=True) is None  # the first time there were more rights
    assert ended(fen, (rook * 3)[:10], claim_draws=True) == "threefold-repetition"
