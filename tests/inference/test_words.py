"""Player words: what is understood, and how the rest is refused."""

from __future__ import annotations

import pytest

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.registry import check_word, open_player, player_names, split_word
from edgechess_inference.stockfish import Strength, parse_strength


def test_the_players_of_this_package_are_registered() -> None:
    assert set(player_names()) >= {"stockfish", "random", "pgn", "human", "hand", "builtin"}


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("random", ("random", "")),
        ("stockfish:elo=1350", ("stockfish", "elo=1350")),
        ("pgn:C:/games:old.pgn#2", ("pgn", "C:/games:old.pgn#2")),
        (" hand : ", ("hand", "")),
    ],
)
def test_a_word_is_split_at_its_first_colon(word: str, parts: tuple[str, str]) -> None:
    assert split_word(word) == parts


@pytest.mark.parametrize(
    ("rest", "strength"),
    [
        ("", Strength(elo=1800, movetime_s=0.1)),
        ("elo=1350", Strength(elo=1350, movetime_s=0.1)),
        ("level=5", Strength(level=5, movetime_s=0.1)),
        ("nodes=10000", Strength(nodes=10000)),
        ("movetime=0.5", Strength(movetime_s=0.5)),
        ("elo=1350, movetime=0.2", Strength(elo=1350, movetime_s=0.2)),
        ("level=3,nodes=500", Strength(level=3, nodes=500)),
    ],
)
def test_strengths(rest: str, strength: Strength) -> None:
    assert parse_strength(rest) == strength


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "no name"),
        (":elo=3", "no name"),
        (
            "fritz",
            "there is no player 'fritz'; there are bedrock, builtin, hand, human, imported, model, openai, pgn, random, stockfish",
        ),
        ("stockfish:speed=3", "'speed' is unknown; stockfish takes elo=1350, level=5, nodes=10000, movetime=0.5"),
        ("stockfish:elo", "'elo' lacks a value; write for example elo=1350"),
        ("stockfish:elo=", "lacks a value"),
        ("stockfish:elo=strong", "elo=strong is not a whole number"),
        ("stockfish:elo=1400,elo=1500", "'elo' is given twice"),
        ("stockfish:elo=1400,level=3", "elo and level exclude each other"),
        ("stockfish:nodes=0", "nodes=0 is out of range; it goes from 1"),
        ("stockfish:movetime=nan", "out of range"),
        ("stockfish:movetime=soon", "not a number of seconds"),
        ("random:7", "`random` takes nothing after its name"),
        ("human:bob", "takes nothing"),
        ("hand:left", "takes nothing"),
        ("builtin:nodes=no", "not a whole number"),
        ("builtin:depth=3", "'depth' is unknown; builtin takes nodes=1500"),
        ("pgn", "needs a file"),
        ("pgn:#2", "needs a file"),
        ("pgn:/no/such.pgn", "there is no file /no/such.pgn"),
        ("pgn:/no/such.pgn#0", "games count from 1"),
    ],
)
def test_a_wrong_word_is_refused_by_the_part_that_is_wrong(
    word: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGECHESS_STOCKFISH", raising=False)
    with pytest.raises(PlayerWordError) as caught:
        check_word(word)
    assert message in str(caught.value)


@pytest.mark.anyio
async def test_opening_refuses_what_checking_refuses() -> None:
    with pytest.raises(PlayerWordError, match="there is no player"):
        await open_player("fritz")


def test_a_named_engine_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECHESS_STOCKFISH", "/no/such/engine")
    with pytest.raises(PlayerWordError, match="EDGECHESS_STOCKFISH=/no/such/engine is not a program"):
        check_word("stockfish")
