"""Low-rank adapters beside the layers of a torch module: y + B(A x), added as a layer computes, per row of the batch.

Nothing is merged: the weights stay as they were streamed, and one batch may mix adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from edgechess_inference.adapters.host import HostAdapter
from edgechess_inference.move_model import AdapterError

Factors = tuple[torch.Tensor, torch.Tensor]
"""A [rank, in] and B [out, rank], the scaling in B."""

Product = Callable[[nn.Module, torch.Tensor, Factors], torch.Tensor]
"""(layer, its input, factors) → what is added to its output."""


@dataclass(frozen=True, slots=True)
class TorchAdapter:
    """On the device, in the type that is computed in."""

    factors: Mapping[str, Factors]

    @property
    def bytes(self) -> int:
        return sum(a.nbytes + b.nbytes for a, b in self.factors.values())


Groups = Sequence[tuple[TorchAdapter | None, slice]]


def linear_product(layer: nn.Module, x: torch.Tensor, factors: Factors) -> torch.Tensor:
    """For layers whose channels come last (torch's Linear, transformers' Conv1D)."""
    a, b = factors
    return x @ a.T @ b.T


class LowRank:
    """Hooks on the adaptable layers of one module; used by one thread at a time."""

    def __init__(self, layers: Mapping[str, tuple[nn.Module, int, int, Product]]) -> None:
        """`layers`: name → module, channels in, channels out, product."""
        self._layers = layers
        self._groups: Groups = ()
        for name, (module, _, _, product) in layers.items():
            module.register_forward_hook(self._hook(name, product))

    def prepare(self, adapter: HostAdapter, device: torch.device, dtype: torch.dtype) -> TorchAdapter:
        """Raises AdapterError where a layer is not there or of another shape."""
        name = adapter.adapter.name
        factors: dict[str, Factors] = {}
        for target in adapter.adapter.targets:
            layer = self._find(target.layer)
            if layer is None:
                raise AdapterError(name, f"adapter {name!r} changes {target.layer!r}, which this model has not")
            _, inward, out, _ = self._layers[layer]
            if target.a.shape[1] != inward or target.b.shape[0] != out:
                found = f"{target.a.shape[1]} to {target.b.shape[0]}"
                raise AdapterError(name, f"adapter {name!r}: {target.layer!r} takes {inward} to {out}, not {found}")
            a, b = (torch.from_numpy(factor).to(device, dtype) for factor in adapter.factors(target))
            factors[layer] = (a, b)
        return TorchAdapter(factors)

    @contextmanager
    def using(self, groups: Groups) -> Iterator[None]:
        """Rows of the batches computed inside, and their adapters."""
        self._groups = [(adapter, rows) for adapter, rows in groups if adapter is not None]
        try:
            yield
        finally:
            self._groups = ()

    def _find(self, name: str) -> str | None:
        """A layer by its name, or by all of it but one prefix that the checkpoint was saved with or without."""
        if name in self._layers:
            return name
        return next((layer for layer in self._layers if layer.partition(".")[2] == name), None)

    def _hook(self, name: str, product: Product) -> Callable[..., torch.Tensor | None]:
        def after(layer: nn.Module, args: tuple[torch.Tensor, ...], y: torch.Tensor) -> torch.Tensor | None:
            for adapter, rows in self._groups:
                factors = adapter.factors.get(name) if adapter is not None else None
                if factors is not None:
                    y[rows] += product(layer, args[0][rows], factors)
            return y if self._groups else None

        return after
