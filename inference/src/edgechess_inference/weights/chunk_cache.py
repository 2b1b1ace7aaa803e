"""A local cache of chunks: a start without a network, and an update that fetches only what changed.

It is a store's `chunks/` folder and nothing else: chunks are found by address, so that models share what they share
and nothing has to be kept in step. What is read from it is verified like what comes from anywhere; a torn or damaged
chunk is deleted and fetched again. A cache that cannot be written is no reason not to start.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Collection
from pathlib import Path

from edgechess_inference.weights.disk_adapter import DiskSource
from edgechess_inference.weights.local_store import CHUNKS, PARTIAL_SUFFIX, LocalStore

log = logging.getLogger(__name__)

PARTIAL_AGE_S = 3600.0  # nobody writes one chunk for so long
PUT = "put"  # what may fail for good
LIMIT_BYTES = 64 << 30  # a few versions of what an edge box can run


class ChunkCache:
    """Safe for several threads and processes: a chunk appears whole, and twice the same does not matter."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._problems: dict[str, str] = {}
        self._store = LocalStore(folder)

    @property
    def problem(self) -> str | None:
        """Why nothing more is written, once writing has failed."""
        return self._problems.get(PUT)

    def source(self) -> DiskSource:
        """The cache as the first source of a stream."""
        return DiskSource(self.folder, name="cache", forgetful=True)

    def put(self, address: str, data: memoryview) -> None:
        """Keeps a verified chunk. A full or read-only disk is said once, and the stream goes on."""
        if self.problem is not None:
            return
        try:
            self._store.put_chunk(address, data)
        except OSError as error:
            self._fail(f"the cache {self.folder} takes no more chunks: {error.strerror or error}")

    def _fail(self, problem: str) -> None:
        """Several threads may find the disk full at once: `setdefault` is atomic, and one of them says so."""
        if self._problems.setdefault(PUT, problem) is problem:
            log.warning("%s; streaming goes on without it", problem)

    def prune(self, used: Collection[str]) -> int:
        """After a stream: what it used is the newest now, and the oldest others go until the limit holds.

        Never deletes a chunk of `used`. What a killed process left half-written goes too. Returns the bytes freed.
        """
        kept, rows, freed = set(used), [], 0
        now_s = time.time()
        for path in (self.folder / CHUNKS).glob("??/*"):
            with contextlib.suppress(FileNotFoundError):  # another process settles too
                found = path.stat()
                if path.suffix == PARTIAL_SUFFIX:
                    if now_s - found.st_mtime > PARTIAL_AGE_S:
                        path.unlink()
                    continue
                if path.name in kept:
                    os.utime(path)
                rows.append((found.st_mtime, found.st_size, path))
        total = sum(size for _, size, _ in rows)
        for _, size, path in sorted(rows):
            if total - freed <= self.limit_bytes:
                break
            if path.name not in kept:
                path.unlink(missing_ok=True)
                freed += size
        return freed
