"""A run's folder: a new one, or one to go on with, becomes a trainer; a finished one becomes a packed model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch

from edgechess_inference.errors import InferenceError
from edgechess_inference.policy.checkpoint import load, pack_policy, quantised
from edgechess_training.errors import TrainingError
from edgechess_training.policy import metrics
from edgechess_training.policy.mixture import Mixture, open_sources
from edgechess_training.policy.network_weights import WEIGHTS_FILE, Weights
from edgechess_training.policy.recipe import RECIPE_FILE, Recipe, read_recipe, write_recipe
from edgechess_training.policy.run_state import load_state, new_state
from edgechess_training.policy.schedule import Decay
from edgechess_training.policy.scoring import Scorer, sample_of
from edgechess_training.policy.trainer import Pace, Trainer
from edgechess_training.positions import EVALUATION_FILE, open_positions

DATA_FILE = "data.json"
SAMPLE = 4000  # positions of the evaluation file that are scored during a run


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Where positions come from, as paths. `mixed`: further folders and their shares; `evaluation`: a file, by default the
    first folder's own."""

    folder: str
    mixed: tuple[tuple[str, float], ...] = ()
    evaluation: str | None = None


def begin(
    folder: Path, recipe: Recipe, data: Data, device: torch.device, pace: Pace, weights: Weights | None = None
) -> Trainer:
    """A new run. Raises TrainingError, also where the folder holds one already."""
    if (folder / RECIPE_FILE).exists():
        raise TrainingError(f"{folder} holds a run already: go on with it by --resume, or give another folder")
    mixture, scorer = _opened(data, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    _write_data(folder, data)
    begun = Trainer(folder, recipe, new_state(recipe, device, weights), mixture, scorer, pace)
    begun.save()
    write_recipe(folder, recipe)  # last: where it lies there is something to go on from
    return begun


def resume(folder: Path, data: Data | None, device: torch.device, pace: Pace, decay: int | None = None) -> Trainer:
    """Goes on where the run was saved, with the data it had unless others are given.

    `decay`: from here the rate falls, and the run ends after so many positions. Raises TrainingError.
    """
    recipe = read_recipe(folder)
    state = load_state(folder, recipe, device)
    if decay is not None:
        state.decay = Decay(state.positions, decay)
    if state.done:
        raise TrainingError(
            f"{folder} is done, after {state.positions:,} positions; begin another run from it by --init"
        )
    mixture, scorer = _opened(data or _read_data(folder), recipe)
    if data is not None:
        _write_data(folder, data)
    metrics.forget_after(folder, state.positions)
    return Trainer(folder, recipe, state, mixture, scorer, pace)


def pack(folder: Path, address: Path, licence: str) -> int:
    """The run's averaged weights, in 8 bits, as a packed model; returns its bytes. Raises TrainingError."""
    recipe = read_recipe(folder)
    positions = load_state(folder, recipe, torch.device("cpu")).positions
    if not positions:
        raise TrainingError(f"{folder} has learnt nothing yet: go on with it by --resume")
    extra = {"positions": str(positions), "recipe": msgspec.json.encode(recipe).decode()}
    try:
        weights = load(folder / WEIGHTS_FILE, recipe.architecture)
        return pack_policy(address, recipe.architecture, quantised(weights), licence=licence, extra=extra).bytes
    except (InferenceError, OSError) as error:
        raise TrainingError(f"{address}: {error}") from error


def _opened(data: Data, recipe: Recipe) -> tuple[Mixture, Scorer]:
    sources = open_sources(data.folder, data.mixed)
    scorer = Scorer(sample_of(open_positions(Path(data.evaluation or f"{data.folder}/{EVALUATION_FILE}")), SAMPLE))
    return Mixture(sources, recipe.seed, recipe.mirror), scorer


def _write_data(folder: Path, data: Data) -> None:
    (folder / DATA_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def _read_data(folder: Path) -> Data:
    try:
        return msgspec.json.decode((folder / DATA_FILE).read_bytes(), type=Data)
    except (FileNotFoundError, msgspec.DecodeError) as error:
        raise TrainingError(f"{folder / DATA_FILE}: {error}; name the datasets again with --data") from error
