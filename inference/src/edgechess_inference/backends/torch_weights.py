"""Streamed weights as the parameters of a torch module: views of the stream's buffer, and gates for what is not yet there.

The module is built on the meta device, so that no second set of weights ever exists. A parameter stored in the type it
is computed in *is* the buffer's memory; one stored narrower (8 bits, or 16 on a processor) is widened into memory of
its own when its bytes have come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from edgechess_inference.backends.arrival import Arrival


@dataclass(frozen=True, slots=True)
class Widening:
    """To be done once `needs` are in place: `into` becomes `stored`, by a factor per row where there is one."""

    into: torch.Tensor
    stored: torch.Tensor
    scale: torch.Tensor | None
    needs: tuple[str, ...]

    def do(self) -> None:
        self.into.copy_(self.stored)
        if self.scale is not None:
            self.into.mul_(self.scale[:, None])


class Gates:
    """Before a layer's first computation its tensors are waited for, and widened. Removed when all have come."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._handles: list[RemovableHandle] = []
        self._waiting: dict[nn.Module, tuple[list[str], list[Widening]]] = {}

    def guard(self, module: nn.Module, needs: Iterable[str], widenings: Iterable[Widening]) -> None:
        """The module computes with these tensors. Call once for each."""
        self._waiting[module] = (list(needs), list(widenings))
        self._handles.append(module.register_forward_pre_hook(self._before))

    def open_all(self) -> None:
        """In the thread that computes. Waits for what is still to come. Raises WeightsError."""
        for module in list(self._waiting):
            self._pass(module)
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _before(self, module: nn.Module, args: Any) -> None:
        if module in self._waiting:
            self._pass(module)

    def _pass(self, module: nn.Module) -> None:
        needs, widenings = self._waiting[module]
        self._arrival.wait(needs)
        with torch.inference_mode():
            for widening in widenings:
                widening.do()
        del self._waiting[module]  # only now: a wait that failed is to fail again


def assign(
    module: nn.Module,
    stored: Mapping[str, torch.Tensor],
    arrival: Arrival,
    *,
    names: Mapping[str, str],
    dtype_of: Callable[[torch.Tensor], torch.dtype],
    scales: Mapping[str, str],
) -> tuple[Gates, int]:
    """Gives a module on the meta device its parameters, and persistent buffers if they are stored.

    `names`: parameter → stored tensor; two may have one (tied weights). `dtype_of` a stored tensor: what it is computed
    in. `scales`: stored tensor → that of its factors. Returns the gates and the bytes of what was widened.
    """
    gates, widened = Gates(arrival), 0
    made: dict[str, tuple[torch.Tensor, Widening | None]] = {}
    for owner_name, owner in module.named_modules():
        own = {**dict(owner.named_parameters(recurse=False)), **dict(owner.named_buffers(recurse=False))}
        needs: list[str] = []
        widenings: list[Widening] = []
        for leaf, old in own.items():
            name = names.get(f"{owner_name}.{leaf}".lstrip("."))
            if name is None:
                continue
            if name not in made:
                made[name] = _made(name, stored, scales, dtype_of(stored[name]))
                widened += made[name][0].nbytes if made[name][1] else 0
            value, widening = made[name]
            needs += widening.needs if widening else (name,)
            widenings += [widening] if widening else []
            if isinstance(old, nn.Parameter):
                owner.register_parameter(leaf, nn.Parameter(value, requires_grad=False))
            else:
                owner.register_buffer(leaf, value)
        if needs:
            gates.guard(owner, needs, widenings)
    return gates, widened


def _made(
    name: str, stored: Mapping[str, torch.Tensor], scales: Mapping[str, str], dtype: torch.dtype
) -> tuple[torch.Tensor, Widening | None]:
    view = stored[name]
    scale = scales.get(name)
    if view.dtype == dtype and scale is None:
        return view, None
    into = torch.empty(view.shape, dtype=dtype, device=view.device)
    needs = (name,) if scale is None else (name, scale)
    return into, Widening(into, view, None if scale is None else stored[scale], needs)
