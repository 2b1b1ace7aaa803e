"""`verify`: reads every chunk of a model and names each one that is missing or not what its names say. Blocking."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from edgechess_inference.weights.digests import intact
from edgechess_inference.weights.fetch_plan import Fault
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.local_store import chunk_key
from edgechess_inference.weights.manifest import CHUNK_BYTES, Chunk, Manifest
from edgechess_inference.weights.source import Connection, FetchFailed, Source

PAUSES_S = (0.0, 0.2, 1.0)  # before a chunk is asked for again: a connection that broke says nothing about the store

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One chunk that is not as it should be, and where it is used."""

    address: str
    text: str
    used_by: tuple[str, ...]


def verify(manifest: Manifest, source: Source, progress: Progress = lambda done, total: None) -> list[Finding]:
    """Both digests of every chunk, against one source. Empty: all is well. Raises WeightsError for no memory."""
    findings: list[Finding] = []
    users = _users(manifest)
    chunks = manifest.chunks()
    total, done = sum(chunk.bytes for chunk in chunks.values()), 0
    connection, buffer = source.connect(), HostBuffer(CHUNK_BYTES)
    try:
        for chunk in chunks.values():
            text = _fault(connection, chunk, buffer.view(0, chunk.bytes))
            if text is not None:
                findings.append(Finding(chunk.address, text, users[chunk.address]))
            done += chunk.bytes
            progress(done, total)
    finally:
        connection.close()
    return findings


def _fault(connection: Connection, chunk: Chunk, into: memoryview) -> str | None:
    failed = _failure(connection, chunk, into)
    if failed is not None:
        return failed.text
    if not intact(into, chunk.address, chunk.check, "tampering"):
        return "does not match its digests"
    return None


def _failure(connection: Connection, chunk: Chunk, into: memoryview) -> FetchFailed | None:
    """Why it cannot be read, not even the third time after the first."""
    failure: FetchFailed | None = None
    for pause_s in (*PAUSES_S, None):
        try:
            connection.fetch(chunk_key(chunk.address), into)
        except FetchFailed as failed:
            failure = failed
            if pause_s is None or failed.fault not in (Fault.RESET, Fault.THROTTLED):
                return failure
            time.sleep(pause_s)
        else:
            return None
    return failure


def _users(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Address → names of the tensors and files with bytes in that chunk."""
    users: dict[str, list[str]] = {}
    for file in manifest.files:
        for chunk in file.chunks:
            users.setdefault(chunk.address, []).append(file.name)
    for tensor in manifest.tensors:
        chunks = manifest.shards[tensor.shard].chunks
        last = (tensor.offset + tensor.length - 1) // CHUNK_BYTES
        for number in range(tensor.offset // CHUNK_BYTES, last + 1):
            users.setdefault(chunks[number].address, []).append(tensor.name)
    return {address: tuple(dict.fromkeys(names)) for address, names in users.items()}
