"""What a training run says of itself, for a model card: recipe, data and compute, read from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgechess_training.dataset.folder import SUMMARY_FILE
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.milestones import milestones_of
from edgechess_training.policy.metrics import SEEN_FILE
from edgechess_training.policy.recipe import RECIPE_FILE
from edgechess_training.positions import TRAIN_FILE, open_positions


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset, and its share of what the network saw. `made_by`, `options`: as its own card says, where it has one."""

    name: str
    share: float
    positions: int
    made_by: str | None
    options: dict[str, Any]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """`spent_s`: seconds of processor (or accelerator) in training steps."""

    recipe: dict[str, Any]
    sources: tuple[Source, ...]
    positions: int
    spent_s: float


def read(run: Path) -> RunFacts:
    """Raises TrainingError, OSError."""
    recipe, seen = _json(run / RECIPE_FILE), _json(run / SEEN_FILE)
    newest, total = milestones_of(run)[-1], sum(seen.values())
    sources = tuple(_source(Path(folder), count / max(1, total)) for folder, count in seen.items())
    return RunFacts(recipe, sources, newest.positions, newest.spent_s)


def _source(folder: Path, share: float) -> Source:
    card = _json(folder / SUMMARY_FILE) if (folder / SUMMARY_FILE).is_file() else {}
    positions = len(open_positions(folder / TRAIN_FILE))
    files = tuple(str(each["name"]) for each in card.get("sources", []))
    return Source(folder.name, share, positions, card.get("made_by"), card.get("options", {}), files)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"{path} is missing: is this the folder of `edgechess train policy`?") from None
    except ValueError as error:
        raise TrainingError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise TrainingError(f"{path} holds no JSON object")
    return found
