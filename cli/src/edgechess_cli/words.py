"""Words of the command line that are one of a few."""

from __future__ import annotations

from typing import Literal, TypeVar, get_args

from edgechess_kit.broker import BrokerKind
from edgechess_twin.arm_device import Kind

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


def arm_kinds(text: str) -> tuple[Kind, Kind]:
    """`--arms`: White's arm and Black's, or one word for both. Raises WordError."""
    words = text.split(",")
    found = [kind for word in words for kind in get_args(Kind) if kind == word.strip().lower()]
    if len(found) != len(words) or len(found) not in (1, 2):
        raise WordError(f"--arms is {text!r}: expected dobot, ro1, or two of them such as dobot,ro1")
    return found[0], found[-1]
