"""Weights on their way: a computation waits for the layer it needs, not for the whole model."""

from __future__ import annotations

from collections.abc import Sequence

import anyio.from_thread

from edgechess_inference.weights.streamer import Stream


class Arrival:
    """Of one stream; `stream` None: everything is in place already."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def wait(self, names: Sequence[str]) -> None:
        """From a worker thread: returns when these tensors' bytes are in place; they come first from now on.

        Raises WeightsError where they will never come.
        """
        if self.stream is None:
            return
        missing = [name for name in names if not self.stream.is_ready(name)]
        if missing:
            anyio.from_thread.run(self.stream.ready, missing)

    async def done(self) -> None:
        """Returns when all are in place. Raises WeightsError."""
        if self.stream is None:
            await anyio.lowlevel.checkpoint()
        else:
            await self.stream.done()
