"""The pictures of an evaluation as SVG text: scores by level, puzzles by rating, reliability of the outlook. Pure."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

from edgechess_training.evaluation.matches import MatchFigures
from edgechess_training.evaluation.puzzles import BAND, PuzzleFigures
from edgechess_training.evaluation.reliability import Reliability
from edgechess_training.evaluation.statistics import Interval, Logistic

COLOURS = {"pure": "#1f77b4", "lookahead": "#d9622b", "ladder": "#2a9d5c"}
OTHER = "#888"
TEXT = 'font-family="sans-serif" font-size="12" fill="#444"'
WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 50
CURVE_POINTS = 60

Scale = Callable[[float], float]
Point = tuple[float, float, float, float]
"""x, y, and the ends of y's interval."""


def levels(figures: Sequence[MatchFigures], even: Mapping[str, tuple[Logistic, Interval]]) -> str | None:
    """Score per game against UCI_Elo, with the fitted curve; None without levels."""
    played = [match for match in figures if match.level is not None]
    if not played:
        return None
    xs = [float(match.level or 0) for match in played]
    evens = [interval.value for _, interval in even.values()]
    low, high = min(xs + evens) - 100, max(xs + evens) + 100
    x = scale(low, high, LEFT, WIDTH - RIGHT)
    body = [*grid(x, _ticks(low, high, 100), "UCI_Elo")]
    for choice, (curve, _) in even.items():
        steps = [low + (high - low) * step / CURVE_POINTS for step in range(CURVE_POINTS + 1)]
        body.append(path([(x(level), y_of(curve.score(level))) for level in steps], _colour(choice), 1.5))
    for match in played:
        s, choice = match.score.score, match.choice
        body += points([(float(match.level or 0), s.value, s.low, s.high)], x, _colour(choice))
    return svg("points per game by the engine's UCI_Elo, with 95 % intervals", body, list(even))


def by_rating(figures: Mapping[str, PuzzleFigures]) -> str | None:
    """Whole lines (full) and first moves (broken) by rating; None without puzzles."""
    bands = [band for each in figures.values() for band in each.bands]
    if not bands:
        return None
    low, high = min(band.low for band in bands), max(band.low for band in bands) + BAND
    x = scale(low, high, LEFT, WIDTH - RIGHT)
    body = [*grid(x, _ticks(low, high, 400), "rating of the puzzle")]
    for choice, each in figures.items():
        middle = [(band.low + BAND / 2, band) for band in each.bands]
        whole = [(at, band.whole.value, band.whole.low, band.whole.high) for at, band in middle]
        body.append(path([(x(at), y_of(band.first.value)) for at, band in middle], _colour(choice), 1.5, broken=True))
        body.append(path([(x(at), y_of(value)) for at, value, _, _ in whole], _colour(choice), 1.5))
        body += points(whole, x, _colour(choice))
    return svg("puzzles solved by rating: whole line, and first move (broken)", body, list(figures))


def reliability(figures: Mapping[str, Reliability]) -> str | None:
    """Points that came against points that were said, by bins; None without any."""
    if not figures:
        return None
    x = scale(0, 1, LEFT, WIDTH - RIGHT)
    colours = dict(zip(figures, COLOURS.values(), strict=False))
    body = [*grid(x, [step / 5 for step in range(6)], "expected points of the side to move")]
    body.append(path([(x(0), y_of(0)), (x(1), y_of(1))], "#bbb", 1))
    for name, each in figures.items():
        colour = colours.get(name, OTHER)
        body.append(path([(x(one.said), y_of(one.came)) for one in each.bins], colour, 1.5))
        body += [
            f'<circle cx="{x(one.said):.1f}" cy="{y_of(one.came):.1f}" r="4" fill="{colour}"/>' for one in each.bins
        ]
    return svg("what the outlook says, and what came", body, list(figures), colours)


def points(points: Sequence[Point], x: Scale, colour: str) -> list[str]:
    found = []
    for at, value, low, high in points:
        found.append(_line(x(at), y_of(low), x(at), y_of(high), colour, 2))
        found.append(f'<circle cx="{x(at):.1f}" cy="{y_of(value):.1f}" r="4" fill="{colour}"/>')
    return found


def scale(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (end - start) * (value - low) / (high - low)


def y_of(part: float) -> float:
    """Shares of 0 to 1, upwards."""
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * part


def _ticks(low: float, high: float, step: float) -> list[float]:
    first = -(-low // step) * step
    return [first + step * number for number in range(int((high - first) // step) + 1)]


def grid(x: Scale, ticks: Sequence[float], name: str) -> list[str]:
    found = []
    for step in range(6):
        part = step / 5
        found.append(_line(LEFT, y_of(part), WIDTH - RIGHT, y_of(part), "#ddd", 1))
        found.append(f'<text x="{LEFT - 8}" y="{y_of(part) + 4:.1f}" {TEXT} text-anchor="end">{part * 100:g} %</text>')
    for tick in ticks:
        found.append(_line(x(tick), y_of(0), x(tick), y_of(1), "#eee", 1))
        found.append(f'<text x="{x(tick):.1f}" y="{y_of(0) + 18:.1f}" {TEXT} text-anchor="middle">{tick:g}</text>')
    found.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" {TEXT} text-anchor="middle">{html.escape(name)}</text>')
    return found


def _colour(choice: str) -> str:
    return COLOURS.get(choice, OTHER)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"/>'


def path(points: Sequence[tuple[float, float]], colour: str, width: float, *, broken: bool = False) -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if broken else ""
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'


def svg(title: str, body: Sequence[str], names: Sequence[str], colours: Mapping[str, str] = COLOURS) -> str:
    legend = [
        f'<circle cx="{WIDTH - 330 + 110 * number}" cy="12" r="4" fill="{colours.get(name, OTHER)}"/>'
        f'<text x="{WIDTH - 320 + 110 * number}" y="16" {TEXT}>{html.escape(name)}</text>'
        for number, name in enumerate(names)
    ]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="10" y="16" {TEXT} font-weight="bold">{html.escape(title)}</text>',
        *legend,
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
