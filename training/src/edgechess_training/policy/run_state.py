"""A run's state: everything that a run which goes on needs to become what it would have become uninterrupted."""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgechess_inference.policy.network import PolicyNetwork, fresh
from edgechess_training.errors import TrainingError
from edgechess_training.policy.network_weights import Weights, put
from edgechess_training.policy.optimizers import Optimizers, optimizers_of
from edgechess_training.policy.recipe import Recipe
from edgechess_training.policy.schedule import Decay, decay_of

STATE_FILE = "state.pt"
FORMAT = 1


@dataclass(slots=True)
class RunState:
    """`average`: the network with averaged weights. `spent_s`: seconds of processor (or accelerator) in training steps."""

    network: PolicyNetwork
    average: PolicyNetwork
    optimizers: Optimizers
    step: int = 0
    positions: int = 0
    drawn: dict[str, int] = field(default_factory=dict)
    decay: Decay | None = None
    spent_s: float = 0.0

    @property
    def done(self) -> bool:
        return self.decay is not None and self.positions >= self.decay.end


def new_state(recipe: Recipe, device: torch.device, weights: Weights | None = None) -> RunState:
    """`weights`: of the recipe's network, to begin with instead of random ones."""
    network = fresh(recipe.architecture, recipe.seed)
    if weights is not None:
        put(network, weights)
    network.to(device)
    decay = None if recipe.positions is None else decay_of(recipe.positions)
    return RunState(network, copy.deepcopy(network), optimizers_of(network, recipe.rate), decay=decay)


def save_state(folder: Path, state: RunState) -> None:
    """Whole or not at all."""
    values: dict[str, Any] = {
        "format": FORMAT,
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
        "step": state.step,
        "positions": state.positions,
        "drawn": dict(state.drawn),
        "decay": None if state.decay is None else [state.decay.begin, state.decay.length],
        "spent_s": state.spent_s,
    }
    partial = folder / (STATE_FILE + ".part")
    torch.save(values, partial)
    os.replace(partial, folder / STATE_FILE)


def load_state(folder: Path, recipe: Recipe, device: torch.device) -> RunState:
    """Raises TrainingError where the file is not this recipe's."""
    path = folder / STATE_FILE
    try:
        values = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{folder} has no {STATE_FILE}: nothing to go on from") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
    if values.get("format") != FORMAT:
        raise TrainingError(f"{path} is of format {values.get('format')}; this edgechess reads {FORMAT}")
    state = new_state(recipe, device)
    try:
        state.network.load_state_dict(values["network"])
        state.average.load_state_dict(values["average"])
    except RuntimeError as error:
        raise TrainingError(f"{path} holds another network than {folder}'s recipe: {error}") from error
    for optimizer, saved in zip(state.optimizers, values["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    state.step, state.positions, state.spent_s = values["step"], values["positions"], values["spent_s"]
    state.drawn, state.decay = values["drawn"], None if values["decay"] is None else Decay(*values["decay"])
    return state


@torch.no_grad()
def follow(average: list[Tensor], current: list[Tensor], step: int, decay: float) -> None:
    """Moves the averaged weights towards the current ones: faster while the run is young."""
    share = 1 - min(decay, (step + 1) / (step + 50))
    torch._foreach_lerp_(average, current, share)
