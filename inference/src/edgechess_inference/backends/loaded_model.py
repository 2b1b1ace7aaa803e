"""What every loaded model does alike: it knows when it may be closed, borrows adapters, and refuses what is late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import anyio
import anyio.lowlevel

from edgechess_inference.adapters.host import HostAdapter
from edgechess_inference.adapters.table import AdapterTable, Lent, Prepared
from edgechess_inference.backends.arrival import Arrival
from edgechess_inference.backends.compute_adapter import Compute
from edgechess_inference.move_model import (
    AdapterError,
    Completion,
    Description,
    Memory,
    ModelError,
    ModelLate,
    ModelUnavailable,
    PositionRequest,
    PromptRequest,
    Ranking,
)


class Backend(Protocol):
    """What computes. Blocking; called by one thread at a time."""

    def converted_bytes(self) -> int: ...

    def prepare(self, adapter: HostAdapter) -> Prepared:
        """Raises AdapterError."""

    def settle(self) -> None:
        """All weights are in place: gates and staging memory are no longer needed."""

    def close(self) -> None: ...


class LoadedModel:
    """The parts of a `MoveModel` that do not depend on what it answers."""

    def __init__(
        self,
        description: Description,
        backend: Backend,
        *,
        compute: Compute,
        arrival: Arrival,
        adapters: AdapterTable | None,
        weights_bytes: int,
    ) -> None:
        self._description = description
        self._backend: Backend = backend
        self._compute = compute
        self._arrival = arrival
        self._adapters = adapters
        self._weights_bytes = weights_bytes
        self._running = 0
        self._closed = False
        self._idle = anyio.Event()

    @property
    def weights(self) -> str:
        return self._description.weights

    def describe(self) -> Description:
        return self._description

    def memory(self) -> Memory:
        return Memory(self._weights_bytes, self._backend.converted_bytes())

    async def ready(self) -> None:
        await self._arrival.done()

    async def rank(self, requests: Sequence[PositionRequest]) -> list[Ranking]:
        await anyio.lowlevel.checkpoint()
        raise ModelError(f"{self._description.name} is a text model: it completes prompts and ranks no moves")

    async def complete(self, requests: Sequence[PromptRequest]) -> list[Completion]:
        await anyio.lowlevel.checkpoint()
        raise ModelError(f"{self._description.name} is a policy network: it ranks moves and completes no prompts")

    async def prepare(self, adapter: HostAdapter) -> Prepared:
        """For the table of adapters."""
        return await self._compute.run(lambda stop: self._backend.prepare(adapter))

    async def settle(self) -> None:
        """Called once, when all weights are in place."""
        await self._compute.run(lambda stop: self._backend.settle())

    async def close(self) -> None:
        if self._closed:
            await anyio.lowlevel.checkpoint()
            return
        self._closed = True
        self._arrival.abandon()
        with anyio.CancelScope(shield=True):  # what runs ends within one token, for its caller is being cancelled too
            while self._running:
                self._idle = anyio.Event()
                await self._idle.wait()
            if self._adapters is not None:
                self._adapters.release(self)
            self._backend.close()

    @asynccontextmanager
    async def _batch(self, requests: Sequence[PositionRequest | PromptRequest]) -> AsyncIterator[Mapping[str, Lent]]:
        """For one computation: refuses the closed and the late, lends the adapters. Raises as `MoveModel.rank` says."""
        if self._closed:
            raise ModelUnavailable(f"{self._description.name} is closed")
        self._running += 1
        try:
            if self._compute.inline:
                await self._arrival.done()  # in place nothing may wait for a thread
            names = sorted({request.adapter for request in requests if request.adapter is not None})
            if not names:
                _refuse_late(requests)
                yield {}
            elif self._adapters is None:
                raise AdapterError(names[0], f"there is no adapter {names[0]!r}: none is registered here")
            else:
                async with self._adapters.lend(names, self) as lent:
                    _refuse_late(requests)
                    yield lent
        finally:
            self._running -= 1
            self._idle.set()

    def _count(self, adapter: str | None, latency_s: float, *, legal: bool | None = None) -> None:
        """`legal` None: not known here."""
        if adapter is None or self._adapters is None:
            return
        self._adapters.count(adapter, latency_s)
        if legal is not None:
            self._adapters.judge(adapter, legal=legal)


def _refuse_late(requests: Sequence[PositionRequest | PromptRequest]) -> None:
    now = anyio.current_time()
    late = [now - request.deadline for request in requests if request.deadline is not None and request.deadline <= now]
    if late:
        raise ModelLate(f"the deadline of {len(late)} of {len(requests)} requests passed {max(late):.3f} s ago")


def grouped(adapters: Sequence[str | None]) -> tuple[list[int], list[tuple[str | None, slice]]]:
    """An order that brings equal adapters together, and where each then lies. No adapter comes first."""
    order = sorted(range(len(adapters)), key=lambda row: (adapters[row] is not None, adapters[row] or "", row))
    groups: list[tuple[str | None, slice]] = []
    for place, row in enumerate(order):
        if groups and groups[-1][0] == adapters[row]:
            groups[-1] = (adapters[row], slice(groups[-1][1].start, place + 1))
        else:
            groups.append((adapters[row], slice(place, place + 1)))
    return order, groups
