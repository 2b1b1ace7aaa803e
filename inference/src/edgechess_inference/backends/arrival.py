"""Weights on their way: a computation waits for the layer it needs, not for the whole model."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import anyio.from_thread
import anyio.lowlevel

from edgechess_inference.move_model import ModelUnavailable
from edgechess_inference.weights.streamer import Stream


class Arrival:
    """Of one stream; `stream` None: everything is in place already."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream
        self._waiting: list[anyio.CancelScope] = []
        self._abandoned = False

    def wait(self, names: Sequence[str]) -> None:
        """From a worker thread: returns when these tensors' bytes are in place; they come first from now on.

        Raises WeightsError where they will never come, ModelUnavailable where nobody wants them any more.
        """
        if self.stream is None:
            return
        missing = [name for name in names if not self.stream.is_ready(name)]
        if missing:
            anyio.from_thread.run(self._ready, self.stream, missing)

    def abandon(self) -> None:
        """The model closes: whoever waits is let go."""
        self._abandoned = True
        for scope in self._waiting:
            scope.cancel()

    async def done(self) -> None:
        """Returns when all are in place. Raises WeightsError."""
        if self.stream is None:
            await anyio.lowlevel.checkpoint()
        else:
            await self.stream.done()

    async def _ready(self, stream: Stream, names: Sequence[str]) -> None:
        with anyio.CancelScope() as scope:
            self._waiting.append(scope)
            try:
                if not self._abandoned:
                    await stream.ready(names)
                    return
            finally:
                self._waiting.remove(scope)
        raise ModelUnavailable("the model was closed before all of its weights had come")
