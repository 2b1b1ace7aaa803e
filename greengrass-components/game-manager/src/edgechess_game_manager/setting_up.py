"""The machine's steps of a setup: look at the board, judge the last job, give the next one or end. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

import chess
import msgspec

from edgechess_game_manager import rules
from edgechess_game_manager.beside import everything, in_trays, missing
from edgechess_game_manager.classification import differences, named
from edgechess_game_manager.effects import CancelTimer, GiveJob, StartTimer, Write
from edgechess_game_manager.repair import named as piece_name
from edgechess_game_manager.repair import pieces_on
from edgechess_game_manager.state import Progress, Stage, State, Work, given_setup, left_lying
from edgechess_game_manager.steps import Step, enter, fail, finish, fresh_questions, work_of
from edgechess_kit import messages as m
from edgechess_kit.journal import Draft

JOBS_LIMIT = 64  # of one setup: 32 pieces by twos, and as many again that do not succeed at once
CARRY_S = 60.0  # longer than an arm needs for one piece at its slowest
UNPLANNED = (
    "unreachable",
    "limits",
    "clearance",
    "no-slot",
    "no-piece",
)  # refused for what it was, not for the arm's state
NAMED_LIMIT = 8
NOT_YET = "not-ready"  # nothing moved: an arm was on its way home, and by now all of them rest
WELL = ("idle", "parked")


def setup_says(state: State, at: float, found: str) -> Step:
    """The board shows `found`, settled, and every arm rests; `state.arms` is what they said last."""
    work, arms = work_of(state), state.arms
    assert work.progress is not None
    assert arms is not None
    goal = rules.placement(work.after)
    known = everything(found, arms)
    felt = left_lying(state, work, found)
    if felt is not None:
        return _stuck(state, at, found, _without(found, felt.square), "dropped", f"{felt.words}: take it off the board")
    well = all(status.mode in WELL for status in arms.arms)
    progress, trouble = _judged(work.progress, work.result, known, state.settings.setup_failures, well)
    if trouble is not None:
        code, words = trouble
        lost = sorted((Counter(work.progress.pieces) - known).elements())
        expected = found if code == "arm-refused" else _put_back(found, goal, lost)
        return _stuck(state, at, found, expected, code, words)
    full = any(status.holding is not None for status in arms.arms)
    if found == goal and not full:
        if not _spares_may_go_home(work, progress, arms):
            return finish(state, at, 200, Draft("set-up", {"fen": goal}, work.request.session_id, work.token))
        progress = dataclasses.replace(progress, homeward=progress.homeward + 1)
    elif progress.jobs == 0 and work.wrong != found and found != goal:
        # a hand may still be in it: what shows the same a while later stands there
        work = fresh_questions(dataclasses.replace(work, wrong=found))
        return Step(dataclasses.replace(state, work=work), (StartTimer("board", state.settings.repair_look_s),))
    else:
        lacking = missing(found, goal, arms)
        if (lacking and progress.jobs == 0) or progress.jobs >= JOBS_LIMIT or _impossible(work, found):
            words = _why(lacking, progress, work.result)
            return _stuck(state, at, found, _put_back(found, goal, lacking), "setup-incomplete", words)
    return _order(state, at, found, dataclasses.replace(progress, pieces="".join(sorted(known.elements()))))


def _judged(
    progress: Progress, result: m.ArmJobResult | None, known: Counter[str], failures_limit: int, well: bool
) -> tuple[Progress, tuple[str, str] | None]:
    """What the last job's end teaches; and code and words where a person must look before anything goes on. `well`: no arm
    needs that now."""
    if result is None:
        return progress, None
    lost = Counter(progress.pieces) - known
    said = ": ".join(word for word in (result.code, result.reason) if word) or "the arm noticed nothing"
    if lost:
        verb = "is" if lost.total() == 1 else "are"
        return progress, ("dropped", f"{_pieces(lost.elements())} {verb} neither on the board nor beside it ({said})")
    if result.outcome == "done" or _unplanned(result):
        return progress, None
    if result.outcome == "refused" and result.code not in UNPLANNED and not (result.code == NOT_YET and well):
        return progress, ("arm-refused", f"the arm refused the job ({said})")
    progress = dataclasses.replace(progress, failures=progress.failures + 1)
    if progress.failures > failures_limit:
        return progress, ("setup-failed", f"{progress.failures} jobs have failed, the last with {said}")
    return progress, None


def _unplanned(result: m.ArmJobResult) -> bool:
    """No arm got the board for it: it was refused for what it asks."""
    return result.outcome == "refused" and result.code in UNPLANNED and result.token is None


def _impossible(work: Work, found: str) -> bool:
    """No arm could do anything of what is left, and it is left still. A job without a limit was one arm's (as it was ordered
    in earlier releases): it says nothing of the others."""
    if work.result is None or work.job is None or work.job.limit is None:
        return False
    return _unplanned(work.result) and rules.placement(work.job.before) == found


def _spares_may_go_home(work: Work, progress: Progress, arms: m.ArmState) -> bool:
    """Once the board is done, spare pieces in the trays may belong in racks. One job for each arm, and none after one that
    carried nothing."""
    if not in_trays(arms) or progress.homeward >= len(arms.arms):
        return False
    return progress.homeward == 0 or (work.result is not None and bool(work.result.grasps))


def _order(state: State, at: float, found: str, progress: Progress) -> Step:
    """The whole goal, and how much of it at once: which arm carries what is the arms' own business."""
    work, settings = work_of(state), state.settings
    progress = dataclasses.replace(progress, jobs=progress.jobs + 1)
    limit = at + settings.arm_start_limit_s
    goal = rules.placement(work.after)
    job = m.ArmJob(
        job_id=f"{work.move_id}-s{progress.jobs}",
        kind="setup",
        session_id=work.request.session_id,
        before=f"{found} w - - 0 1",
        after=f"{goal} w - - 0 1",
        limit=settings.setup_carries,
        deadline=min(limit, work.request.deadline) if work.request.deadline is not None else limit,
    )
    work = given_setup(enter(work, Stage.SETUP_ARM, at), job, progress)
    left = len(differences(goal, found))
    data = {"job": msgspec.to_builtins(job), "progress": msgspec.to_builtins(progress), "left": left}
    order = Draft("setup-ordered", data, work.request.session_id, work.token)
    timers = (StartTimer("arm-repeat", settings.arm_repeat_s), StartTimer("arm", job_limit_s(state, progress)))
    state = dataclasses.replace(state, work=work)
    return Step(state, (CancelTimer("board"), Write((order,)), GiveJob(job), *timers))


def job_limit_s(state: State, progress: Progress | None) -> float:
    """Without a result after so long the outcome of the job is unknown."""
    settings = state.settings
    return settings.arm_deadline_s + (CARRY_S * settings.setup_carries if progress is not None else 0.0)


def _stuck(state: State, at: float, found: str, expected: str, code: str, words: str) -> Step:
    """The arms cannot go on. `expected` is the least that a person must bring about; then it can be asked again."""
    wrong = differences(expected, found)
    todo = f"; put right: {named(wrong)}" if wrong else ""
    return fail(state, at, code, f"{words}{todo}", wrong=wrong, expected=expected, found=found)


def _without(found: str, square: str) -> str:
    board = chess.BaseBoard(found)
    board.remove_piece_at(chess.parse_square(square))
    return board.board_fen()


def _put_back(found: str, goal: str, lacking: Sequence[str]) -> str:
    """`found` with the lacking pieces where `goal` wants them; `goal` itself where that is not enough or not possible."""
    board, wanted = chess.BaseBoard(found), pieces_on(goal)
    for piece in lacking:
        empty = [
            square
            for square, letter in wanted.items()
            if letter == piece and board.piece_at(chess.parse_square(square)) is None
        ]
        if not empty:
            return goal
        board.set_piece_at(chess.parse_square(empty[0]), chess.Piece.from_symbol(piece))
    return board.board_fen() if lacking else goal


def _why(lacking: Sequence[str], progress: Progress, result: m.ArmJobResult | None) -> str:
    if lacking:
        verb = "is" if len(lacking) == 1 else "are"
        return f"{_pieces(lacking)} {verb} missing: not on the board, in no tray and no rack"
    if progress.jobs >= JOBS_LIMIT:
        return f"not done after {JOBS_LIMIT} jobs"
    if result is None or result.code == "no-slot":
        return "no tray has room for what is left"
    return f"no arm can do what is left: {result.code}: {result.reason}"


def _pieces(letters: Iterable[str]) -> str:
    counted = Counter(letters)
    words = [
        f"{count} {piece_name(piece)}s" if count > 1 else f"a {piece_name(piece)}" for piece, count in counted.items()
    ]
    return ", ".join(words[:NAMED_LIMIT])
