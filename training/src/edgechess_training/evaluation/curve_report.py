"""Strength against compute for people: a table and a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from edgechess_training.evaluation import plots
from edgechess_training.evaluation.milestones import CurvePoint
from edgechess_training.evaluation.report import percent
from edgechess_training.evaluation.statistics import Interval

PICTURE_FILE = "curve.svg"
FULL, FALLEN = 1.0, 0.01  # of the learning rate: what is left at a run's end
Lines = dict[str, tuple[str, Callable[[CurvePoint], Interval | None]]]
LINES: Lines = {
    "top 1": ("#1f77b4", lambda point: point.top1),
    "puzzles": ("#d9622b", lambda point: point.puzzles),
    "score": ("#2a9d5c", lambda point: point.score),
}


def markdown(points: Sequence[CurvePoint]) -> Iterator[str]:
    opponents = sorted({point.opponent for point in points if point.opponent is not None})
    yield (
        "The same settings for each: the master's move on held-out positions, whole lines of puzzles, points per game"
        + (f" against {'; '.join(opponents)}" if opponents else "")
        + ". Compute is seconds of one core in training steps (of an accelerator: seconds that it took)."
    )
    yield ""
    yield "| positions | compute s | learning rate | top 1 | legal without a mask | puzzles | score |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for point in points:
        cells = (point.top1, point.legal, point.puzzles, point.score)
        rate = "has fallen" if point.factor < FALLEN else "full" if point.factor >= FULL else f"{point.factor:.0%}"
        yield f"| {point.positions:,} | {point.spent_s:,.0f} | {rate} |" + "".join(
            f" {'–' if cell is None else percent(cell)} |" for cell in cells
        )
    yield ""
    yield "What a falling rate adds comes at the end of a run and is not in the points before it: compare like with like."
    yield ""


def picture(points: Sequence[CurvePoint]) -> str:
    """Shares over compute on a scale of doublings; a line joins what was measured at the full rate."""
    seconds = [max(1.0, point.spent_s) for point in points]
    low, high = min(seconds) / 1.4, max(seconds) * 1.4
    x = plots.scale(math.log(low), math.log(high), plots.LEFT, plots.WIDTH - plots.RIGHT)
    body = plots.grid(lambda value: x(math.log(value)), list(_ticks(low, high)), "seconds of compute")
    for colour, value_of in LINES.values():
        found = [
            (math.log(spent_s), cell, point.factor >= FULL)
            for spent_s, point in zip(seconds, points, strict=True)
            if (cell := value_of(point))
        ]
        body.append(plots.path([(x(at), plots.y_of(cell.value)) for at, cell, full in found if full], colour, 1.5))
        body += plots.points([(at, cell.value, cell.low, cell.high) for at, cell, _ in found], x, colour)
    title = "strength against training compute, with 95 % intervals"
    return plots.svg(title, body, list(LINES), {name: colour for name, (colour, _) in LINES.items()})


def _ticks(low: float, high: float) -> Iterator[float]:
    """1, 2, 5, 10 … inside."""
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        yield from (value for digit in (1, 2, 5) if low <= (value := digit * 10.0**power) <= high)
