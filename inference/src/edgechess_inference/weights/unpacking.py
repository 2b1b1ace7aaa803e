"""`unpack`: a packed model back into one safetensors file, every tensor bit for bit, whatever it was cut into.

The file is written out of order as chunks come and appears under its name when it is whole. Memory is bounded like
that of a stream. The file carries the metadata that transformers asks for (`format: pt`).
"""

from __future__ import annotations

import bisect
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio.to_thread

from edgechess_inference.weights.cutting import spans
from edgechess_inference.weights.element_types import byte_length
from edgechess_inference.weights.errors import ManifestError
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.local_store import PARTIAL_SUFFIX, write_whole
from edgechess_inference.weights.manifest import CHUNK_BYTES, Manifest, Tensor
from edgechess_inference.weights.model import Model
from edgechess_inference.weights.safetensors_file import header_bytes
from edgechess_inference.weights.transfer import StreamSettings, Watch, open_transfer, silently

METADATA = {"format": "pt"}


class FileDestination:
    """A destination that puts each chunk's pieces of tensors where they belong in a safetensors file."""

    staging_bytes = CHUNK_BYTES

    def __init__(self, manifest: Manifest, shard: int, places: dict[str, int], file: mmap.mmap) -> None:
        self.bytes = manifest.shards[shard].bytes
        self._tensors = manifest.of_shard(shard)
        self._offsets = [tensor.offset for tensor in self._tensors]
        self._shard = shard
        self._shards = len(manifest.shards)
        self._places = places
        self._file = file
        self._slots: dict[int, HostBuffer] = {}

    def slot(self, offset: int, length: int, receiver: int) -> memoryview:
        if receiver not in self._slots:
            self._slots[receiver] = HostBuffer(CHUNK_BYTES)
        return self._slots[receiver].view(0, length)

    def land(self, offset: int, length: int, receiver: int) -> None:
        data = self._slots[receiver].view(0, length)
        number = max(0, bisect.bisect_right(self._offsets, offset) - 1)
        for tensor in self._tensors[number:]:
            if tensor.offset >= offset + length:
                break
            self._write(tensor, offset, data)

    def _write(self, tensor: Tensor, offset: int, data: memoryview) -> None:
        """What of the tensor lies in `data`, which begins at `offset` of the image."""
        place, at = self._places[tensor.name], tensor.offset
        for begin, end in spans(
            tensor.dtype, whole_shape(tensor, self._shards), tensor.axis, self._shard, self._shards
        ):
            low, high = max(at, offset), min(at + end - begin, offset + len(data))
            if low < high:
                where = place + begin + low - at
                self._file[where : where + high - low] = data[low - offset : high - offset]
            at += end - begin
            if at >= offset + len(data):
                return


def whole_shape(tensor: Tensor, shards: int) -> tuple[int, ...]:
    """The shape that was cut."""
    if tensor.axis is None:
        return tensor.shape
    return tuple(extent * (shards if axis == tensor.axis else 1) for axis, extent in enumerate(tensor.shape))


async def unpack(
    model: Model,
    path: Path,
    *,
    settings: StreamSettings = StreamSettings(),  # noqa: B008 — frozen
    watch: Watch = silently,
) -> None:
    """Writes `path`, and the model's side files beside it. Raises ManifestError, OSError, SourceError or DamageError; then `path` is
    as it was before."""
    manifest = model.manifest
    if manifest.file(path.name) is not None:
        raise ManifestError(f"{manifest.card.name} carries a file of that name: unpack to another than {path.name}")
    rows = [(t.name, t.dtype, whole_shape(t, len(manifest.shards))) for t in manifest.of_shard(0)]
    header = header_bytes(rows, METADATA)
    places, size = {}, len(header)
    for name, dtype, shape in rows:
        places[name] = size
        size += byte_length(dtype, shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        with _written(beside, size) as file:
            file[: len(header)] = header
            for shard, image in enumerate(manifest.shards):
                destination = FileDestination(manifest, shard, places, file)
                async with open_transfer(model, image.chunks, destination, settings) as transfer:
                    await watch(transfer)
            await anyio.to_thread.run_sync(file.flush)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    for side in manifest.files:
        write_whole(path.with_name(side.name), await model.file(side.name))


@contextmanager
def _written(path: Path, size: int) -> Iterator[mmap.mmap]:
    """A file of this size, mapped for writing. Its blocks are taken first: a full disk is an OSError, not a signal."""
    with path.open("w+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)
        mapped = mmap.mmap(file.fileno(), size)
        try:
            yield mapped
        finally:
            mapped.close()
