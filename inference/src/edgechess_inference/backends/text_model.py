"""A language model as a `MoveModel`: prompts are completed, in one batch, each under its own deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import anyio
import anyio.lowlevel

from edgechess_inference.backends.compute_adapter import Stop
from edgechess_inference.backends.generation import Row, Writer
from edgechess_inference.backends.hf_model import HfModel
from edgechess_inference.backends.loaded_model import LoadedModel, grouped
from edgechess_inference.move_model import Completion, PromptRequest


class TextModel(LoadedModel):
    """Made by `loading.load_model`."""

    _backend: HfModel
    _writer: Writer | None = None

    async def complete(self, requests: Sequence[PromptRequest]) -> list[Completion]:
        if not requests:
            await anyio.lowlevel.checkpoint()
            return []
        started = anyio.current_time()
        async with self._batch(requests) as lent:
            order, parts = grouped([request.adapter for request in requests])
            groups = [(lent[name].prepared if name is not None else None, rows) for name, rows in parts]
            writer = self._writer = self._writer or Writer(self._backend)
            now = anyio.current_time if self._compute.inline else _clock_for_threads()

            def work(stop: Stop) -> list[Row]:
                rows = [writer.row(requests[number]) for number in order]
                writer.write(rows, groups, now, stop)
                return rows

            rows = dict(zip(order, await self._compute.run(work), strict=True))
            found = []
            for number, request in enumerate(requests):
                row = rows[number]
                latency_s = row.ended_at - started
                self._count(request.adapter, latency_s)
                completion = Completion(
                    text=row.text,
                    finish=row.finish or "deadline",
                    constrained=row.allowed is not None,
                    prompt_tokens=len(row.prompt),
                    tokens=len(row.tokens),
                    weights=self.weights,
                    adapter=request.adapter,
                    adapter_weights=lent[request.adapter].digest if request.adapter is not None else None,
                    latency_s=latency_s,
                )
                found.append(completion)
            return found


def _clock_for_threads() -> Callable[[], float]:
    """The scheduler's clock, as a worker thread can read it."""
    offset_s = anyio.current_time() - time.monotonic()
    return lambda: time.monotonic() + offset_s
