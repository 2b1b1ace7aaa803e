"""The machine's steps of a setup: look at the board, judge the last job, give the next one or end. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

import chess
import msgspec

from edgechess_game_manager import rules
from edgechess_game_manager.classification import differences, named
from edgechess_game_manager.effects import CancelTimer, GiveJob, StartTimer, Write
from edgechess_game_manager.repair import named as piece_name
from edgechess_game_manager.repair import pieces_on
from edgechess_game_manager.setup import Batch, Beside, missing, next_batch, tidy
from edgechess_game_manager.state import Progress, Stage, State, given_setup
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
    held = [status.holding for status in arms.arms if status.holding is not None]
    everything = _everything(found, arms, held)
    well = all(status.mode in WELL for status in arms.arms)
    progress, trouble = _judged(work.progress, work.result, everything, state.settings.setup_failures, well)
    if trouble is not None:
        code, words = trouble
        lost = sorted((Counter(work.progress.pieces) - everything).elements())
        expected = found if code == "arm-refused" else _put_back(found, goal, lost)
        return _stuck(state, at, found, expected, code, words)
    order: Batch | None
    if found != goal and progress.jobs == 0:
        if work.wrong != found:
            # a hand may still be in it: what shows the same a while later stands there
            work = fresh_questions(dataclasses.replace(work, wrong=found))
            return Step(dataclasses.replace(state, work=work), (StartTimer("board", state.settings.repair_look_s),))
        lacking = sorted(missing(found, goal, Beside.of(arms), held).elements())
        if lacking:
            words = _why(lacking, progress, None)
            return _stuck(state, at, found, _put_back(found, goal, lacking), "setup-incomplete", words)
    if found == goal:
        arm = tidy(arms, progress.tidied)
        if arm is None:
            return finish(state, at, 200, Draft("set-up", {"fen": goal}, work.request.session_id, work.token))
        order = Batch(arm, goal, ())
        progress = dataclasses.replace(progress, tidied=(*progress.tidied, arm))
    else:
        names = tuple(status.name for status in arms.arms)
        limit = 1 if progress.narrow else state.settings.setup_carries
        order = next_batch(found, goal, names, Beside.of(arms), limit, frozenset(progress.vain))
    if order is None or progress.jobs >= JOBS_LIMIT:
        lacking = sorted(missing(found, goal, Beside.of(arms), held).elements())
        words = _why(lacking, progress, work.result)
        return _stuck(state, at, found, _put_back(found, goal, lacking), "setup-incomplete", words)
    return _order(state, at, found, order, dataclasses.replace(progress, pieces="".join(sorted(everything.elements()))))


def _judged(
    progress: Progress, result: m.ArmJobResult | None, everything: Counter[str], failures_limit: int, well: bool
) -> tuple[Progress, tuple[str, str] | None]:
    """What the last job's end teaches; and code and words where a person must look before anything goes on. `well`: no arm
    needs that now."""
    if result is None:
        return progress, None
    lost = Counter(progress.pieces) - everything
    said = ": ".join(word for word in (result.code, result.reason) if word) or "the arm noticed nothing"
    if lost:
        verb = "is" if lost.total() == 1 else "are"
        return progress, ("dropped", f"{_pieces(lost.elements())} {verb} neither on the board nor beside it ({said})")
    if result.outcome == "done":
        return dataclasses.replace(progress, narrow=False), None
    if result.outcome == "refused" and result.code in UNPLANNED:
        if len(progress.squares) > 1:
            return dataclasses.replace(progress, narrow=True), None
        tried = tuple((progress.arm, square) for square in progress.squares)
        return dataclasses.replace(progress, vain=(*progress.vain, *tried)), None
    if result.outcome == "refused" and not (result.code == NOT_YET and well):
        return progress, ("arm-refused", f"the arm refused the job ({said})")
    progress = dataclasses.replace(progress, failures=progress.failures + 1)
    if progress.failures > failures_limit:
        return progress, ("setup-failed", f"{progress.failures} jobs have failed, the last with {said}")
    return progress, None


def _order(state: State, at: float, found: str, batch: Batch, progress: Progress) -> Step:
    work, settings = work_of(state), state.settings
    progress = dataclasses.replace(progress, jobs=progress.jobs + 1, arm=batch.arm, squares=batch.squares)
    limit = at + settings.arm_start_limit_s
    job = m.ArmJob(
        job_id=f"{work.move_id}-s{progress.jobs}",
        kind="setup",
        session_id=work.request.session_id,
        before=f"{found} w - - 0 1",
        after=f"{batch.after} w - - 0 1",
        arm=batch.arm,
        deadline=min(limit, work.request.deadline) if work.request.deadline is not None else limit,
    )
    work = given_setup(enter(work, Stage.SETUP_ARM, at), job, progress)
    left = len(differences(rules.placement(work.after), found))
    data = {"job": msgspec.to_builtins(job), "progress": msgspec.to_builtins(progress), "left": left}
    order = Draft("setup-ordered", data, work.request.session_id, work.token)
    timers = (StartTimer("arm-repeat", settings.arm_repeat_s), StartTimer("arm", job_limit_s(state, progress)))
    state = dataclasses.replace(state, work=work)
    return Step(state, (CancelTimer("board"), Write((order,)), GiveJob(job), *timers))


def job_limit_s(state: State, progress: Progress | None) -> float:
    """Without a result after so long the outcome of the job is unknown."""
    return state.settings.arm_deadline_s + (CARRY_S * len(progress.squares) if progress is not None else 0.0)


def _stuck(state: State, at: float, found: str, expected: str, code: str, words: str) -> Step:
    """The arms cannot go on. `expected` is the least that a person must bring about; then it can be asked again."""
    wrong = differences(expected, found)
    todo = f"; put right: {named(wrong)}" if wrong else ""
    return fail(state, at, code, f"{words}{todo}", wrong=wrong, expected=expected, found=found)


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
    if progress.vain and result is not None:
        squares = ", ".join(sorted({square for _, square in progress.vain}))
        return f"no arm can do what is left ({squares}): {result.code}: {result.reason}"
    if progress.jobs >= JOBS_LIMIT:
        return f"not done after {JOBS_LIMIT} jobs"
    return "no tray has room for what is left"


def _pieces(letters: Iterable[str]) -> str:
    counted = Counter(letters)
    words = [
        f"{count} {piece_name(piece)}s" if count > 1 else f"a {piece_name(piece)}" for piece, count in counted.items()
    ]
    return ", ".join(words[:NAMED_LIMIT])


def _everything(found: str, arms: m.ArmState, held: Sequence[str]) -> Counter[str]:
    """Every piece that is known of: on the board, in a slot (doubtful ones too), in a gripper."""
    return Counter([*pieces_on(found).values(), *(piece for _, piece in Beside.of(arms).pieces), *held])
