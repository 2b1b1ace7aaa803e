"""Which players the form of a new match offers. What is installed here is asked of the entry points; what a director
elsewhere has is not known here, so the usual ones are offered too, and the director refuses what it does not have."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Literal

from edgechess_console.view import Part

GROUP = "edgechess.players"


class Option(Part, frozen=True, kw_only=True):
    """One `key=value` of a word."""

    key: str
    label: str
    type: Literal["number", "text"] = "number"
    min: float | None = None
    max: float | None = None
    default: str | None = None


class Offer(Part, frozen=True, kw_only=True):
    """`free`: what follows the colon is free text."""

    name: str
    title: str
    kind: Literal["answers", "person"] = "answers"
    example: str = ""
    hint: str = ""
    free: bool = False
    options: tuple[Option, ...] = ()
    installed: bool = False


USUAL = (
    Offer(
        name="stockfish",
        title="Stockfish",
        example="stockfish:elo=1350",
        hint="An engine, as strong as you like.",
        options=(
            Option(key="elo", label="Elo", min=1320, max=3190, default="1800"),
            Option(key="movetime", label="Seconds a move", min=0.05, max=60, default="0.1"),
        ),
    ),
    Offer(
        name="human",
        title="A person",
        kind="person",
        example="human",
        hint="Moves the pieces on the board, or enters moves on this page.",
    ),
    Offer(
        name="model",
        title="Own model",
        example="model:edgechess",
        hint="A model served here: model:NAME, or model:NAME@ADAPTER.",
        free=True,
    ),
    Offer(name="builtin", title="Built-in engine", example="builtin", hint="Small, always there."),
    Offer(name="random", title="Random", example="random", hint="Any legal move."),
    Offer(
        name="openai",
        title="Server (OpenAI)",
        example="openai:http://127.0.0.1:8000/v1#MODEL",
        hint="A model behind an OpenAI-compatible address.",
        free=True,
    ),
    Offer(name="bedrock", title="Amazon Bedrock", example="bedrock:MODEL_ID", hint="A foundation model.", free=True),
    Offer(name="imported", title="Bedrock, imported", example="imported:ARN", hint="A fine-tuned model.", free=True),
    Offer(name="pgn", title="Replay", example="pgn:FILE#1", hint="A recorded game, move for move.", free=True),
    Offer(name="hand", title="Seeded hand", example="hand", hint="The person of the software table."),
)


@cache  # reading every installed distribution's metadata takes tens of milliseconds
def offers() -> tuple[Offer, ...]:
    """The usual ones first, then what else is installed here."""
    installed = {point.name for point in entry_points(group=GROUP)}
    usual = {offer.name for offer in USUAL}
    more = tuple(
        Offer(name=name, title=name, example=name, free=True, installed=True) for name in sorted(installed - usual)
    )
    return (*(_marked(offer, offer.name in installed) for offer in USUAL), *more)


def _marked(offer: Offer, installed: bool) -> Offer:
    return Offer(**{name: getattr(offer, name) for name in offer.__struct_fields__} | {"installed": installed})
