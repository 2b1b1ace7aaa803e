"""The next job of a setup: which arm carries which pieces, planned and checked like every job.

The choreography says what could be carried, and in which order arms and ways are to be tried; here it is found out what of
that an arm can really do. What it cannot do is left out and the rest goes on, so that a far corner holds nothing up.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import chess

from edgechess_arm_controller import motion
from edgechess_arm_controller.choreography import EMPTY, Share, pieces_on, setup_carries, shares
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.motion import Part
from edgechess_arm_controller.obstacles import outlines_of
from edgechess_arm_controller.planner import CARRIES_LIMIT, Attempt, Checker, Ground, checking, culprit, standing
from edgechess_arm_controller.slots import Slots
from edgechess_kit.messages import ArmJob
from edgechess_robots.arm import CheckedPlan, Plan
from edgechess_robots.errors import PlanRefused
from edgechess_robots.gradual import Gradual
from edgechess_robots.layout import TableLayout

NAMED_LIMIT = 8  # squares in a refusal: beyond that nobody reads on

Planned = tuple[str, tuple[Part, ...], CheckedPlan | None]
"""The arm, the parts of its job, and the check of all of them as one plan (None when there is nothing to carry)."""


def nearest_squares(layout: TableLayout, arms: Sequence[str]) -> dict[str, frozenset[str]]:
    """The squares nearest to each arm's base; every square is one arm's. Of equals the first is taken."""

    def away_mm(arm: str, square: str) -> float:
        base, at = layout.site(arm).base, layout.square(square)
        return math.hypot(at.x_mm - base.x_mm, at.y_mm - base.y_mm)

    owner = {square: min(arms, key=lambda arm, at=square: away_mm(arm, at)) for square in chess.SQUARE_NAMES}  # type: ignore[misc]
    return {arm: frozenset(square for square in owner if owner[square] == arm) for arm in arms}


def plan_setup(job: ArmJob, slots: Slots, ground: Ground, arms: Mapping[str, Checker]) -> Gradual[Planned]:
    """The first so many carries towards `job.after` that one arm can do; `job.arm` where that is given, else any.

    Nothing to carry is planned by the first arm. Raises JobRefused, naming the squares that are left, when no arm can do
    anything of it.
    """
    names = [name for name in arms if job.arm in (None, name)]
    near = nearest_squares(ground.layout, names)
    vain = {name: _Vain() for name in names}
    last: JobRefused | None = None
    for share in shares(job.before, job.after, near, slots, min(job.limit or CARRIES_LIMIT, CARRIES_LIMIT)):
        known = vain[share.arm]
        try:
            parts, checked = yield from _plan_share(job, share, known, slots, ground, arms)
        except JobRefused as error:
            last = last if last is not None and share.turn == "aside" else error
            continue
        if parts:
            return share.arm, parts, checked
    refusal = next((known.refusal for known in vain.values() if known.refusal is not None), last)
    left = _left(job)
    if refusal is None or not left:
        return names[0], (), None
    raise JobRefused(refusal.code, f"{', '.join(left)}: {refusal.reason}")


@dataclasses.dataclass(slots=True)
class _Vain:
    """What one arm was found unable to do: the places, and the first refusal."""

    places: frozenset[str] = EMPTY
    refusal: JobRefused | None = None


def _plan_share(
    job: ArmJob, share: Share, vain: _Vain, slots: Slots, ground: Ground, arms: Mapping[str, Checker]
) -> Gradual[tuple[tuple[Part, ...], CheckedPlan | None]]:
    """Raises JobRefused when nothing of it is possible. Each round takes a place away or halves the share, so it ends."""
    arm, checker = share.arm, arms[share.arm]
    outlines = outlines_of(arms, arm)
    while carries := setup_carries(job.before, job.after, share, slots, vain.places):
        attempt = Attempt(carries, standing(job, slots), ground, checker, outlines)
        try:
            return (yield from attempt.checked())
        except PlanRefused as error:
            refusal, blamed = JobRefused(error.code, str(error)), (yield from _blamed(attempt.parts, checker))
        except JobRefused as error:
            refusal, blamed = error, _places(*attempt.blocked) if attempt.blocked is not None else EMPTY
        if not blamed and len(carries) > 1:  # each of them is possible by itself
            share = dataclasses.replace(share, limit=len(carries) // 2)
            continue
        places = blamed or frozenset((carries[0].from_place, carries[0].to_place))
        vain.places |= places
        vain.refusal = vain.refusal or JobRefused(refusal.code, f"arm {arm}, {', '.join(sorted(places))}: {refusal}")
    return (), None


def _blamed(parts: Sequence[Part], checker: Checker) -> Gradual[frozenset[str]]:
    """The place that the arm cannot work at; empty where every part is possible by itself."""
    part = yield from culprit(tuple(parts), checker)
    if part is None:
        return EMPTY
    try:
        yield from checking(checker, Plan(part.plan.steps[: motion.LIFT]))
    except PlanRefused:
        return _places(part, motion.LOWER)
    return _places(part, motion.SET_DOWN)


def _places(part: Part, step: int) -> frozenset[str]:
    return frozenset([part.carry.from_place if step <= motion.LIFT else part.carry.to_place])


def _left(job: ArmJob) -> list[str]:
    """The first of the squares that are not right yet."""
    now, wanted = pieces_on(job.before), pieces_on(job.after)
    wrong = [square for square in chess.SQUARE_NAMES if now.get(square) != wanted.get(square)]
    return wrong if len(wrong) <= NAMED_LIMIT else [*wrong[:NAMED_LIMIT], "…"]
