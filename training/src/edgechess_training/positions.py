"""Positions to learn from as they lie on disk: one-dimensional numpy arrays of one structured type.

`record` is `policy/encoding.py`'s "squares-16", `move` a number of `policy/moves.py`, `outcome` the mover's (0 loss, 1 draw,
2 win, 3 unknown), `game` the number of the game in its dataset, `elo` the mover's (0: unknown).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgechess_inference.policy.encoding import RECORD_BYTES
from edgechess_training.errors import TrainingError

POSITION = np.dtype(
    [
        ("record", "u1", (RECORD_BYTES,)),
        ("move", "<u2"),
        ("outcome", "u1"),
        ("game", "<u4"),
        ("ply", "<u2"),
        ("elo", "<u2"),
    ]
)
UNKNOWN_OUTCOME = 3

TRAIN_FILE = "train.npy"
EVALUATION_FILE = "evaluation.npy"

Positions = NDArray[Any]
"""Of type POSITION."""


def open_positions(path: Path) -> Positions:
    """Mapped, not read: a dataset may be larger than memory. Raises TrainingError."""
    try:
        found: Positions = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist: a dataset folder is made by `edgechess dataset build`") from None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read as positions: {error}") from error
    if found.dtype != POSITION or found.ndim != 1:
        raise TrainingError(f"{path} holds {found.dtype} [{found.ndim}-dimensional], no positions of `dataset build`")
    if not len(found):
        raise TrainingError(f"{path} holds no positions")
    return found


def outlooks_path(path: Path) -> Path:
    """Beside a file of positions: [n, 3] win, draw and loss per mille of the mover, as an engine sees them."""
    return path.with_name(f"{path.stem}-wdl.npy")


def open_outlooks(path: Path) -> NDArray[np.uint16] | None:
    """Those that belong to the positions of `path`, or None where there are none. Raises TrainingError.

    `dataset label` lets both files grow at their ends, this one first: what it has more belongs to positions that are coming.
    """
    beside = outlooks_path(path)
    try:
        found: NDArray[np.uint16] = np.load(beside, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TrainingError(f"{beside} cannot be read: {error}") from error
    count = len(open_positions(path))
    if found.dtype != np.uint16 or found.shape[1:] != (3,) or len(found) < count:
        raise TrainingError(f"{beside} does not belong to {path.name}: it is {found.dtype} {list(found.shape)}")
    return found[:count]
