"""What a dataset folder holds, by name; and `dataset.json`, which says what was made of what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgechess_training.positions import EVALUATION_FILE, TRAIN_FILE

UNSEEN_FILE = "evaluation-unseen.npy"
"""One truth value per position of EVALUATION_FILE: does it occur nowhere in TRAIN_FILE?"""
SUMMARY_FILE = "dataset.json"
CARD_FILE = "README.md"
TRAIN_RECORDS = "train.jsonl"
EVALUATION_RECORDS = "evaluation.jsonl"
TEMPLATE_FILE = "template.json"

DATA_FILES = (TRAIN_FILE, EVALUATION_FILE, UNSEEN_FILE, TRAIN_RECORDS, EVALUATION_RECORDS)

Statistics = dict[str, Any]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """`made_by`: the verb. `options`: what decides the content, sources apart. `counts`: of games and positions."""

    made_by: str
    sources: list[dict[str, Any]]
    options: dict[str, Any]
    counts: dict[str, int]
    statistics: Statistics
    malformed: list[str] = msgspec.field(default_factory=list)
    licence: str = "unknown"
    format: str = "edgechess-dataset-1"


def write_summary(folder: Path, summary: Summary) -> None:
    (folder / SUMMARY_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")


def new_array(path: Path, dtype: np.dtype[Any], length: int) -> np.ndarray[Any, Any]:
    """An array on disk, to be filled. Nothing cannot be mapped: an empty one is just saved."""
    if length == 0:
        np.save(path, np.empty(0, dtype))
        return np.empty(0, dtype)
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(length,))
