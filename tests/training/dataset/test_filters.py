"""Which games and whose moves, by tags alone."""

from __future__ import annotations

from typing import Any

import pytest

from edgechess_training.dataset.errors import DatasetError
from edgechess_training.dataset.game_filter import DRAW, LOSS, WIN, Filter, dropped_for, movers, outcomes, variant
from edgechess_training.positions import UNKNOWN_OUTCOME

TAGS = {
    "White": "Polgar, Judit",
    "Black": "Short, Nigel D",
    "WhiteElo": "2675",
    "BlackElo": "2683",
    "Date": "1997.05.??",
}


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({}, None),
        ({"min_elo": 2600}, None),
        ({"min_elo": 2680}, "elo"),
        ({"players": ("Polgar J",)}, None),
        ({"players": ("polgar, judit",)}, None),
        ({"players": ("Polgar, Susan",)}, "player"),
        ({"players": ("Pol",)}, "player"),
        ({"since": "1997", "until": "1997"}, None),
        ({"since": "1997.05.01"}, None),
        ({"since": "1997.06"}, "date"),
        ({"until": "1997.04.30"}, "date"),
    ],
)
def test_which_games(wanted: dict[str, Any], why: str | None) -> None:
    assert dropped_for(Filter(**wanted), TAGS) == why


def test_accents_do_not_matter() -> None:
    for player in ("Polgár", "Polgar", "POLGÁR J", "Polga\u0301r"):
        for name in ("Polgár, Judit", "Polgar, Judit"):
            assert dropped_for(Filter(players=(player,)), {"White": name}) is None


def test_a_date_in_another_tag_is_a_date() -> None:
    since = Filter(since="2016.01")
    assert dropped_for(since, {"UTCDate": "2016.03.01"}) is None
    assert dropped_for(since, {"Date": "????.??.??", "UTCDate": "2016.03.01"}) is None
    assert dropped_for(since, {"Date": "2015.12.31", "UTCDate": "2016.01.01"}) == "date"


def test_unrated_and_undated_games_fit_no_such_filter() -> None:
    assert dropped_for(Filter(min_elo=1), {"WhiteElo": "2600", "BlackElo": "?"}) == "elo"
    assert dropped_for(Filter(since="1900"), {"Date": "????.??.??"}) == "date"


@pytest.mark.parametrize(
    ("wanted", "sides"),
    [
        ({}, (True, True)),
        ({"winner_only": True}, (True, False)),
        ({"players": ("Short",)}, (False, True)),
        ({"players": ("Short",), "winner_only": True}, (False, False)),
        ({"players": ("Polgar",), "winner_only": True, "both_sides": True}, (True, True)),
        ({"players": ("Polgar", "Short"), "winner_only": True}, (True, False)),
    ],
)
def test_whose_moves(wanted: dict[str, Any], sides: tuple[bool, bool]) -> None:
    assert movers(Filter(**wanted), TAGS, (WIN, LOSS)) == sides


@pytest.mark.parametrize(
    ("tag", "written", "expected"),
    [
        ("1-0", "1-0", (WIN, LOSS)), ("0-1", None, (LOSS, WIN)), ("1/2-1/2", "*", (DRAW, DRAW)), ("*", "1-0", (WIN, LOSS)),
        ("1-0", "0-1", (UNKNOWN_OUTCOME,) * 2), ("*", "*", (UNKNOWN_OUTCOME,) * 2), ("?", None, (UNKNOWN_OUTCOME,) * 2),
    ],
)  # fmt: skip
def test_how_it_ended(tag: str, written: str | None, expected: tuple[int, int]) -> None:
    assert outcomes({"Result": tag}, written) == expected


def test_other_games_than_chess() -> None:
    assert variant({"Variant": "Chess960"}) == "Chess960"
    assert variant({"Variant": "Standard"}) is None
    assert variant({}) is None


@pytest.mark.parametrize("wrong", [{"since": "May 1997"}, {"players": (",",)}, {"both_sides": True}])
def test_filters_that_mean_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(DatasetError):
        Filter(**wrong)
