"""The game manager as a pure machine: `decide(state, event) -> (state, effects)`.

`TABLE` says which event is heeded in which stage, by whom, and where it may lead; what is not in it changes nothing.
The diagram in docs/game-manager-states.md is generated from it. The rules of one move:

- What is journalled is journalled before it is acted on (`Write` comes before the effects that need it).
- A token has one outcome. While its request is under way a repeat of it does nothing; afterwards it gets the first answer.
- A job is given again as long as nobody has heard of it, under the same id. Silence is never failure: the outcome is
  then unknown, and the board is asked what happened.
- Nothing is confirmed unless a settled reading, asked for after the pieces moved, is the position after the move.
- What went wrong an arm puts right where `repair.doubt` has none, with a job of its own, so many times and no oftener.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from edgechess_game_manager.arms_work import (
    arm_timer,
    arms_while_moving,
    arms_while_parking,
    job_ended,
    rest_timer,
    sample_arm_moved,
)
from edgechess_game_manager.effects import (
    Effect,
)
from edgechess_game_manager.events import (
    ArmMoved,
    ArmsSeen,
    BoardAnswered,
    BoardSeen,
    BoardStarted,
    Event,
    JobEnded,
    MalformedSeen,
    ProcessedSeen,
    RequestSeen,
    Restored,
    TimerFired,
    VerdictSeen,
)
from edgechess_game_manager.moved import processed_after, processed_while_arm
from edgechess_game_manager.persons_move import board_while_person, person_timer, processed_while_person
from edgechess_game_manager.readings import lifted, newer
from edgechess_game_manager.requests import take_malformed, take_request
from edgechess_game_manager.restarting import (
    restored_asking,
    restored_at_rest,
    restored_moved,
    restored_moving,
    restored_person,
)
from edgechess_game_manager.silence import board_timer
from edgechess_game_manager.state import (
    Stage,
    State,
)
from edgechess_game_manager.steps import (
    Step,
)
from edgechess_game_manager.validation import board_answered_before, board_started
from edgechess_game_manager.verdicts import take_verdict, take_verdict_while_moving
from edgechess_game_manager.verification import board_answered_after


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """Who decides, and every stage it may lead to with the words for the diagram."""

    decide: Callable[[State, Any], Step]
    to: Mapping[Stage, str]


def decide(state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
    """The next state and what is to be done, in order. Raises nothing for any event."""
    if isinstance(event, BoardSeen):
        state = lifted(dataclasses.replace(state, board=event.board))
    if isinstance(event, ArmsSeen) and (state.arms is None or newer(event.arms, state.arms.at)):
        state = dataclasses.replace(state, arms=event.arms)
    row = TABLE.get((state.stage, type(event)))
    if row is None:
        return state, ()
    step = row.decide(state, event)
    assert step.state.stage in row.to, f"{state.stage} to {step.state.stage} on {type(event).__name__}"
    return step


_REST = (Stage.NO_SESSION, Stage.READY, Stage.ENDED)
_FAILED = "failed: 500"


def _stays(stage: Stage, words: str) -> dict[Stage, str]:
    return {stage: words}


def _table() -> dict[tuple[Stage, type[Any]], Row]:
    n, r, e = _REST
    start, before, arm, park, person, after, repair, setup, setup_arm = (
        Stage.STARTING,
        Stage.BOARD_BEFORE,
        Stage.ARM,
        Stage.PARKING,
        Stage.PERSON,
        Stage.BOARD_AFTER,
        Stage.REPAIR,
        Stage.SETUP,
        Stage.SETUP_ARM,
    )
    table: dict[tuple[Stage, type[Any]], Row] = {}
    for stage in Stage:
        table[stage, MalformedSeen] = Row(take_malformed, _stays(stage, "malformed or oversized: 400"))
        table[stage, RequestSeen] = Row(take_request, _stays(stage, "busy: 400; its own token: nothing yet"))
        if stage in (before, arm, park, person, after, repair):
            table[stage, VerdictSeen] = Row(
                take_verdict_while_moving, _stays(stage, "noted: the session ends with the move")
            )
    table[start, VerdictSeen] = Row(take_verdict, _stays(start, "the session before it ends"))
    refused = "refused: 400; repeated token: the same answer"
    for stage in _REST:
        taken = {start: "start received", setup: "setup received"}
        table[stage, RequestSeen] = Row(take_request, {stage: refused, **taken})
        table[stage, Restored] = Row(restored_at_rest, _stays(stage, "restart: the last answer again"))
    table[r, RequestSeen] = Row(
        take_request, {r: refused, **taken, before: "move received", n: "a setup comes too late"}
    )

    table[r, VerdictSeen] = Row(
        take_verdict, {r: "another session", e: "the game is over: resignation, draw by agreement"}
    )

    table[start, Restored] = Row(restored_asking, _stays(start, "restart: ask again"))
    table[start, TimerFired] = Row(board_timer, {start: "silence: ask again", **dict.fromkeys(_REST, _FAILED)})
    table[start, BoardStarted] = Row(
        board_started, {start: "blind: ask again", n: _FAILED, e: _FAILED, r: "started: 200, or failed: 500"}
    )

    table[before, Restored] = Row(restored_asking, {before: "restart: ask again", park: "restart: wait for the arms"})
    table[before, TimerFired] = Row(board_timer, {before: "silence: ask again", r: _FAILED})
    table[before, BoardAnswered] = Row(
        board_answered_before,
        {
            before: "blind: ask again; wrong, and certain: look twice",
            repair: "still wrong: repair",
            arm: "validated, commanded",
            person: "validated: a person moves",
            after: "validated: a person has moved",
            r: _FAILED,
        },
    )

    done = "moved"
    sampled = {r: "sample board: confirmed or failed", e: "sample board: confirmed, game over"}
    table[arm, Restored] = Row(restored_moving, _stays(arm, "restart: the same job again"))
    table[arm, TimerFired] = Row(
        arm_timer,
        {
            arm: "not heard of: the same job again",
            park: "silence: unknown",
            after: "silence, arms at rest: unknown",
            **sampled,
        },
    )
    table[arm, JobEnded] = Row(
        job_ended,
        {
            arm: "another job",
            park: "unknown, not parked",
            after: done,
            **sampled,
        },
    )
    table[arm, ArmMoved] = Row(
        sample_arm_moved,
        {
            arm: "another move",
            after: done,
            **sampled,
        },
    )
    table[arm, ArmsSeen] = Row(arms_while_moving, _stays(arm, "job heard of, or over"))
    table[arm, ProcessedSeen] = Row(processed_while_arm, _stays(arm, "sample board: noted"))

    table[park, Restored] = Row(restored_moved, {park: "restart: wait for the arms"})
    table[repair, Restored] = Row(restored_moving, _stays(repair, "restart: the same job again"))
    table[repair, TimerFired] = Row(
        arm_timer,
        {
            repair: "not heard of: the same job again",
            park: "silence: unknown",
            after: "silence, arms at rest: unknown",
            before: "the same, of a repair before the move",
        },
    )
    table[repair, JobEnded] = Row(
        job_ended,
        {repair: "another job", park: "unknown, not parked", after: "repaired", before: "repaired before the move"},
    )
    table[repair, ArmsSeen] = Row(arms_while_moving, _stays(repair, "job heard of, or over"))

    aside = (n, e)  # a running session is over as soon as a setup is taken
    resting = dict.fromkeys(aside, "set up: 200, or a person is needed: 500")
    table[setup, Restored] = Row(restored_asking, {setup: "restart: ask again", park: "restart: wait for the arms"})
    table[setup, TimerFired] = Row(board_timer, {setup: "silence: ask again", **dict.fromkeys(aside, _FAILED)})
    table[setup, BoardStarted] = Row(
        board_started, {setup: "blind: ask again", setup_arm: "not yet: the next job", **resting}
    )
    table[setup_arm, Restored] = Row(restored_moving, _stays(setup_arm, "restart: the same job again"))
    table[setup_arm, TimerFired] = Row(
        arm_timer, {setup_arm: "not heard of: the same job again", park: "silence: unknown"}
    )
    table[setup_arm, JobEnded] = Row(job_ended, {setup_arm: "another job", park: "carried: the arms are heard"})
    table[setup_arm, ArmsSeen] = Row(arms_while_moving, _stays(setup_arm, "job heard of, or over"))

    table[park, TimerFired] = Row(
        rest_timer,
        {
            park: "another timer",
            after: "nobody says that the arms rest: lost",
            n: "of a setup: 500",
            r: "sample board: failed",
        },
    )
    table[park, ArmsSeen] = Row(
        arms_while_parking,
        {
            park: "not at rest",
            after: "arms at rest",
            before: "arms at rest after a repair before the move",
            setup: "arms at rest during a setup",
            **sampled,
        },
    )
    table[park, JobEnded] = Row(
        job_ended,
        {park: "still unknown", after: "moved after all", before: "repaired before the move after all", **sampled},
    )
    table[park, ProcessedSeen] = Row(processed_while_arm, _stays(park, "sample board: noted"))

    table[person, Restored] = Row(
        restored_person, {person: "restart: the time that was left", after: "restart: the time is over, ask"}
    )
    table[person, BoardSeen] = Row(board_while_person, {person: "not yet", after: "the board shows it"})
    table[person, ProcessedSeen] = Row(processed_while_person, {person: "another move", **sampled})
    table[person, TimerFired] = Row(person_timer, {person: "another timer", r: "not moved in time: 500"})

    table[after, Restored] = Row(restored_moved, {after: "restart: ask again", park: "restart: wait for the arms"})
    table[after, TimerFired] = Row(board_timer, {after: "silence: ask again", r: _FAILED})
    table[after, BoardAnswered] = Row(
        board_answered_after,
        {
            after: "blind: ask again",
            repair: "wrong, and certain: repair",
            person: "a piece was lifted again",
            r: "confirmed: 200, or failed: 500",
            e: "confirmed, game over: 200",
        },
    )
    table[after, ProcessedSeen] = Row(
        processed_after,
        {after: "another move", **sampled},
    )
    for (stage, event), row in table.items():
        if stage in (before, arm, park, person, after, repair) and r in row.to and e not in row.to:
            table[stage, event] = Row(row.decide, {**row.to, e: "failed: 500, and the session ended meanwhile"})
    return table


TABLE: Mapping[tuple[Stage, type[Any]], Row] = _table()
