"""The record of a match: a PGN that any chess program reads, with times and phase timings as comments."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import chess
import chess.pgn

from edgechess_match_director.match import Ended, Match, Ply

PHASE_NAMES = {"board-before": "board", "arm": "arm", "board-after": "board"}  # in the order in which they happen


def pgn_text(match: Match, *, event: str, site: str, round_: str = "-") -> str:
    """The game so far. Players are named by their words; a game under way has the result "*"."""
    plan, end = match.plan, match.step.ending if isinstance(match.step, Ended) else None
    started = match.started_at if match.started_at is not None else plan.created_at
    game = chess.pgn.Game()
    game.setup(chess.Board(plan.start_fen))  # writes SetUp and FEN where it is not the usual position
    tags = {
        "Event": event,
        "Site": site,
        "Date": datetime.datetime.fromtimestamp(started, datetime.UTC).strftime("%Y.%m.%d"),
        "Round": round_,
        "White": plan.white,
        "Black": plan.black,
        "Result": end.result if end else "*",
        "Session": plan.session_id,
    }
    if end is not None:
        tags["Termination"] = end.termination
    for name, text in tags.items():
        game.headers[name] = _tag(text)
    node: chess.pgn.GameNode = game
    for ply in match.plies:
        node = node.add_variation(chess.Move.from_uci(ply.uci))
        node.comment = comment(ply)
    exporter = chess.pgn.StringExporter(headers=True, comments=True, variations=False, columns=100)
    return game.accept(exporter) + "\n"


def comment(ply: Ply) -> str:
    """`[%emt 0:00:01.2] board 0.4 s, arm 9.8 s, board 0.6 s; a person helped`."""
    names = PHASE_NAMES | ({"arm": "hand"} if ply.executor == "person" else {})
    parts = [f"{name} {ply.timings_s[phase]:.1f} s" for phase, name in names.items() if phase in ply.timings_s]
    text = f"[%emt {_clock(ply.think_s)}] {', '.join(parts)}".rstrip()
    if ply.retried:
        text += f"; asked {ply.retried + 1} times"
    if ply.helped:
        text += "; a person helped"
    return text


def write_atomically(path: Path, text: str) -> None:
    """Whoever reads the file sees the old text or the new, never half. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _clock(seconds: float) -> str:
    """h:mm:ss.t as the PGN time extensions write elapsed move time."""
    tenths = round(max(seconds, 0.0) * 10)
    hours, tenths = divmod(tenths, 36_000)
    minutes, tenths = divmod(tenths, 600)
    return f"{hours}:{minutes:02}:{tenths // 10:02}.{tenths % 10}"


def _tag(text: str) -> str:
    """A tag value on one line without the characters that PGN readers trip over."""
    return "".join("'" if letter == '"' else letter for letter in text if letter.isprintable()).replace("\\", "/")
