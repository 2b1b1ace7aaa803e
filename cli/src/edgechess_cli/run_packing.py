"""`edgechess model pack RUN …`: the folder of a training run instead of a checkpoint."""

from __future__ import annotations

from pathlib import Path

from edgechess_inference.weights.errors import ManifestError
from edgechess_training.errors import TrainingError

RECIPE_FILE = "recipe.json"  # `edgechess train policy` begins a run by writing it


def is_run(source: Path) -> bool:
    return (source / RECIPE_FILE).is_file()


def pack_run(source: Path, target: Path, licence: str) -> int:
    """The run's averaged weights in 8 bits, as `train policy --pack` writes them; returns their bytes. Raises ManifestError."""
    try:
        from edgechess_training.policy.run import pack

        return pack(source, target, licence)
    except ImportError as error:
        raise ManifestError(f"{error.name} is not installed: pip install 'edgechess-training[torch]'") from error
    except TrainingError as error:
        raise ManifestError(str(error)) from error
