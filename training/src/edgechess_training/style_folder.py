"""What `edgechess train style` leaves of a style beside its weights, and `edgechess evaluate styles` reads: no torch is needed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from edgechess_training.errors import TrainingError

REPORT_FILE = "report.json"


@dataclass(frozen=True, slots=True)
class StyleReport:
    """How well the player's own moves of later games are foretold: by the network alone, and with the adapter."""

    name: str
    player: str
    learnt_positions: int
    seen_positions: int
    later_since: str
    later_positions: int
    base_top1: float
    base_nll: float
    style_top1: float
    style_nll: float
    spent_s: float


def write_report(folder: Path, report: StyleReport) -> None:
    """Raises OSError."""
    (folder / REPORT_FILE).write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


def read_report(folder: Path) -> StyleReport:
    """Raises TrainingError, OSError."""
    try:
        return msgspec.json.decode((folder / REPORT_FILE).read_bytes(), type=StyleReport)
    except msgspec.DecodeError as error:
        raise TrainingError(f"{folder / REPORT_FILE} is no report of `edgechess train style`: {error}") from error


def style_folders(folder: Path) -> list[Path]:
    """Of all styles in it that were trained to their end, by name."""
    return [report.parent for report in sorted(folder.glob(f"*/{REPORT_FILE}"))]


def packed_style(folder: Path) -> Path:
    """The address of a style: beside its folder."""
    return folder.with_name(f"{folder.name}.json")
