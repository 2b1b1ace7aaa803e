"""One set of prompts, read from package data, checked as a whole, and rendered for a rung of the ladder.

A set is named `NAME-VERSION` ("general-1"). Its files are `SET.first.txt`, and where it has them `SET.system.txt`,
`SET.again.txt` (from the second attempt) and `SET.last.txt` (the last attempt, where the ladder has at least three).
"""

from __future__ import annotations

import dataclasses
import re
import string
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import chess

from edgechess_inference.errors import InferenceError
from edgechess_inference.ladder.voice import Rung

ROLES = ("system", "first", "again", "last")
PLACEHOLDERS = ("fen", "side", "history", "legal", "failures", "last_failure", "illegal", "nxt_color", "move_history")
NAME = re.compile(r"[a-z][a-z0-9_]*-[0-9]+\Z")
LEAST_ATTEMPTS_FOR_LAST = 3
HISTORY_PLIES = 80  # the last ones: a long game must not crowd the position out of a small model's context


class PromptError(InferenceError):
    """A set of prompts that does not exist, or one that asks for what nobody fills in. The text names file and cure."""


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """What is said to the model. `system` is empty where the set has none."""

    system: str
    user: str


@dataclasses.dataclass(frozen=True, slots=True)
class PromptSet:
    name: str
    texts: Mapping[str, str]

    def render(self, rung: Rung) -> Prompt:
        """The prompt of one attempt, with the game and the failures in it."""
        texts = self.texts
        role = "first"
        if rung.number > 1 and "again" in texts:
            role = "again"
        if rung.number == rung.attempts >= LEAST_ATTEMPTS_FOR_LAST and "last" in texts:
            role = "last"
        values = _values(rung)
        return Prompt(fill(texts.get("system", ""), values).strip(), fill(texts[role], values).strip())


def prompt_sets() -> tuple[str, ...]:
    """Names of the sets that are here, sorted."""
    names = {file.name.split(".")[0] for file in files(__package__).iterdir() if file.name.endswith(".first.txt")}
    return tuple(sorted(names))


@cache
def load_prompts(name: str) -> PromptSet:
    """Raises PromptError."""
    if not NAME.match(name) or name not in prompt_sets():
        raise PromptError(f"there are no prompts {name!r}; there are {', '.join(prompt_sets())}")
    texts = {}
    for role in ROLES:
        file = files(__package__) / f"{name}.{role}.txt"
        if file.is_file():
            texts[role] = checked(file.read_text(encoding="utf-8"), file.name)
    return PromptSet(name, texts)


def checked(text: str, file: str) -> str:
    """The text, if it asks only for what is filled in. Raises PromptError."""
    try:
        asked = [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
    except ValueError as error:
        raise PromptError(f"{file}: {error} (a brace that is meant is written twice)") from error
    for field in asked:
        if field not in PLACEHOLDERS:
            raise PromptError(f"{file}: unknown placeholder {{{field}}}; known are {', '.join(PLACEHOLDERS)}")
    return text


def fill(text: str, values: Mapping[str, str]) -> str:
    """Only plain `{name}` is replaced; what a value contains is never taken for a placeholder."""
    return "".join(
        literal + (values[field] if field is not None else "")
        for literal, field, _, _ in string.Formatter().parse(text)
    )


def _values(rung: Rung) -> dict[str, str]:
    board, failures = rung.board, rung.failures
    whys = [attempt.why or "it could not be used" for attempt in failures]
    illegal = [attempt.answer or "" for attempt in failures if attempt.failure == "illegal"]
    return {
        "fen": board.fen(),
        "side": "White" if board.turn == chess.WHITE else "Black",
        "history": history(board),
        "legal": ", ".join(sorted(board.san(move) for move in board.legal_moves)),
        "failures": "\n".join(f"{number}. {why}" for number, why in enumerate(whys, 1)) or "none",
        "last_failure": whys[-1] if whys else "none",
        "illegal": ", ".join(dict.fromkeys(_bare(answer) for answer in illegal)) or "none",
        "nxt_color": next_color(board),
        "move_history": move_history(sans(board)),
    }


def history(board: chess.Board) -> str:
    """The last `HISTORY_PLIES` moves with their numbers, "none" where the game begins here."""
    moves = board.move_stack[-HISTORY_PLIES:]
    if not moves:
        return "none"
    start = board.copy()
    for _ in moves:
        start.pop()
    return start.variation_san(moves)


def next_color(board: chess.Board) -> str:
    """As records for fine-tuning spell it (reference: aws-sample-wire.md, "Dataset and fine-tuning")."""
    return "WHITE" if board.turn == chess.WHITE else "BLACK"


def move_history(played: Sequence[str]) -> str:
    """As records for fine-tuning list the moves: the last `HISTORY_PLIES` without numbers, "none" where there are none."""
    return ", ".join(played[-HISTORY_PLIES:]) or "none"


def sans(board: chess.Board) -> list[str]:
    """The last `HISTORY_PLIES` moves in SAN."""
    moves, past = board.move_stack[-HISTORY_PLIES:], board.copy()
    for _ in moves:
        past.pop()
    return [past.san_and_push(move) for move in moves]


def _bare(answer: str) -> str:
    """An answer as it is listed among the illegal ones: without tags, on one line."""
    tagged = re.search(r"<\s*move\s*>(.*?)(?:<|$)", answer, re.IGNORECASE | re.DOTALL)
    return " ".join((tagged[1] if tagged else answer).split())[:20]
