"""A match read back from the director's own journal. What is not in the journal did not happen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec

from edgechess_kit.journal import Entry, Journal
from edgechess_match_director.errors import JournalDamaged
from edgechess_match_director.match import (
    Asking,
    Blocked,
    Due,
    Ended,
    Errand,
    Held,
    Match,
    Plan,
    Ply,
    Postponed,
    Requesting,
    Thought,
    Watching,
    new_match,
)
from edgechess_match_director.rules import Ending, play

CREATED = "session-created"


def plan_data(plan: Plan) -> dict[str, Any]:
    """The data of the "session-created" entry."""
    return dataclasses.asdict(plan)


def last_match(journal: Journal) -> Match | None:
    """The match that was created last, at the step where its journal ends. Feed it `Restarted` before anything else.

    Raises JournalDamaged.
    """
    created = journal.last(kind=CREATED)
    if created is None:
        return None
    return fold([created, *journal.entries(session_id=created.session_id, after_seq=created.seq)])


def fold(entries: Sequence[Entry]) -> Match:
    """The match that these entries tell, the first of them "session-created". Raises JournalDamaged."""
    entry = entries[0]
    try:
        match = new_match(msgspec.convert(entry.data, Plan))
        for entry in entries[1:]:
            match = _apply(match, entry)
    except (KeyError, TypeError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise JournalDamaged(f"entry {entry.seq} ({entry.kind}): {error}") from error
    return match


def _apply(match: Match, entry: Entry) -> Match:
    data = entry.data
    match entry.kind:
        case "requested":
            errand = _errand(match, data)
            if entry.key is None:
                raise ValueError("a request without a token")
            step = Requesting(errand, entry.key, data["executor"], sent=1)
            return dataclasses.replace(match, step=step, played=match.played + (errand.uci is not None))
        case "table-set-up":
            return dataclasses.replace(match, setup_helped=data["helped"])
        case "session-started":
            return dataclasses.replace(match, step=Due(None), started_at=data["started_at"])
        case "asking":
            watching = data["seat"] == "person"
            step_ = Watching(data["since"]) if watching else Asking(data["attempt"], data["since"])
            return dataclasses.replace(match, step=step_)
        case "player-failed":
            return dataclasses.replace(match, step=Asking(data["attempt"], entry.at))
        case "move-chosen":
            errand = Errand(
                data["lan"],
                by=data["by"],
                think_s=data["think_s"],
                thought=_thought(data),
                entered=data.get("entered", False),
            )
            return dataclasses.replace(match, step=Held(errand))
        case "confirmed":
            return _confirm(match, data)
        case "failed":
            return _fail(match, data)
        case "helped":
            return _help(match)
        case "paused" | "resumed":
            return dataclasses.replace(match, paused=entry.kind == "paused")
        case "draw-offered":
            return dataclasses.replace(match, draw_offers=(*match.draw_offers, data["color"]))
        case "ending":
            return dataclasses.replace(match, close=Ending(data["result"], data["termination"], data["reason"]))
        case "summary":
            ended = Ended(Ending(data["result"], data["termination"]))
            return dataclasses.replace(match, step=ended, ended_at=entry.at, close=None, paused=False)
        case _:
            return match  # entries for people


def _thought(data: dict[str, Any]) -> Thought | None:
    """None also in journals that were written before models played."""
    return msgspec.convert(data["thought"], Thought) if "thought" in data else None


def _errand(match: Match, data: dict[str, Any]) -> Errand:
    return Errand(
        data["lan"] or None,
        by=data["by"],
        think_s=data["think_s"],
        requests=data["requests"],
        arm_failures=data["arm_failures"],
        busy=data["busy"],
        helped=data["helped"],
        repaired=data["repaired"],
        setup=data["action"] == "setup",
        thought=_thought(data),
        entered=data.get("entered", False),
    )


def _confirm(match: Match, data: dict[str, Any]) -> Match:
    san, fen = play(match.fen, data["lan"])
    ply = Ply(
        uci=data["lan"],
        san=san,
        fen=fen,
        by=data["by"],
        think_s=data["think_s"],
        at=data["at"],
        timings_s=data["timings"],
        executor=data["executor"],
        helped=data["helped"],
        retried=data["retried"],
        repaired=data["repaired"],
        thought=_thought(data),
    )
    theirs = Ending(data["result"], data["termination"]) if data["result"] else None
    return dataclasses.replace(
        match, step=Due(theirs), fen=fen, plies=(*match.plies, ply), confirmed=match.confirmed + 1, draw_offers=()
    )


def _fail(match: Match, data: dict[str, Any]) -> Match:
    if not isinstance(match.step, Requesting):
        raise ValueError("a request failed that was never made")
    errand = dataclasses.replace(
        match.step.errand,
        arm_failures=data["arm_failures"],
        busy=data["busy"],
        uncertain=data["uncertain"],
        repaired=data["repaired"],
        wanted=data["wanted"],
    )
    step = Postponed(errand) if data["status"] == 400 else Blocked(errand)
    return dataclasses.replace(match, step=step, played=match.played - (errand.uci is not None))


def _help(match: Match) -> Match:
    if isinstance(match.step, Blocked):
        errand = dataclasses.replace(match.step.errand, helped=True)
        return dataclasses.replace(match, step=Blocked(errand))
    return match
