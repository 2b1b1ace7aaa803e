"""What an evaluation found, with all that its figures depend on: a value that goes to figures.json and comes back whole."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.engine import EngineCard
from edgechess_training.evaluation.evaluation import Evaluation, Figures, Sizes

FIGURES_FILE = "figures.json"


@dataclass(frozen=True, slots=True)
class Weights:
    """Of a policy network. `bytes`: as stored."""

    parameters: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one subject. `weights` None: no policy network. `openings`: what games began with, in words."""

    name: str
    choices: tuple[str, ...]
    weights: Weights | None
    engine: EngineCard | None
    openings: str
    seed: int
    judge_nodes: int
    machine: str
    settings: dict[str, Any]
    sizes: Sizes
    figures: Figures


def measured(evaluation: Evaluation) -> Measured:
    network, wanted, book = evaluation.network, evaluation.wanted, evaluation.book
    further = ", and those again followed by quiet moves" if book.rounds else ""
    return Measured(
        name=evaluation.subject.name,
        choices=wanted.choices,
        weights=None if network is None else Weights(network.parameters, network.stored_bytes, network.digest),
        engine=evaluation.engine,
        openings=f"{book.name} ({len(book.entries):,}{further})",
        seed=wanted.seed,
        judge_nodes=wanted.judge_nodes,
        machine=evaluation.machine(),
        settings=evaluation.settings(),
        sizes=wanted.sizes,
        figures=evaluation.figures,
    )


def text_of(found: Measured) -> str:
    return json.dumps(dataclasses.asdict(found), indent=1) + "\n"


def read(path: Path) -> Measured:
    """`path`: figures.json, or the folder that holds it. Raises TrainingError, OSError."""
    file = path / FIGURES_FILE if path.is_dir() else path
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Measured)
    except msgspec.DecodeError as error:
        raise TrainingError(
            f"{file}: {error}; the command that made it makes it anew, without measuring again"
        ) from error
    for number, match in enumerate(found.figures.matches):
        if not match.choice:  # files of before 22 November 2026 said it in the name only
            found.figures.matches[number] = dataclasses.replace(match, choice=match.name.split()[1])
    return found
