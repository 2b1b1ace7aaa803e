"""The main line of a game's text: SAN tokens without numbers, marks, comments and variations."""

from __future__ import annotations

import re

from edgechess_training.dataset.errors import MalformedGame

RESULTS = ("1-0", "0-1", "1/2-1/2", "*")
MARKS = str.maketrans("", "", "+#!?")

_COMMENT = re.compile(r"\{[^}]*\}|;[^\n]*|^%[^\n]*", re.MULTILINE)
_INNERMOST = re.compile(r"\([^()]*\)")
_NUMBER_OR_NAG = re.compile(r"\d+\s*\.[.\s]*|\$\d+")


def main_line(movetext: str) -> tuple[list[str], str | None]:
    """The moves as written, less `+`, `#`, `!`, `?`; and the result at their end, None where there is none.

    Raises MalformedGame: a comment or a variation without its other end, moves after the result.
    """
    text = _without_asides(movetext)
    tokens = _NUMBER_OR_NAG.sub(" ", text).translate(MARKS).split()
    result = tokens.pop() if tokens and tokens[-1] in RESULTS else None
    for token in RESULTS:
        if token in tokens:
            raise MalformedGame(f"moves after the result {token}", movetext.find(token))
    return tokens, result


def _without_asides(movetext: str) -> str:
    """Comments and variations blanked out."""
    text = movetext
    if any(mark in text for mark in "{};%"):
        text = _COMMENT.sub(" ", text)
        if "{" in text or "}" in text:
            raise MalformedGame("a comment without its other brace", _odd_one(text, movetext, "{}"))
    while "(" in text and (shorter := _INNERMOST.sub(" ", text)) != text:
        text = shorter
    if "(" in text or ")" in text:
        raise MalformedGame("a variation without its other bracket", _odd_one(text, movetext, "()"))
    return text


def _odd_one(left: str, movetext: str, marks: str) -> int:
    """About where: the first of the text where an opening one stayed, the last where a closing one did."""
    return movetext.find(marks[0]) if marks[0] in left else movetext.rfind(marks[1])


def offset_of_move(movetext: str, number: int) -> int:
    """Where the main line's move `number` (from 0) stands. Blanking keeps no offsets, so lines are tried one by one."""
    offset = 0
    for line in movetext.splitlines(keepends=True):
        for end in ("", "}"):  # a comment may go on below
            try:
                if len(main_line(movetext[: offset + len(line)] + end)[0]) > number:
                    return offset
            except MalformedGame:
                continue
        offset += len(line)
    return 0
