"""Networks of a few thousand numbers, packed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgechess_inference.adapters.lora import pack_adapter
from edgechess_inference.policy.architecture import Architecture, weights_of
from edgechess_inference.policy.checkpoint import pack_policy
from edgechess_inference.weights.manifest import Manifest
from edgechess_inference.weights.safetensors_file import header_bytes

Weights = dict[str, NDArray[np.float32]]

ARCHITECTURES = {
    "residual": Architecture(trunk="residual", width=12, blocks=2, squeeze=4, policy_width=8, value_width=6),
    "encoder": Architecture(
        trunk="encoder", width=12, blocks=2, heads=3, generated=4, policy_width=8, value_width=6, value_bins=5
    ),
}


@pytest.fixture
def anyio_backend() -> str:
    """One is enough for most: what differs between the two is a few tests' affair, which name both."""
    return "asyncio"


class Networks:
    """Makes networks and adapters."""

    architectures = ARCHITECTURES

    @staticmethod
    def weights(a: Architecture, seed: int) -> Weights:
        """Random, and large enough that every part of the network shows in the answer."""
        draw = np.random.default_rng(seed)
        return {
            name: (draw.normal(size=shape) * 0.4 + (1.0 if "norm" in name else 0.0)).astype(np.float32)
            for name, shape in weights_of(a).items()
        }

    def pack(self, address: Path, a: Architecture, seed: int) -> Manifest:
        return pack_policy(address, a, self.weights(a, seed), licence="MIT")

    @staticmethod
    def factors(a: Architecture, layers: tuple[str, ...], seed: int, rank: int = 2) -> Weights:
        draw, found = np.random.default_rng(seed), {}
        for layer in layers:
            out, inward = weights_of(a)[f"{layer}.weight"]
            found[f"{layer}.lora_A.weight"] = draw.normal(size=(rank, inward)).astype(np.float32)
            found[f"{layer}.lora_B.weight"] = draw.normal(size=(out, rank)).astype(np.float32)
        return found

    @staticmethod
    def folder(path: Path, factors: Mapping[str, NDArray[Any]], **config: Any) -> Path:
        """As peft saves it."""
        words = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int32): "I32"}
        path.mkdir()
        rows = [(f"base_model.model.{name}", words[array.dtype], array.shape) for name, array in factors.items()]
        data = b"".join(array.tobytes() for array in factors.values())
        (path / "adapter_model.safetensors").write_bytes(header_bytes(rows, {}) + data)
        (path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 1.0, "r": 2} | config))
        return path

    def adapter(self, address: Path, a: Architecture, base: Manifest, layers: tuple[str, ...], seed: int) -> Manifest:
        folder = self.folder(address.with_suffix(".peft"), self.factors(a, layers, seed))
        return pack_adapter(folder, address, [base]).manifest

    def merged(self, a: Architecture, seed: int, layers: tuple[str, ...], adapter_seed: int) -> Weights:
        """What the base and the adapter are together, as one set of weights. alpha / rank is 1 / 2."""
        weights, factors = self.weights(a, seed), self.factors(a, layers, adapter_seed)
        for layer in layers:
            product = factors[f"{layer}.lora_B.weight"] @ factors[f"{layer}.lora_A.weight"]
            weights[f"{layer}.weight"] = weights[f"{layer}.weight"] + product / 2
        return weights


@pytest.fixture(scope="session")
def networks() -> Networks:
    return Networks()


Pack = Callable[[str, int], Path]
