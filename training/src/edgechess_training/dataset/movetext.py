"""The main line of a game's text: SAN tokens without numbers, marks, comments and variations."""

from __future__ import annotations

import re

from edgechess_training.dataset.errors import MalformedGame

RESULTS = ("1-0", "0-1", "1/2-1/2", "*")
DRAWS = ("½-½", "1/2")  # as some write it
NO_MOVES = ("e.p.", "ep", "=", "D", "N", "+=", "=+", "+-", "-+", "+/-", "-/+", "±", "∓", "⩲", "⩱", "∞")
"""What old files put after a move: en passant, an offer of a draw, a diagram, a novelty, a judgement."""
DEPTH_MAX = 64  # of variations in one another; a book of openings has ten
LINES_MAX = 2000  # in which the line of a bad move is looked for: each is read anew
MARKS = str.maketrans("", "", "+#!?")

_COMMENT = re.compile(r"\{[^}]*\}|;[^\n]*|^%[^\n]*", re.MULTILINE)
_PROMOTION = re.compile(r"(?<=[a-h][18])\(([QRBN])\)")
_INNERMOST = re.compile(r"\([^()]*\)")
_NUMBER_OR_NAG = re.compile(r"\d+\s*\.[.\s]*|\$\d+")


def main_line(movetext: str) -> tuple[list[str], str | None]:
    """The moves as written, less `+`, `#`, `!`, `?` and what is no move; and the result at their end, None where there is none.

    Raises MalformedGame: a comment or a variation without its other end, moves after the result.
    """
    text = _without_asides(movetext)
    words = [word for word in _NUMBER_OR_NAG.sub(" ", text).split() if word not in NO_MOVES]
    tokens = ["1/2-1/2" if word in DRAWS else word.translate(MARKS) for word in words]
    tokens = [token for token in tokens if token and not token.isdecimal()]
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
    text = _PROMOTION.sub(r"=\1", text)
    depth = 0
    while "(" in text and depth < DEPTH_MAX and (shorter := _INNERMOST.sub(" ", text)) != text:
        text, depth = shorter, depth + 1
    if "(" in text or ")" in text:
        raise MalformedGame("a variation without its other bracket", _odd_one(text, movetext, "()"))
    return text


def _odd_one(left: str, movetext: str, marks: str) -> int:
    """About where: the first of the text where an opening one stayed, the last where a closing one did."""
    return movetext.find(marks[0]) if marks[0] in left else movetext.rfind(marks[1])


def offset_of_move(movetext: str, number: int) -> int:
    """Where the main line's move `number` (from 0) stands; 0 beyond LINES_MAX. Blanking keeps no offsets, so lines are tried one
    by one."""
    offset = 0
    for line in movetext.splitlines(keepends=True)[:LINES_MAX]:
        for end in ("", "}"):  # a comment may go on below
            try:
                if len(main_line(movetext[: offset + len(line)] + end)[0]) > number:
                    return offset
            except MalformedGame:
                continue
        offset += len(line)
    return 0
