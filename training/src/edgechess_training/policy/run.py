"""A run's folder from its beginning or from its last state to a trainer that is ready to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edgechess_training.errors import TrainingError
from edgechess_training.policy.mixture import Mixture, open_sources
from edgechess_training.policy.recipe import RECIPE_FILE, Recipe, read_recipe, write_recipe
from edgechess_training.policy.run_state import RunState, load_state, new_state
from edgechess_training.policy.schedule import Decay
from edgechess_training.policy.scoring import Scorer, sample_of
from edgechess_training.policy.trainer import Pace, Trainer
from edgechess_training.positions import EVALUATION_FILE, open_positions

SAMPLE = 4000  # positions of the evaluation file that are scored during a run


@dataclass(frozen=True, slots=True)
class Data:
    """Where positions come from: the dataset's folder, further ones with their shares, and what to score on."""

    folder: Path
    mixed: Sequence[tuple[Path, float]] = ()
    evaluation: Path | None = None


def begin(folder: Path, recipe: Recipe, data: Data, device: torch.device, pace: Pace = Pace()) -> Trainer:  # noqa: B008 — frozen
    """A new run. Raises TrainingError, also where the folder holds one already."""
    if (folder / RECIPE_FILE).exists():
        raise TrainingError(f"{folder} holds a run already: go on with it by --resume, or give another folder")
    mixture = Mixture(open_sources(data.folder, data.mixed), recipe.seed, recipe.mirror)
    scorer = scorer_of(data)
    folder.mkdir(parents=True, exist_ok=True)
    write_recipe(folder, recipe)
    return Trainer(folder, recipe, new_state(recipe, device), mixture, scorer, pace)


def resume(
    folder: Path,
    data: Data,
    device: torch.device,
    decay_positions: int | None = None,
    pace: Pace = Pace(),  # noqa: B008 — frozen
) -> Trainer:
    """Goes on where the run was saved; `decay_positions`: from here the rate falls and the run ends after so many.

    Raises TrainingError.
    """
    recipe = read_recipe(folder)
    state = load_state(folder, recipe, device)
    if decay_positions is not None:
        state.decay = Decay(state.positions, decay_positions)
    mixture = Mixture(open_sources(data.folder, data.mixed), recipe.seed, recipe.mirror)
    return Trainer(folder, recipe, state, mixture, scorer_of(data), pace)


def scorer_of(data: Data) -> Scorer:
    return Scorer(sample_of(open_positions(data.evaluation or data.folder / EVALUATION_FILE), SAMPLE))


__all__ = ["Data", "RunState", "begin", "resume"]
