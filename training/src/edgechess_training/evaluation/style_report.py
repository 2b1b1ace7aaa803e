"""Styles for people: gains and confusions as Markdown, the confusions as a picture too."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.report import percent
from edgechess_training.evaluation.statistics import Interval
from edgechess_training.evaluation.styles import StyleFigures

FILE = "styles.json"
REPORT_FILE = "styles.md"
PICTURE_FILE = "styles.svg"
CELL = 24
LEFT, TOP, MARGIN = 130, 150, 20
COLOUR = (31, 119, 180)
TEXT = 'font-family="sans-serif" font-size="11" fill="#444"'


def write(figures: StyleFigures, out: Path) -> list[Path]:
    """Raises OSError."""
    files = {
        FILE: json.dumps(dataclasses.asdict(figures), indent=1) + "\n",
        REPORT_FILE: "\n".join(("# Styles, measured", "", *markdown(figures), f"![confusions]({PICTURE_FILE})", "")),
        PICTURE_FILE: picture(figures),
    }
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in files]


def read(path: Path) -> StyleFigures:
    """`path`: styles.json, or its folder. Raises TrainingError, OSError."""
    file = path / FILE if path.is_dir() else path
    try:
        return msgspec.json.decode(file.read_bytes(), type=StyleFigures)
    except msgspec.DecodeError as error:
        raise TrainingError(f"{file} is not what `edgechess evaluate styles` writes: {error}") from error


def markdown(figures: StyleFigures) -> Iterator[str]:
    yield (
        f"Later games that no style has seen, {figures.games} at a time, at most {figures.positions} of the player's own moves drawn"
        f" from each group. {percent(figures.right)} of {figures.groups} groups are explained best by their own player's style"
        f" (chance: {1 / max(1, len(_names(figures))):.1%}). Weights `{figures.weights[:16]}`."
    )
    yield ""
    yield "| style | later games since | moves | top 1, base | top 1, style | gain in points | groups named right | taken for |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in figures.rows:
        total, right = sum(row.named.values()), row.named.get(row.name, 0)
        others = ", ".join(f"{name} {count}" for name, count in row.named.items() if name != row.name)
        yield (
            f"| {row.name} | {row.since.replace('.00', '') or 'unknown'} | {row.positions:,} | {percent(row.base)} | {percent(row.own)}"
            f" | {_points(row.gain)} | {right} of {total} | {others or '–'} |"
        )
    yield ""
    if figures.left_out:
        yield f"Too few later games: {', '.join(figures.left_out)}."
        yield ""


def picture(figures: StyleFigures) -> str:
    """A row per player, a column per style; the darker, the more of the player's groups."""
    names = _names(figures)
    width, height = LEFT + CELL * len(names) + MARGIN, TOP + CELL * len(figures.rows) + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="16" {TEXT} font-weight="bold">games of (down), explained best by the style of (across)</text>',
    ]
    for number, name in enumerate(names):
        x = LEFT + CELL * (number + 0.5) + 4
        lines.append(f'<text transform="translate({x:g} {TOP - 8}) rotate(-60)" {TEXT}>{html.escape(name)}</text>')
    for down, row in enumerate(figures.rows):
        total, y = max(1, sum(row.named.values())), TOP + CELL * (down + 0.5) + 4
        lines.append(f'<text x="{LEFT - 8}" y="{y:g}" {TEXT} text-anchor="end">{html.escape(row.name)}</text>')
        for across, name in enumerate(names):
            lines += _cell(LEFT + CELL * across, TOP + CELL * down, row.named.get(name, 0), total)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _names(figures: StyleFigures) -> list[str]:
    """Of all styles, those too whose players have too few later games."""
    return [*(row.name for row in figures.rows), *figures.left_out]


def _cell(x: int, y: int, count: int, total: int) -> list[str]:
    part = count / total
    red, green, blue = (round(255 - (255 - value) * part) for value in COLOUR)
    box = f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="rgb({red},{green},{blue})" stroke="#ddd"/>'
    if not count:
        return [box]
    ink = "white" if part > 0.5 else "#444"
    place = f'x="{x + CELL // 2}" y="{y + CELL // 2 + 4}"'
    return [
        box,
        f'<text {place} font-family="sans-serif" font-size="11" fill="{ink}" text-anchor="middle">{count}</text>',
    ]


def _points(gain: Interval) -> str:
    return f"{100 * gain.value:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
