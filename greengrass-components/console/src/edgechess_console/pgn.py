"""A game of the history as PGN, with times as comments."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import chess

from edgechess_console.past import Game
from edgechess_console.view import MovePart


def pgn_text(game: Game, moves: Sequence[MovePart]) -> str:
    """One line for each move. A game that is not over has the result "*"."""
    played = datetime.datetime.fromtimestamp(game.started_at or game.created_at, datetime.UTC)
    result = game.result if game.result in ("1-0", "0-1", "1/2-1/2") else "*"
    tags = {
        "Event": "edgechess match",
        "Site": "?",
        "Date": played.strftime("%Y.%m.%d"),
        "Round": "-",
        "White": game.white_name,
        "Black": game.black_name,
        "Result": result,
    }
    if game.start_fen and game.start_fen != chess.STARTING_FEN:
        tags |= {"SetUp": "1", "FEN": game.start_fen}
    tags["Session"] = game.session_id
    if game.termination:
        tags["Termination"] = game.termination
    lines = [f'[{name} "{_plain(text)}"]' for name, text in tags.items()]
    return "\n".join([*lines, "", *(_line(game.start_fen, move) for move in moves), result, ""])


def _line(start_fen: str, move: MovePart) -> str:
    fields = (start_fen or chess.STARTING_FEN).split(" ")
    first = 2 * (int(fields[5]) if len(fields) > 5 and fields[5].isdecimal() else 1) + (fields[1:2] == ["b"])
    number = first + move.ply - 1
    return f"{number // 2}{'...' if number % 2 else '.'} {_plain(move.san)} {{{_comment(move)}}}"


def _comment(move: MovePart) -> str:
    parts = [
        f"{name} {move.timings[name]:.1f} s" for name in ("board-before", "arm", "board-after") if name in move.timings
    ]
    notes = [", ".join(parts)] if parts else []
    if move.thought is not None:
        notes.append(f"moved by {move.by}" + (" instead" if move.thought.fallback else ""))
    if move.repaired:
        notes.append("put right by the arm")
    if move.helped:
        notes.append("a person helped")
    tenths = round(max(move.think_s, 0.0) * 10)
    clock = f"[%emt {tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}]"
    return f"{clock} {_plain('; '.join(notes))}".rstrip()


def _plain(text: str) -> str:
    """Without what ends a tag, a comment or a line."""
    return "".join(
        "'" if letter == '"' else letter for letter in text if letter.isprintable() and letter not in "{}[]%\\"
    )
