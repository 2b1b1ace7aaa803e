"""What a packed low-rank adapter says of itself: which weights it was made for, which layers it changes, how strongly.

An adapter is a packed model (FORMAT.md) whose architecture is "lora". Its tensors keep the names of the peft library,
`[base_model.model.]LAYER.lora_A.weight` [rank, in] and `….lora_B.weight` [out, rank]; the layer then computes
y + scaling * B(A x). Its card says in `extra`: `kind` "adapter", `base` (digests of the weights it fits, blanks
between), `alpha`, and `scaling` "rank" (alpha / rank) or "root" (alpha / sqrt(rank), peft's `use_rslora`).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgechess_inference.weights.digests import ADDRESS_HEX
from edgechess_inference.weights.errors import ManifestError
from edgechess_inference.weights.identity import weights_digest
from edgechess_inference.weights.manifest import Card, Manifest, Tensor
from edgechess_inference.weights.packing import Packed, pack
from edgechess_inference.weights.safetensors_file import Checkpoint

ARCHITECTURE = "lora"
KIND = "adapter"
WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
CONFIG_BYTES_MAX = 1 << 20
PREFIX = "base_model.model."  # peft's, around the names of the model it was trained on
SUFFIXES = (".lora_A.weight", ".lora_B.weight")
RANK_MAX = 1024
BASES_MAX = 16

UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "use_dora": (None, False),
    "bias": (None, "none"),
    "modules_to_save": (None, []),
    "alpha_pattern": (None, {}),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
}
"""Keys of peft's configuration, and the values under which an adapter is the plain product that we compute."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One layer that an adapter changes, and its two tensors. `scaling` is of the product."""

    layer: str
    a: Tensor
    b: Tensor
    scaling: float

    @property
    def rank(self) -> int:
        return self.a.shape[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Adapter:
    """A checked adapter."""

    name: str
    digest: str
    bases: tuple[str, ...]
    alpha: float
    targets: tuple[Target, ...]

    @property
    def rank(self) -> int:
        """The largest of its layers'."""
        return max(target.rank for target in self.targets)


def read_adapter(manifest: Manifest) -> Adapter:
    """Raises ManifestError, naming what is wrong, where the manifest is no adapter or a malformed one."""
    card = manifest.card
    if card.architecture != ARCHITECTURE or card.extra.get("kind") != KIND:
        raise ManifestError(f"{card.name} is a model ({card.architecture}), not an adapter: pack it by `adapter pack`")
    if len(manifest.shards) != 1:
        raise ManifestError(f"{card.name}: an adapter has one shard, not {len(manifest.shards)}")
    bases = tuple(card.extra.get("base", "").split())
    if not 1 <= len(bases) <= BASES_MAX or any(len(base) != ADDRESS_HEX for base in bases):
        raise ManifestError(f"{card.name}: card.extra.base names no weights (1 to {BASES_MAX} digests)")
    alpha = _number(card)
    root = card.extra.get("scaling", "rank")
    if root not in ("rank", "root"):
        raise ManifestError(f"{card.name}: card.extra.scaling is {root!r}, neither 'rank' nor 'root'")
    targets = tuple(
        Target(layer, a, b, alpha / (math.sqrt(a.shape[0]) if root == "root" else a.shape[0]))
        for layer, (a, b) in _pairs(manifest.tensors, card.name).items()
    )
    return Adapter(card.name, weights_digest(manifest), bases, alpha, targets)


def _number(card: Card) -> float:
    try:
        alpha = float(card.extra["alpha"])
    except (KeyError, ValueError):
        raise ManifestError(f"{card.name}: card.extra.alpha is not a number") from None
    if not (math.isfinite(alpha) and alpha > 0):
        raise ManifestError(f"{card.name}: card.extra.alpha is {alpha}, not a positive number")
    return alpha


def layer_of(name: str) -> tuple[str, int]:
    """Layer, and 0 for A or 1 for B. Raises ManifestError for another tensor."""
    for which, suffix in enumerate(SUFFIXES):
        if name.endswith(suffix):
            return name.removeprefix(PREFIX).removesuffix(suffix), which
    raise ManifestError(f"tensor {name!r} is neither {' nor '.join(SUFFIXES)}: only plain LoRA can be served")


def _pairs(tensors: Sequence[Tensor], name: str) -> dict[str, tuple[Tensor, Tensor]]:
    found: dict[str, list[Tensor | None]] = {}
    for tensor in tensors:
        layer, which = layer_of(tensor.name)
        found.setdefault(layer, [None, None])[which] = tensor
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    for layer, (a, b) in found.items():
        if a is None or b is None:
            raise ManifestError(f"{name}: layer {layer!r} has only one of its two tensors")
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1] or not 1 <= a.shape[0] <= RANK_MAX:
            raise ManifestError(f"{name}: layer {layer!r}: A {list(a.shape)} and B {list(b.shape)} are no product")
        if a.dtype not in ("F32", "F16", "BF16") or b.dtype not in ("F32", "F16", "BF16"):
            raise ManifestError(
                f"{name}: layer {layer!r} is of {a.dtype} and {b.dtype}; F32, F16 and BF16 can be served"
            )
        pairs[layer] = (a, b)
    return pairs


def pack_adapter(folder: Path, address: Path, bases: Sequence[Manifest], *, licence: str = "unknown") -> Packed:
    """Packs a folder as peft saves it into the store that `address` (…/NAME.json) lies in.

    `bases`: the weights it was made for, in every form in which they are served. Raises ManifestError or OSError.
    """
    config = _config(folder / CONFIG_FILE)
    with Checkpoint([folder / WEIGHTS_FILE]) as checkpoint:
        layers = {layer_of(name)[0] for name in checkpoint.names}
    for base in bases:
        _check_layers(layers, base)
    card = Card(
        name=address.stem,
        architecture=ARCHITECTURE,
        licence=licence,
        extra={
            "kind": KIND,
            "base": " ".join(weights_digest(base) for base in bases),
            "baseName": bases[0].card.name,
            "alpha": str(config["lora_alpha"]),
            "scaling": "root" if config.get("use_rslora") else "rank",
        },
    )
    packed = pack(folder / WEIGHTS_FILE, address, card, files=[folder / CONFIG_FILE])
    try:
        read_adapter(packed.manifest)
    except ManifestError:
        address.unlink()
        raise
    return packed


def _config(path: Path) -> dict[str, Any]:
    if path.stat().st_size > CONFIG_BYTES_MAX:
        raise ManifestError(f"{path} has more than {CONFIG_BYTES_MAX} bytes")
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ManifestError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("lora_alpha"), int | float):
        raise ManifestError(f"{path} is no configuration of a LoRA: it has no lora_alpha")
    for key, plain in UNSUPPORTED.items():
        if config.get(key) not in plain:
            raise ManifestError(f"{path}: {key} is {config[key]!r}; only plain LoRA can be served")
    return config


def _check_layers(layers: set[str], base: Manifest) -> None:
    """Each layer is one of the base's, by its name or by all of it but a prefix. Raises ManifestError."""
    there = {tensor.name.removesuffix(".weight") for tensor in base.tensors if tensor.name.endswith(".weight")}
    for layer in sorted(layers):
        if layer not in there and layer.partition(".")[2] not in there:
            raise ManifestError(f"the adapter changes {layer!r}, which {base.card.name} has not: another base model?")
