"""The record of a match: a PGN that any chess program reads, with times and phase timings as comments."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import chess

from edgechess_match_director.match import Ended, Match, Ply, Thought

PHASE_NAMES = {"board-before": "board", "arm": "arm", "board-after": "board"}  # in the order in which they happen


def pgn_text(match: Match, *, event: str, site: str, round_: str = "-") -> str:
    """The game so far. Players are named by their words; a game under way has the result "*"."""
    plan, end = match.plan, match.step.ending if isinstance(match.step, Ended) else None
    started = match.started_at if match.started_at is not None else plan.created_at
    result = end.result if end else "*"
    tags = {
        "Event": event,
        "Site": site,
        "Date": datetime.datetime.fromtimestamp(started, datetime.UTC).strftime("%Y.%m.%d"),
        "Round": round_,
        "White": plan.white,
        "Black": plan.black,
        "Result": result,
    }
    if plan.start_fen != chess.STARTING_FEN:
        tags |= {"SetUp": "1", "FEN": plan.start_fen}
    tags["Session"] = plan.session_id
    if end is not None:
        tags["Termination"] = end.termination
    lines = [f'[{name} "{_tag(text)}"]' for name, text in tags.items()]
    return "\n".join([*lines, "", *_movetext(plan.start_fen, match.plies), result, ""])


def _movetext(start_fen: str, plies: tuple[Ply, ...]) -> Iterator[str]:
    """One line per ply: a record that grows by a line is read while it grows, and compared line by line."""
    start = chess.Board(start_fen)
    first = 2 * start.fullmove_number + (0 if start.turn == chess.WHITE else 1)
    for number, ply in enumerate(plies, first):
        dots = "." if number % 2 == 0 else "..."
        yield f"{number // 2}{dots} {ply.san} {{{comment(ply)}}}"


def comment(ply: Ply) -> str:
    """`[%emt 0:00:01.2] board 0.4 s, arm 9.8 s, board 0.6 s; a person helped`."""
    names = PHASE_NAMES | ({"arm": "hand"} if ply.executor == "person" else {})
    parts = [f"{name} {ply.timings_s[phase]:.1f} s" for phase, name in names.items() if phase in ply.timings_s]
    text = f"[%emt {_clock(ply.think_s)}] {', '.join(parts)}".rstrip()
    if ply.thought is not None:
        text += f"; {_who(ply, ply.thought)}"
    if ply.retried:
        text += f"; asked {ply.retried + 1} times"
    if ply.repaired:
        text += "; put right by the arm"
    if ply.helped:
        text += "; a person helped"
    return text


def _who(ply: Ply, thought: Thought) -> str:
    """`moved by tiny at attempt 2: illegal Ke9`; for the engine: `moved by Stockfish 16 instead: no-move, late`."""
    whence = " instead" if thought.fallback else f" at attempt {thought.attempts}" if thought.attempts > 1 else ""
    why = f": {', '.join(thought.failures)}" if thought.failures else ""
    constrained = " (legal moves only)" if thought.constrained else ""
    return _plain(f"moved by {ply.by}{whence}{constrained}{why}")


def _plain(text: str) -> str:
    """Without what ends a comment or begins a command in one."""
    return "".join(letter for letter in text if letter.isprintable() and letter not in "{}[]%")


def write_atomically(path: Path, text: str) -> None:
    """Whoever reads the file sees the old text or the new, never half. Raises OSError.

    Not synced to the disk: what must survive a power failure is in the journal, and the next move writes it all again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
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
