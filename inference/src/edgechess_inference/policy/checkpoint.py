"""Policy networks as safetensors files and packed models: exact, or with matrices in 8 bits.

Eight bits: a matrix NAME becomes whole numbers -127 … 127 under NAME and one factor per row, in F32, under NAME.scale.
Vectors, norms and biases stay as they are: they are small, and most sensitive.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from edgechess_inference.policy.architecture import (
    ARCHITECTURE,
    CONFIG_KEY,
    Architecture,
    ArchitectureError,
    text_of,
    weights_of,
)  # fmt: skip
from edgechess_inference.policy.encoding import ENCODING
from edgechess_inference.weights.manifest import Card, Manifest
from edgechess_inference.weights.packing import pack
from edgechess_inference.weights.safetensors_file import Checkpoint, header_bytes

SCALE_SUFFIX = ".scale"
DTYPES: dict[str, type[np.generic]] = {"F32": np.float32, "F16": np.float16, "I8": np.int8}

Array = NDArray[np.generic]
Weights = Mapping[str, NDArray[np.float32]]


def check_weights(architecture: Architecture, found: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """`found`: type and shape of each stored tensor. Raises ArchitectureError unless they are this network's weights."""
    wanted = weights_of(architecture)
    for name, shape in wanted.items():
        dtype, there = found.get(name, ("", ()))
        if not dtype:
            raise ArchitectureError(f"the weights lack {name!r}")
        if there != shape:
            raise ArchitectureError(f"{name!r} is {list(there)}; this network needs {list(shape)}")
        scale = found.get(name + SCALE_SUFFIX)
        if (dtype == "I8") != (scale is not None) or (scale is not None and scale != ("F32", shape[:1])):
            raise ArchitectureError(f"{name!r} in 8 bits needs one factor per row in {name + SCALE_SUFFIX!r}, F32")
    extra = sorted(set(found) - set(wanted) - {name + SCALE_SUFFIX for name in wanted})
    if extra:
        raise ArchitectureError(f"the weights hold {extra[0]!r}, which this network has not")


def quantised(weights: Weights) -> dict[str, Array]:
    """Matrices in 8 bits with a factor per row, the rest as it was."""
    found: dict[str, Array] = {}
    for name, array in weights.items():
        if array.ndim != 2 or "geometry" in name:
            found[name] = array
            continue
        scale = np.maximum(np.abs(array).max(axis=1), 1e-12).astype(np.float32) / 127
        found[name] = np.rint(array / scale[:, None]).astype(np.int8)
        found[name + SCALE_SUFFIX] = scale
    return found


def save(path: Path, architecture: Architecture, weights: Mapping[str, Array]) -> None:
    """A safetensors file whose tensors stand in the order of the computation. Raises ArchitectureError or OSError."""
    words = {np.dtype(dtype): word for word, dtype in DTYPES.items()}
    described = {name: (words.get(array.dtype, ""), array.shape) for name, array in weights.items()}
    check_weights(architecture, described)
    names = [each for name in weights_of(architecture) for each in (name, name + SCALE_SUFFIX) if each in weights]
    header = header_bytes(
        [(name, *described[name]) for name in names], {CONFIG_KEY: text_of(architecture), "encoding": ENCODING}
    )
    with path.open("wb") as file:
        file.write(header)
        for name in names:
            file.write(np.ascontiguousarray(weights[name]).tobytes())


def load(path: Path, architecture: Architecture) -> dict[str, NDArray[np.float32]]:
    """The weights as F32, dequantised. Raises ArchitectureError, ManifestError or OSError."""
    with Checkpoint([path]) as checkpoint:
        entries = {name: checkpoint.entry(name) for name in checkpoint.names}
        check_weights(architecture, {name: (entry.dtype, entry.shape) for name, entry in entries.items()})
        arrays: dict[str, Array] = {}
        for name, entry in entries.items():
            with checkpoint.data(name) as data:
                arrays[name] = np.frombuffer(bytes(data), dtype=dtype_of(name, entry.dtype)).reshape(entry.shape)
    return {name: widened(arrays, name) for name in weights_of(architecture)}


def dtype_of(name: str, word: str) -> type[np.generic]:
    """Raises ArchitectureError for a type that policy networks are not stored in without torch."""
    found = DTYPES.get(word)
    if found is None:
        raise ArchitectureError(f"{name!r} is stored as {word}; F32, F16 and I8 can be read without torch")
    return found


def widened(arrays: Mapping[str, Array], name: str) -> NDArray[np.float32]:
    """One weight as F32: the very array where it is F32 already, a copy where it was narrower."""
    array = arrays[name]
    scale = arrays.get(name + SCALE_SUFFIX)
    wide = array.astype(np.float32, copy=False)
    return wide if scale is None else wide * scale[:, None].astype(np.float32, copy=False)


def pack_policy(
    address: Path,
    architecture: Architecture,
    weights: Mapping[str, Array],
    *,
    licence: str = "unknown",
    extra: Mapping[str, str] | None = None,
) -> Manifest:
    """Packs a network into the store that `address` (…/NAME.json) lies in. Raises ArchitectureError, ManifestError, OSError."""
    card = Card(
        name=address.stem,
        architecture=ARCHITECTURE,
        licence=licence,
        encoding=ENCODING,
        extra={**(extra or {}), CONFIG_KEY: text_of(architecture)},
    )
    with TemporaryDirectory() as folder:
        save(Path(folder) / "policy.safetensors", architecture, weights)
        return pack(Path(folder) / "policy.safetensors", address, card, files=()).manifest
