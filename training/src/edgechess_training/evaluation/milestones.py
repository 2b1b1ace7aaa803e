"""Strength against training compute: what a run kept on its way, each measured with the same settings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.measured import Measured
from edgechess_training.evaluation.statistics import Interval
from edgechess_training.evaluation.subject import WEIGHTS_FILE
from edgechess_training.json_lines import whole_lines

METRICS = "metrics.jsonl"
FOLDER = "milestones"
FILE = "curve.json"


@dataclass(frozen=True, slots=True)
class Milestone:
    """`spent_s`: seconds of processor (or accelerator) in training steps. `factor`: of the full learning rate: 1 before it
    began to fall, 0 at the end."""

    positions: int
    spent_s: float
    factor: float
    weights: Path


class _Line(msgspec.Struct, frozen=True):
    """Of a run's metrics, as far as it is read here."""

    positions: int
    spent_s: float
    factor: float


def milestones_of(run: Path) -> list[Milestone]:
    """What the run kept, and its newest weights. Raises TrainingError, OSError."""
    lines = _lines(run / METRICS)
    kept = sorted((run / FOLDER).glob("*.safetensors"))
    try:
        found = [_milestone(int(path.stem), path, lines) for path in kept]
    except ValueError as error:
        raise TrainingError(f"{run / FOLDER}: names of milestones are numbers of positions ({error})") from error
    newest = run / WEIGHTS_FILE
    if newest.is_file():
        found.append(Milestone(lines[-1].positions, lines[-1].spent_s, lines[-1].factor, newest))
    if not found:
        raise TrainingError(f"{run} holds no weights yet")
    return found


def _lines(path: Path) -> list[_Line]:
    try:
        lines = [msgspec.json.decode(line, type=_Line) for line in whole_lines(path)]
    except FileNotFoundError:
        raise TrainingError(f"{path} is missing: is this the folder of `edgechess train policy`?") from None
    except msgspec.DecodeError as error:
        raise TrainingError(f"{path}: {error}") from error
    if not lines:
        raise TrainingError(f"{path} is empty: the run has told nothing yet")
    return lines


def _milestone(positions: int, path: Path, lines: list[_Line]) -> Milestone:
    at = [line.positions for line in lines]
    spent_s = float(np.interp(positions, [0, *at], [0.0, *(line.spent_s for line in lines)]))
    factor = float(np.interp(positions, at, [line.factor for line in lines]))
    return Milestone(positions, spent_s, factor, path)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """None: not measured. `top1` and `legal` on held-out positions, `puzzles` whole lines, `score` per game against `level`."""

    positions: int
    spent_s: float
    factor: float
    top1: Interval | None
    legal: Interval | None
    puzzles: Interval | None
    score: Interval | None
    level: int | None
    opponent: str | None


def point_of(milestone: Milestone, found: Measured) -> CurvePoint:
    figures = found.figures
    held = figures.heldout.groups[0] if figures.heldout is not None else None
    solved = figures.puzzles.get("pure")
    match = next((match for match in figures.matches if match.level is not None), None)
    return CurvePoint(
        milestone.positions, round(milestone.spent_s, 1), round(milestone.factor, 4),
        held.top1 if held is not None else None,
        held.raw_legal if held is not None else None,
        solved.whole if solved is not None else None,
        match.score.score if match is not None else None,
        match.level if match is not None else None,
        f"{match.second}, {match.score.games} games" if match is not None else None,
    )  # fmt: skip


def write(points: list[CurvePoint], out: Path) -> Path:
    """Raises OSError."""
    path = out / FILE
    path.write_text(json.dumps([dataclasses.asdict(point) for point in points], indent=1) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> list[CurvePoint]:
    """`path`: curve.json, or its folder. Raises TrainingError, OSError."""
    file = path / FILE if path.is_dir() else path
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[CurvePoint])
    except msgspec.DecodeError as error:
        raise TrainingError(f"{file} is not what `edgechess evaluate curve` writes: {error}") from error


def together(paths: Iterable[Path]) -> list[CurvePoint]:
    """Of several runs, by compute. Raises TrainingError, OSError."""
    return sorted((point for path in paths for point in read(path)), key=lambda point: point.spent_s)
