"""What decides a run's outcome, as one value: it lies in the run's folder and is what a continued run must agree with."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgechess_inference.policy.architecture import Architecture, ArchitectureError
from edgechess_training.errors import TrainingError

RECIPE_FILE = "recipe.json"


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`positions`: when it ends, the last 30 % with a falling rate; None: when somebody says so."""

    architecture: Architecture
    batch: int = 256
    rate: float = 1.0
    """Of the usual learning rates."""
    outlook_weight: float = 0.3
    """Of the loss on win, draw and loss beside that on the move."""
    average: float = 0.999
    """Decay per step of the averaged weights, which are the ones to use."""
    mirror: bool = True
    seed: int = 1
    positions: int | None = None


def write_recipe(folder: Path, recipe: Recipe) -> None:
    text = msgspec.json.format(msgspec.json.encode(recipe), indent=2)
    (folder / RECIPE_FILE).write_bytes(text + b"\n")


def read_recipe(folder: Path) -> Recipe:
    """Raises TrainingError."""
    try:
        return msgspec.json.decode((folder / RECIPE_FILE).read_bytes(), type=Recipe)
    except FileNotFoundError:
        raise TrainingError(f"{folder} is no run: it has no {RECIPE_FILE}") from None
    except (msgspec.DecodeError, ArchitectureError) as error:
        raise TrainingError(f"{folder / RECIPE_FILE}: {error}") from error
