"""One player's own moves out of a file of games: the earlier games to learn from, the latest ones held out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgechess_training.dataset.game_filter import Filter
from edgechess_training.dataset.pgn_files import RawGame, read_games
from edgechess_training.dataset.unit import Recipe, digest
from edgechess_training.errors import TrainingError
from edgechess_training.positions import Positions

LATER_SHARE = 0.15  # of the games, held out
GAMES_MIN = 20
WORD = re.compile(r"[^\W_]+")
DATE = re.compile(r"\d{4}")


@dataclass(frozen=True, slots=True)
class PlayerGames:
    """`since`: the date of the first game held out. Both contain the player's own moves only, each ply of every game."""

    name: str
    player: str
    earlier: Positions
    later: Positions
    since: str


def read_player(path: Path, player: str | None = None, later_share: float = LATER_SHARE) -> PlayerGames:
    """`player`: whose moves; by default whoever plays most of the file's games. Games without a year count as earliest.

    Raises TrainingError.
    """
    name = path.name.partition(".")[0]
    tagged = [(game.tags()[0], game) for game in read_games(path)]
    who = player or _most_frequent(path, [tags for tags, _ in tagged])
    dated = sorted(((_date(tags), number) for number, (tags, _) in enumerate(tagged)))
    games = [tagged[number][1] for _, number in dated]
    held = round(len(games) * later_share)
    if len(games) < GAMES_MIN or not held:
        raise TrainingError(f"{path}: {len(games)} games; a style takes at least {GAMES_MIN}")
    earlier, later = _positions(games[:-held], who), _positions(games[-held:], who)
    if not len(earlier) or not len(later):
        raise TrainingError(f"{path}: no moves of {who!r} in the {'later' if len(earlier) else 'earlier'} games")
    return PlayerGames(name, who, earlier, later, dated[-held][0])


def _positions(games: Sequence[RawGame], player: str) -> Positions:
    recipe = Recipe(filter=Filter(players=(player,)), fraction=0.0, unique="none")
    return digest(0, games, recipe).positions


def _date(tags: dict[str, str]) -> str:
    """Sorts as time does."""
    date = tags.get("Date", "") if DATE.match(tags.get("Date", "")) else tags.get("UTCDate", "")
    return date.replace("?", "0") if DATE.match(date) else ""


def _most_frequent(path: Path, tagged: Sequence[dict[str, str]]) -> str:
    """Surname and first letter of the name that most games bear: spellings of the rest differ."""
    names = Counter(tags.get(side, "") for tags in tagged for side in ("White", "Black"))
    words = WORD.findall(names.most_common(1)[0][0]) if names else []
    if not words:
        raise TrainingError(f"{path}: no names in its tags; say whose moves with --player")
    return " ".join([words[0], *(word[0] for word in words[1:2])])
