"""The pictures of the reliability report, as SVG text: parts with their intervals, times, and the noise sweep. Pure."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence

from edgechess_cli.trials_figures import Figures

COLOURS = {"dobot": "#1f77b4", "ro1": "#d9622b"}
NAMES = {"dobot": "Dobot CR10A", "ro1": "Standard Bots RO1"}
TEXT = 'font-family="sans-serif" font-size="12" fill="#444"'
WIDTH = 760
LEFT = 150
ROW = 34
PANEL_W, PANEL_H = 240, 170


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of a chart: what, whose, and its figures."""

    label: str
    kind: str
    figures: Figures


def parts(rows: Sequence[Row]) -> str:
    """Moves that ended right without help, in per cent, with their 95 % intervals."""
    low = min(0.99, *(row.figures.interval[0] for row in rows))
    low = max(0.0, int(low * 100) / 100)
    body = [_ticks([(low + (1 - low) * n / 5) for n in range(6)], low, 1.0, len(rows), percent=True)]
    for number, row in enumerate(rows):
        y = 40 + number * ROW
        a, b = row.figures.interval
        colour = COLOURS.get(row.kind, "#888")
        body.append(_label(row, y))
        body.append(_line(_x(a, low, 1.0), y, _x(b, low, 1.0), y, colour, 2))
        body.append(f'<circle cx="{_x(row.figures.part, low, 1.0):.1f}" cy="{y}" r="4" fill="{colour}"/>')
    return _svg(WIDTH, 60 + len(rows) * ROW, "right without a person's help, with 95 % intervals", body, rows)


def times(rows: Sequence[Row]) -> str:
    """Median (the bar) and 95 % (the whisker), seconds of the table."""
    high = max(row.figures.p95_s for row in rows) * 1.05 or 1.0
    body = [_ticks([high * n / 5 for n in range(6)], 0.0, high, len(rows), percent=False)]
    for number, row in enumerate(rows):
        y = 40 + number * ROW
        colour = COLOURS.get(row.kind, "#888")
        width = _x(row.figures.median_s, 0.0, high) - LEFT
        body.append(_label(row, y))
        body.append(f'<rect x="{LEFT}" y="{y - 7}" width="{width:.1f}" height="14" fill="{colour}" opacity="0.8"/>')
        body.append(_line(LEFT + width, y, _x(row.figures.p95_s, 0.0, high), y, colour, 2))
    return _svg(WIDTH, 60 + len(rows) * ROW, "time per move: median, and what 95 % need at most (s)", body, rows)


def sweep(panels: Sequence[tuple[str, Sequence[tuple[float, str, Figures]]]]) -> str:
    """One small chart per fault: the part that ended right without help over the fault's size."""
    body: list[str] = []
    lowest = min((figures.interval[0] for _, points in panels for _, _, figures in points), default=0.9)
    low = min(0.95, int(lowest * 20) / 20)
    for number, (name, points) in enumerate(panels):
        body.append(_panel(name, points, low, 10 + number % 3 * (PANEL_W + 10), 30 + number // 3 * (PANEL_H + 30)))
    height = 60 + (len(panels) + 2) // 3 * (PANEL_H + 30)
    return _svg(WIDTH, height, "right without a person's help, nominal faults with one of them changed", body, ())


def _panel(name: str, points: Sequence[tuple[float, str, Figures]], low: float, left: float, top: float) -> str:
    right, bottom = left + PANEL_W - 15, top + PANEL_H - 25
    x0, y0 = left + 42, top + 12
    values = sorted({value for value, _, _ in points})

    def x(value: float) -> float:
        return x0 + (right - x0 - 10) * (values.index(value) / max(len(values) - 1, 1)) + 5

    def y(part: float) -> float:
        return bottom - (bottom - y0) * (max(part, low) - low) / (1.0 - low)

    body = [f'<text x="{left + 42:.0f}" y="{top + 2:.0f}" {TEXT} font-weight="bold">{html.escape(name)}</text>']
    for part in (low, (1 + low) / 2, 1.0):
        body.append(_line(x0, y(part), right, y(part), "#ddd", 1))
        body.append(f'<text x="{x0 - 5:.0f}" y="{y(part) + 4:.0f}" {TEXT} text-anchor="end">{part * 100:g}</text>')
    body += [
        f'<text x="{x(value):.0f}" y="{bottom + 16:.0f}" {TEXT} text-anchor="middle">{value:g}</text>'
        for value in values
    ]
    for kind, colour in COLOURS.items():
        line = [(value, figures) for value, whose, figures in points if whose == kind and figures.n]
        shift = -2 if kind == "dobot" else 2
        path = " ".join(f"{x(value) + shift:.1f},{y(figures.part):.1f}" for value, figures in line)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for value, figures in line:
            a, b = figures.interval
            body.append(_line(x(value) + shift, y(a), x(value) + shift, y(b), colour, 1))
            body.append(f'<circle cx="{x(value) + shift:.1f}" cy="{y(figures.part):.1f}" r="3" fill="{colour}"/>')
    return "\n".join(body)


def _x(value: float, low: float, high: float) -> float:
    return LEFT + (WIDTH - LEFT - 40) * (value - low) / (high - low)


def _ticks(values: Sequence[float], low: float, high: float, rows: int, *, percent: bool) -> str:
    bottom = 30 + rows * ROW
    parts = []
    for value in values:
        x = _x(value, low, high)
        text = f"{value * 100:.4g} %" if percent else f"{value:.3g}"
        parts.append(_line(x, 25, x, bottom, "#ddd", 1))
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" {TEXT} text-anchor="middle">{text}</text>')
    return "\n".join(parts)


def _label(row: Row, y: float) -> str:
    return f'<text x="{LEFT - 10}" y="{y + 4}" {TEXT} text-anchor="end">{html.escape(row.label)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"/>'


def _svg(width: int, height: int, title: str, body: Sequence[str], rows: Sequence[Row]) -> str:
    kinds = list(dict.fromkeys(row.kind for row in rows)) or list(COLOURS)
    legend = [
        f'<circle cx="{width - 300 + 150 * n}" cy="{12}" r="4" fill="{COLOURS.get(kind, "#888")}"/>'
        f'<text x="{width - 290 + 150 * n}" y="16" {TEXT}>{NAMES.get(kind, kind)}</text>'
        for n, kind in enumerate(kinds)
    ]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="16" {TEXT} font-weight="bold">{html.escape(title)}</text>',
        *legend,
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
