"""Words of the command line that are one of a few."""

from __future__ import annotations

from typing import Literal, TypeVar

from edgechess_kit.broker import BrokerKind

W = TypeVar("W", bound=str)

BROKERS: tuple[BrokerKind, ...] = ("auto", "mosquitto", "embedded")
FIRMWARES: tuple[Literal["4.5", "4.6"], ...] = ("4.5", "4.6")


class WordError(ValueError):
    """The text names the option and what it may be."""


def one_of(option: str, word: str, words: tuple[W, ...]) -> W:
    """Raises WordError."""
    for known in words:
        if word == known:
            return known
    raise WordError(f"{option} is {word!r}: expected one of {', '.join(words)}")
