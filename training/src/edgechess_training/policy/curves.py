"""Curves of a run as SVG text and as a table of plain text. Pure."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from edgechess_training.policy.report import Report

WIDTH, PANEL_HEIGHT = 760, 220
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 34, 34
TEXT = 'font-family="sans-serif" font-size="12" fill="#444"'
TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """Points (positions, value) of one colour."""

    label: str
    colour: str
    points: Sequence[tuple[int, float]]


def picture(reports: Sequence[Report]) -> str:
    """Losses above, shares below, over the positions seen."""
    scored = [(report.positions, report.score) for report in reports if report.score is not None]
    losses = [
        Line("training loss", "#9bb8d3", [(report.positions, report.loss) for report in reports]),
        Line("unseen loss", "#1f77b4", [(positions, score.nll) for positions, score in scored]),
    ]
    shares = [
        Line("top-1, %", "#d9622b", [(positions, 100 * score.top1) for positions, score in scored]),
        Line("legal without mask, %", "#2a8f4f", [(positions, 100 * score.legal) for positions, score in scored]),
    ]
    panels = [_panel(lines, number * PANEL_HEIGHT) for number, lines in enumerate((losses, shares))]
    size = f'width="{WIDTH}" height="{2 * PANEL_HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n' + "\n".join(panels) + "\n</svg>\n"


def table(reports: Sequence[Report]) -> str:
    """Every line at which unseen positions were scored."""
    rows = ["  positions  compute s    loss  unseen   top-1   legal  outlook  rate"]
    for report in reports:
        if report.score is not None:
            score = report.score
            rows.append(
                f"{report.positions:11,}  {report.spent_s:9,.0f}  {report.loss:6.3f}  {score.nll:6.3f}  {score.top1:6.1%}"
                f"  {score.legal:6.1%}  {score.outlook_nll:7.3f}  {report.factor:4.2f}"
            )
    return "\n".join(rows) + "\n"


def _panel(lines: Sequence[Line], top: int) -> str:
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    furthest = max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    high = high if high > low else low + 1

    def at(x: float, y: float) -> str:
        right = LEFT + (WIDTH - LEFT - RIGHT) * x / furthest
        down = top + TOP + (PANEL_HEIGHT - TOP - BOTTOM) * (high - y) / (high - low)
        return f"{right:.1f},{down:.1f}"

    parts = [_legend(lines, top)]
    for tick in range(TICKS):
        y, x = low + (high - low) * tick / (TICKS - 1), furthest * tick / (TICKS - 1)
        parts.append(_tick_across(at(0, y), f"{y:.3g}"))
        parts.append(_tick_below(at(x, low), _millions(x)))
    for line in lines:
        path = " ".join(at(x, y) for x, y in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="1.5"/>')
    return "\n".join(parts)


def _legend(lines: Sequence[Line], top: int) -> str:
    parts = []
    for number, line in enumerate(lines):
        x, y = LEFT + 180 * number, top + 18
        parts.append(f'<rect x="{x}" y="{y - 9}" width="14" height="4" fill="{line.colour}"/>')
        parts.append(f'<text x="{x + 20}" y="{y - 3}" {TEXT}>{html.escape(line.label)}</text>')
    return "\n".join(parts)


def _tick_across(place: str, text: str) -> str:
    x, y = place.split(",")
    line = f'<line x1="{x}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#e4e4e4"/>'
    return f'{line}<text x="{float(x) - 6:.1f}" y="{float(y) + 4:.1f}" text-anchor="end" {TEXT}>{text}</text>'


def _tick_below(place: str, text: str) -> str:
    x, y = place.split(",")
    return f'<text x="{x}" y="{float(y) + 18:.1f}" text-anchor="middle" {TEXT}>{text}</text>'


def _millions(positions: float) -> str:
    return f"{positions / 1e6:.2g} M" if positions >= 1e6 else f"{positions / 1e3:.3g} k"
