"""Prompts as files: complete, versioned, rendered strictly."""

from __future__ import annotations

import chess
import pytest

from edgechess_inference.ladder.account import Attempt
from edgechess_inference.ladder.voice import Rung
from edgechess_inference.prompts.prompt_set import PromptError, checked, fill, history, load_prompts, prompt_sets


def rung(number: int, *failures: Attempt, moves: str = "e2e4 e7e5", attempts: int = 3) -> Rung:
    board = chess.Board()
    for move in moves.split():
        board.push_uci(move)
    return Rung(board, number, failures, attempts, until=10.0)


ILLEGAL = Attempt("m", 1.0, "<move>Ke9</move>", "illegal", "Ke9 is not a legal move in this position.")


def test_the_general_ladder_gives_more_context_each_time() -> None:
    prompts = load_prompts("general-1")
    first, again, last = (prompts.render(rung(number, *[ILLEGAL] * (number - 1))) for number in (1, 2, 3))
    assert "<move>" in first.system
    assert "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2" in first.user
    assert "1. e4 e5" in first.user
    assert "White to move" in first.user
    assert "Ke9" not in first.user
    assert "Ke9 is not a legal move" in again.user
    assert "Nf3" not in again.user
    assert "1. Ke9 is not a legal move" in last.user
    assert "2. Ke9 is not a legal move" in last.user
    assert ", Nf3, " in last.user


def test_the_tuned_ladder_lists_illegal_tries() -> None:
    prompts = load_prompts("tuned-1")
    other = Attempt("m", 1.0, "<move>Zz1</move>", "illegal", "no")
    assert "Not legal" not in prompts.render(rung(1, attempts=5)).user
    assert "Not legal here: Ke9, Zz1" in prompts.render(rung(5, ILLEGAL, other, ILLEGAL, attempts=5)).user


def test_an_unknown_placeholder_is_an_error_that_names_file_and_placeholders() -> None:
    with pytest.raises(PromptError, match=r"x\.first\.txt: unknown placeholder \{fenn\}; known are fen, side"):
        checked("Position {fenn}", "x.first.txt")
    with pytest.raises(PromptError, match="brace"):
        checked("Position {fen", "x.first.txt")
    assert checked("{{literal}} {fen}", "x") == "{{literal}} {fen}"


def test_a_value_is_never_taken_for_a_placeholder() -> None:
    assert fill("say {last_failure} {{twice}}", {"last_failure": "{fen} {0.__class__}"}) == (
        "say {fen} {0.__class__} {twice}"
    )


def test_every_set_that_is_here_can_be_rendered() -> None:
    assert prompt_sets() == ("concise-1", "general-1", "history-1", "tuned-1")
    for name in prompt_sets():
        for number in (1, 2, 3):
            assert "{" not in load_prompts(name).render(rung(number, *[ILLEGAL] * (number - 1))).user


@pytest.mark.parametrize("name", ["general-9", "../general-1", "general", ""])
def test_a_set_that_is_not_here_is_named_with_those_that_are(name: str) -> None:
    with pytest.raises(PromptError, match="there are concise-1, general-1, history-1, tuned-1"):
        load_prompts(name)


def test_a_long_game_does_not_crowd_the_position_out() -> None:
    moves = "g1f3 g8f6 f3g1 f6g8 " * 50
    told = history(rung(1, moves=moves).board)
    assert told.startswith("61. Nf3")
    assert history(chess.Board()) == "none"
