"""Weights in and out of a network: as arrays, from a run's folder, from a safetensors file or from a packed model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import numpy as np
import torch
from numpy.typing import NDArray

from edgechess_inference.errors import InferenceError
from edgechess_inference.model_word import address_of
from edgechess_inference.policy.architecture import CONFIG_KEY, Architecture, parse
from edgechess_inference.policy.checkpoint import load
from edgechess_inference.policy.encoding import ENCODING
from edgechess_inference.policy.network import PolicyNetwork
from edgechess_inference.weights.manifest import Manifest
from edgechess_inference.weights.model import open_model
from edgechess_inference.weights.unpacking import unpack
from edgechess_training.errors import TrainingError
from edgechess_training.policy.recipe import RECIPE_FILE, read_recipe

MODEL_WORD = "model:"
WEIGHTS_FILE = "weights.safetensors"
"""A run's averaged weights, the ones to use: exact, in a run's folder."""

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class PackedNetwork:
    """A packed model, read: its weights in F32, and the manifest that adapters are bound to."""

    architecture: Architecture
    weights: Weights
    manifest: Manifest


def arrays_of(network: torch.nn.Module) -> Weights:
    """In F32, on the processor; for reading only, some share the network's memory."""
    return {name: weight.detach().float().cpu().numpy() for name, weight in network.named_parameters()}


def put(network: PolicyNetwork, weights: Weights) -> None:
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})


def weights_of_word(word: str) -> tuple[Architecture, Weights]:
    """`word`: a run's folder, `model:NAME`, or the address of a packed model. Raises TrainingError."""
    try:
        if (Path(word) / RECIPE_FILE).exists():
            architecture = read_recipe(Path(word)).architecture
            return architecture, load(Path(word) / WEIGHTS_FILE, architecture)
        packed = _unpacked(word)
        return packed.architecture, packed.weights
    except (InferenceError, OSError) as error:
        raise TrainingError(f"{word}: {error}") from error


def packed_network(word: str) -> PackedNetwork:
    """`word`: `model:NAME`, or an address. Raises TrainingError."""
    try:
        return _unpacked(word)
    except (InferenceError, OSError) as error:
        raise TrainingError(f"{word}: {error}") from error


def _unpacked(word: str) -> PackedNetwork:
    address = address_of(word.removeprefix(MODEL_WORD)) if word.startswith(MODEL_WORD) else word
    model = anyio.run(open_model, address)
    card = model.manifest.card
    if card.encoding != ENCODING:
        raise TrainingError(f"{address} is no policy network that reads {ENCODING!r}")
    architecture = parse(card.extra.get(CONFIG_KEY, ""))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "policy.safetensors"
        anyio.run(unpack, model, path)
        return PackedNetwork(architecture, load(path, architecture), model.manifest)
