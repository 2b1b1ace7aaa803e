"""The state from the journal: a fold over the entries of the newest session and of the newest request.

Entries that one decision writes are durable together, so there is no half of one to be found here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import msgspec

from edgechess_game_manager import rules
from edgechess_game_manager.answers import given
from edgechess_game_manager.settings import Settings
from edgechess_game_manager.state import Progress, Stage, State, Work, answered, commanded, ended, given_setup, ordered
from edgechess_kit import messages as m
from edgechess_kit.errors import JournalError
from edgechess_kit.journal import Entry, Journal


def restore(journal: Journal, settings: Settings, life: str) -> State:
    """What the process that wrote this journal knew. Raises JournalError for entries that make no sense."""
    seqs = [entry.seq for kind in ("started", "received") if (entry := journal.last(kind=kind)) is not None]
    if not seqs:
        return State(settings, life)
    return fold(journal.entries(after_seq=min(seqs) - 1), settings, life)


def fold(entries: Iterable[Entry], settings: Settings, life: str) -> State:
    """From the newest "started" and the newest "received" on, whichever is older; earlier entries are harmless."""
    state = State(settings, life)
    for entry in entries:
        try:
            state = _step(state, entry)
        except (ValueError, KeyError, msgspec.MsgspecError) as error:
            raise JournalError(f"journal entry {entry.seq} ({entry.kind}) makes no sense: {error}") from error
    return state


def _step(state: State, entry: Entry) -> State:
    """Unknown kinds, and those that only tell a reader ("failed"), change nothing."""
    work = state.work if state.work is not None and state.work.token == entry.key else None
    match entry.kind:
        case "received":
            work = dataclasses.replace(_received(state, entry), grasps=state.grasps, unreported=state.unreported)
            return dataclasses.replace(state, work=work)
        case "validated" if work is not None and "deadline" in entry.data:
            # a person's move; an arm's has "commanded" beside it
            deadline = msgspec.convert(entry.data["deadline"], float)
            work = dataclasses.replace(work, stage=Stage.PERSON, person_deadline=deadline, stage_at=entry.at)
            return dataclasses.replace(state, work=work)
        case "commanded" if work is not None:
            job = msgspec.convert(entry.data["job"], m.ArmJob)
            work = dataclasses.replace(commanded(work, job), stage=Stage.ARM, stage_at=entry.at)
            return dataclasses.replace(state, work=work)
        case "moved" | "repaired" | "carried" if work is not None:
            stage = Stage.BOARD_AFTER if work.goal == "after" else Stage.BOARD_BEFORE
            if work.progress is not None:
                stage = Stage.SETUP
            result = msgspec.convert(entry.data["result"], m.ArmJobResult)
            work = dataclasses.replace(ended(work, result), stage=stage, stage_at=entry.at)
            return dataclasses.replace(state, work=work)
        case "repair-ordered" if work is not None:
            job = msgspec.convert(entry.data["job"], m.ArmJob)
            work = dataclasses.replace(ordered(work, job, entry.data["goal"]), stage=Stage.REPAIR, stage_at=entry.at)
            return dataclasses.replace(state, work=work, repairs=state.repairs + 1)
        case "setup-ordered" if work is not None:
            job = msgspec.convert(entry.data["job"], m.ArmJob)
            progress = msgspec.convert(entry.data["progress"], Progress)
            work = dataclasses.replace(given_setup(work, job, progress), stage=Stage.SETUP_ARM, stage_at=entry.at)
            return dataclasses.replace(state, work=work)
        case "abandoned":
            return dataclasses.replace(state, session=None)
        case "started":
            assert entry.session_id is not None
            session = rules.new_session(entry.session_id, entry.data["fen"])
            return dataclasses.replace(state, session=session, repairs=0)
        case "confirmed" if state.session is not None and state.session.session_id == entry.session_id:
            session = rules.advance(state.session, entry.data["lan"], claim_draws=state.settings.claim_draws)
            return dataclasses.replace(state, session=session)
        case "ending" if state.work is not None and state.work.request.session_id == entry.session_id:
            verdict = msgspec.convert(entry.data, rules.Verdict)
            return dataclasses.replace(state, work=dataclasses.replace(state.work, verdict=verdict))
        case "ended" if state.session is not None and state.session.session_id == entry.session_id:
            # of an end that the board shows, "confirmed" said so already
            result, termination = entry.data["result"], entry.data["termination"]
            session = dataclasses.replace(state.session, result=result, termination=termination)
            return dataclasses.replace(state, session=session)
        case "answered" | "refused" if entry.key is not None:
            response = given(entry.data, entry.key)
            state = answered(state, work, response) if work is not None else state
            return dataclasses.replace(state, last_answer=(entry.at, response))
    return state


def _received(state: State, entry: Entry) -> Work:
    request = msgspec.convert({**entry.data["request"], "taskToken": entry.key}, m.GameRequest)
    executor: m.Executor = entry.data["executor"]
    if request.action == "start":
        session = rules.new_session(request.session_id, request.before)
        return Work(request, Stage.STARTING, executor, session.fen, entry.at, entry.at)
    if request.action == "setup":
        goal = rules.placement(request.before)
        return Work(request, Stage.SETUP, executor, goal, entry.at, entry.at, progress=Progress())
    move = rules.check_move(state.session, request)
    if isinstance(move, rules.Refusal):
        # the fold may begin at a request older than its session; its answer follows and clears it
        return Work(request, Stage.BOARD_BEFORE, executor, request.after, entry.at, entry.at)
    return Work(request, Stage.BOARD_BEFORE, executor, move.after, entry.at, entry.at, san=move.san)
