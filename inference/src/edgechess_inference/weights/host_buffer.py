"""Host memory for one image, taken from the kernel once, in huge pages, to be reused.

Private and anonymous: Python's default for an anonymous map is shared memory, which the kernel gives in pages of
4 KiB, at five times the processor time (measured: 1.6 s instead of 0.3 s for 2.2 GB). Fresh memory costs far more than
memory used before, so whoever swaps models keeps the buffer.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Protocol

from edgechess_inference.weights.errors import WeightsError

PAGE_BYTES = 2 << 20  # of huge pages; also enough for every device's direct I/O


class Destination(Protocol):
    """Where the bytes of an image go. Used by several threads, each for chunks of its own."""

    bytes: int

    @property
    def staging_bytes(self) -> int:
        """Host memory that each receiver needs beside the destination; 0 where it receives straight into place."""
        ...

    def slot(self, offset: int, length: int, receiver: int) -> memoryview:
        """Where receiver number `receiver` may write the bytes of [offset, offset + length), page-aligned."""
        ...

    def land(self, offset: int, length: int, receiver: int) -> None:
        """The slot's bytes are verified: returns when they lie at their place in the destination."""
        ...


class HostBuffer:
    """`bytes` of host memory. Chunks are received straight into place."""

    staging_bytes = 0

    def __init__(self, size: int) -> None:
        """Raises WeightsError where the kernel has not that much."""
        self.bytes = size
        whole = max(1, -(-size // PAGE_BYTES)) * PAGE_BYTES
        try:
            self._map = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (OSError, OverflowError, ValueError) as error:
            raise WeightsError(f"there is no room for {size} bytes of weights: {error}") from error
        if hasattr(mmap, "MADV_HUGEPAGE"):
            self._map.madvise(mmap.MADV_HUGEPAGE)
        self._whole = memoryview(self._map)

    @property
    def capacity(self) -> int:
        """Bytes it could hold: what decides whether another model can reuse it."""
        return len(self._whole)

    def resize(self, size: int) -> None:
        """Another image of up to `capacity` bytes will use it. Raises WeightsError where it does not fit."""
        if size > self.capacity:
            raise WeightsError(f"{size} bytes do not fit into a buffer of {self.capacity}")
        self.bytes = size

    def view(self, offset: int, length: int) -> memoryview:
        """Not a copy; valid until `close`."""
        return self._whole[offset : offset + length]

    def slot(self, offset: int, length: int, receiver: int) -> memoryview:
        return self._whole[offset : offset + length]

    def land(self, offset: int, length: int, receiver: int) -> None:
        """They are in place already."""

    def close(self) -> None:
        """Gives the memory back, at once or when the last tensor that shows it is gone."""
        self._whole.release()
        with contextlib.suppress(BufferError):
            self._map.close()
        del self._map
