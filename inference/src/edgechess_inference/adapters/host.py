"""An adapter in host memory: its image, and its tensors as arrays."""

from __future__ import annotations

import dataclasses

import anyio.lowlevel
import numpy as np
from numpy.typing import NDArray

from edgechess_inference.adapters.lora import Adapter, Target
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.manifest import CHUNK_BYTES, Tensor
from edgechess_inference.weights.model import Model, chunk_blocking
from edgechess_inference.weights.streamer import open_stream
from edgechess_inference.weights.transfer import StreamSettings


@dataclasses.dataclass(frozen=True, slots=True)
class HostAdapter:
    """Loaded and verified; never changed afterwards. Use no array of it after `close`."""

    adapter: Adapter
    buffer: HostBuffer

    @property
    def bytes(self) -> int:
        """What it takes of host memory, which is given out in huge pages."""
        return self.buffer.capacity

    def factors(self, target: Target) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A [rank, in] and B [out, rank], both copied to F32, the scaling in B."""
        return self._array(target.a), self._array(target.b) * np.float32(target.scaling)

    def _array(self, tensor: Tensor) -> NDArray[np.float32]:
        data = self.buffer.view(tensor.offset, tensor.length)
        if tensor.dtype == "BF16":  # the upper half of an F32
            wide = np.frombuffer(data, dtype=np.uint16).astype(np.uint32) << 16
            return wide.view(np.float32).reshape(tensor.shape)
        dtype = np.float16 if tensor.dtype == "F16" else np.float32
        return np.frombuffer(data, dtype=dtype).astype(np.float32).reshape(tensor.shape)

    def close(self) -> None:
        self.buffer.close()


async def load_adapter(model: Model, adapter: Adapter, settings: StreamSettings, *, inline: bool) -> HostAdapter:
    """Streams it. `inline`: without threads, for virtual time. Raises SourceError or DamageError."""
    shard = model.manifest.shards[0]
    buffer = HostBuffer(shard.bytes)
    if inline:
        await anyio.lowlevel.checkpoint()
        fill_blocking(model, buffer)
    else:
        async with open_stream(model, buffer, settings=settings) as stream:
            await stream.done()
    return HostAdapter(adapter, buffer)


def fill_blocking(model: Model, buffer: HostBuffer) -> None:
    """The whole first image, chunk by chunk, in this thread. Raises SourceError or DamageError."""
    for number, chunk in enumerate(model.manifest.shards[0].chunks):
        with buffer.view(number * CHUNK_BYTES, chunk.bytes) as place:
            place[:] = chunk_blocking(model, chunk)
