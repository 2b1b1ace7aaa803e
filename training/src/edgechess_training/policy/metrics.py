"""The figures of a run: lines of `metrics.jsonl`, a picture and a table of them in the run's folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from edgechess_training.errors import TrainingError
from edgechess_training.json_lines import whole_lines, write_whole
from edgechess_training.policy import curves
from edgechess_training.policy.report import Report

METRICS_FILE = "metrics.jsonl"
PICTURE_FILE = "curves.svg"
TABLE_FILE = "curves.txt"
SEEN_FILE = "seen.json"


def append(folder: Path, report: Report) -> None:
    with (folder / METRICS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(_rounded(asdict(report))) + "\n")


def write_seen(folder: Path, drawn: dict[str, int]) -> None:
    """`drawn`: positions of each dataset so far; a run that goes on may have been given others on its way."""
    write_whole(folder / SEEN_FILE, json.dumps(drawn, indent=2) + "\n")


def read(folder: Path) -> list[Report]:
    """Raises TrainingError."""
    try:
        lines = whole_lines(folder / METRICS_FILE)
    except FileNotFoundError:
        return []
    try:
        return [msgspec.json.decode(line, type=Report) for line in lines]
    except msgspec.DecodeError as error:
        raise TrainingError(f"{folder / METRICS_FILE}: {error}") from error


def forget_after(folder: Path, positions: int) -> None:
    """A run goes on from an older state than its last line: what comes after will be told again. Raises TrainingError."""
    kept = [report for report in read(folder) if report.positions <= positions]
    text = "".join(json.dumps(_rounded(asdict(report))) + "\n" for report in kept)
    write_whole(folder / METRICS_FILE, text)


def draw(folder: Path) -> None:
    """Picture and table of all lines so far."""
    reports = read(folder)
    (folder / PICTURE_FILE).write_text(curves.picture(reports), encoding="utf-8")
    (folder / TABLE_FILE).write_text(curves.table(reports), encoding="utf-8")


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Six significant digits: figures to look at, not to compute with."""
    return {
        key: float(f"{value:.6g}")
        if isinstance(value, float)
        else _rounded(value)
        if isinstance(value, dict)
        else value
        for key, value in values.items()
    }
