"""Which games, and whose moves of them, go into a dataset: decided by tags alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

import chess
import msgspec

from edgechess_training.dataset.errors import DatasetError
from edgechess_training.positions import UNKNOWN_OUTCOME

ELO_MAX = 4000  # a number beyond it is no rating
LOSS, DRAW, WIN = 0, 1, 2
OUTCOMES = {"1-0": (WIN, LOSS), "0-1": (LOSS, WIN), "1/2-1/2": (DRAW, DRAW)}  # for White, for Black
STANDARD = ("standard", "chess", "normal", "from position", "")  # values of the Variant tag that mean none

_DATE = re.compile(r"(\d{4})(?:[.\-/](\d{1,2}|\?\?))?(?:[.\-/](\d{1,2}|\?\?))?\Z")
_WORD = re.compile(r"[^\W_]+")


class Filter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`players`: any of them; all words of one must stand in the tag ("Polgar, Judit", "carlsen magnus"), in any order;
    a word of one letter stands for every name that begins so; accents do not matter. Dates: YYYY[.MM[.DD]], both ends count; games without a
    year are then left out, as are games without both ratings where `min_elo` is set."""

    players: tuple[str, ...] = ()
    winner_only: bool = False
    both_sides: bool = False
    """The other side's moves of the players' games too."""
    min_elo: int = 0
    since: str | None = None
    until: str | None = None

    def __post_init__(self) -> None:
        """Raises DatasetError."""
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and not _DATE.match(value):
                raise DatasetError(f"{name} {value!r}: a date is YYYY, YYYY.MM or YYYY.MM.DD")
        for player in self.players:
            if not _WORD.search(player):
                raise DatasetError(f"player {player!r}: no word in it")
        if self.both_sides and not self.players:
            raise DatasetError("the other side's moves are asked for, but no player: name one, or leave it")


def elo_of(tags: Mapping[str, str], color: chess.Color) -> int:
    """0: not known."""
    text = tags.get("WhiteElo" if color else "BlackElo", "")
    value = int(text) if text.isascii() and text.isdigit() else 0
    return value if value <= ELO_MAX else 0


def outcomes(tags: Mapping[str, str], written: str | None) -> tuple[int, int]:
    """For White and for Black. Unknown where tag and moves contradict each other, and for games that go on."""
    tag = tags.get("Result", "*")
    result = tag if tag in OUTCOMES else written or "*"
    if written not in (None, "*", result):
        return UNKNOWN_OUTCOME, UNKNOWN_OUTCOME
    return OUTCOMES.get(result, (UNKNOWN_OUTCOME, UNKNOWN_OUTCOME))


def variant(tags: Mapping[str, str]) -> str | None:
    """The name of another game than chess, as the tag says it."""
    named = tags.get("Variant", "")
    return None if named.strip().lower() in STANDARD else named


def dropped_for(wanted: Filter, tags: Mapping[str, str]) -> str | None:
    """The word under which a game that is not wanted is counted; None: it is wanted."""
    if wanted.min_elo and min(elo_of(tags, chess.WHITE), elo_of(tags, chess.BLACK)) < wanted.min_elo:
        return "elo"
    if (wanted.since or wanted.until) and not _within(date_of(tags), wanted.since, wanted.until):
        return "date"
    if wanted.players and not any(_named(wanted, tags, color) for color in chess.COLORS):
        return "player"
    return None


def date_of(tags: Mapping[str, str]) -> str:
    """As the tag has it; UTCDate where there is no other, as in Lichess's older files. Empty: no year is known."""
    return next((tags[name] for name in ("Date", "UTCDate") if _DATE.match(tags.get(name, "").strip())), "")


def movers(wanted: Filter, tags: Mapping[str, str], results: tuple[int, int]) -> tuple[bool, bool]:
    """Whether White's and whether Black's moves are wanted; never mind whose where all are."""
    named = [not wanted.players or _named(wanted, tags, color) for color in (chess.WHITE, chess.BLACK)]
    won = [not wanted.winner_only or result == WIN for result in results]
    own = [n and w for n, w in zip(named, won, strict=True)]
    if wanted.both_sides and any(own):
        return True, True
    return own[0], own[1]


def _named(wanted: Filter, tags: Mapping[str, str], color: chess.Color) -> bool:
    name = _words(tags.get("White" if color else "Black", ""))
    return any(all(_stands(word, name) for word in _words(player)) for player in wanted.players)


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text)
    return [
        word.casefold() for word in _WORD.findall("".join(mark for mark in plain if not unicodedata.combining(mark)))
    ]


def _stands(word: str, name: list[str]) -> bool:
    return any(other == word or (len(word) == 1 and other.startswith(word)) for other in name)


def _within(date: str, since: str | None, until: str | None) -> bool:
    """An unknown month or day counts as the first one."""
    when = _numbers(date, 1)
    if when is None:
        return False
    return (since is None or when >= (_numbers(since, 1) or when)) and (
        until is None or when <= (_numbers(until, 99) or when)
    )


def _numbers(date: str, missing: int) -> tuple[int, int, int] | None:
    match = _DATE.match(date.strip())
    if match is None:
        return None
    month, day = (int(part) if part and part != "??" else missing for part in (match[2], match[3]))
    return int(match[1]), month, day
