"""A player's word as people say it: `stockfish:elo=1350` is "Stockfish, Elo 1350". Pure."""

from __future__ import annotations

from edgechess_console.registry import USUAL

TITLE_LIMIT = 80  # characters; a name that is longer was never meant to be read from afar

_TITLES = {offer.name: offer.title for offer in USUAL}


def player_title(word: str) -> str:
    """Without folders of this machine. The word itself for what cannot be said better."""
    name, _, rest = word.partition(":")
    title = _of_words(name, rest) if rest else _TITLES.get(name, name)
    return (title or word)[:TITLE_LIMIT]


def _of_words(name: str, rest: str) -> str:
    match name:
        case "pgn":
            path, _, number = rest.partition("#")
            record = path.rsplit("/", 1)[-1].removesuffix(".zst").removesuffix(".pgn")
            return f"{record}{f', game {number}' if number else ''} (record)" if record else ""
        case "openai":
            return rest.rsplit("#", 1)[-1]
        case "model" | "bedrock":
            return rest
        case "imported":
            return rest.rsplit("/", 1)[-1]
        case _:
            options = (option.replace("elo=", "Elo ", 1).replace("=", " ") for option in rest.split(",") if option)
            return ", ".join([_TITLES.get(name, name), *options])
