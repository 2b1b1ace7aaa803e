"""After a restart: what was under way is taken up where nothing can happen twice. Pure."""

from __future__ import annotations

from edgechess_game_manager.arms_work import enter_parking, may_look
from edgechess_game_manager.effects import (
    Answer,
    GiveJob,
    StartTimer,
)
from edgechess_game_manager.events import (
    Restored,
)
from edgechess_game_manager.moved import enter_after
from edgechess_game_manager.persons_move import enter_person
from edgechess_game_manager.setting_up import job_limit_s
from edgechess_game_manager.state import (
    State,
)
from edgechess_game_manager.steps import (
    Step,
    ask,
    entered_again,
    work_of,
)


def restored_at_rest(state: State, event: Restored) -> Step:
    """The last answer may have been lost between journal and bus; the requester cannot know, so it is sent again."""
    if state.last_answer is None or event.at - state.last_answer[0] > state.settings.answer_again_s:
        return Step(state)
    return Step(state, (Answer(state.last_answer[1]),))


def restored_asking(state: State, event: Restored) -> Step:
    """Nothing physical is under way: phase 1 from its beginning, as soon as an arm that repaired something rests."""
    state = entered_again(state, event.at)
    if work_of(state).result is not None and not may_look(state):
        return enter_parking(state, event.at)
    return ask(state)


def restored_moving(state: State, event: Restored) -> Step:
    """The job's id is journalled: the same job again is answered, not done again. The sample's move is never repeated."""
    state = entered_again(state, event.at)
    work = work_of(state)
    assert work.job is not None
    deadline = StartTimer("arm", job_limit_s(state, work.progress))
    if state.settings.arm_protocol == "sample":
        return Step(state, (deadline,))
    return Step(state, (GiveJob(work.job), StartTimer("arm-repeat", state.settings.arm_repeat_s), deadline))


def restored_moved(state: State, event: Restored) -> Step:
    state = entered_again(state, event.at)
    return enter_after(state, event.at) if may_look(state) else enter_parking(state, event.at)


def restored_person(state: State, event: Restored) -> Step:
    """The person has the board, perhaps a piece in the hand: no question now, and no more time than was left.

    What was moved meanwhile the retained state of the board shows. Where the time is over that would come too late, so
    the board is asked; the sample's cannot be.
    """
    state = entered_again(state, event.at)
    deadline = work_of(state).person_deadline
    assert deadline is not None
    if event.at >= deadline and state.settings.board_protocol == "edgechess":
        return enter_after(state, event.at)
    return enter_person(state, event.at)
