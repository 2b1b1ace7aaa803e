"""`open_model`: an address becomes a checked manifest and the sources of its chunks.

Addresses: a path (`models/tiny.json`), `http://…/tiny.json`, `https://…`, `s3://bucket/folder/tiny.json`. Chunks lie in
`chunks/` beside the manifest. Mirrors are further addresses of the same model: used where the first one fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread

from edgechess_inference.weights.chunk_cache import ChunkCache
from edgechess_inference.weights.digests import Rigour, intact
from edgechess_inference.weights.disk_adapter import DiskSource
from edgechess_inference.weights.errors import DamageError, ManifestError, SourceError, WeightsError
from edgechess_inference.weights.http_adapter import HttpSource
from edgechess_inference.weights.local_store import SIGNATURE_SUFFIX, chunk_key
from edgechess_inference.weights.manifest import CHUNK_BYTES, Chunk, Manifest, parse
from edgechess_inference.weights.s3_store import S3Options, s3_source
from edgechess_inference.weights.signing import verify_signature
from edgechess_inference.weights.source import FetchFailed, Source


@dataclasses.dataclass(frozen=True, slots=True)
class ModelOptions:
    """How to open a model."""

    mirrors: tuple[str, ...] = ()
    cache: Path | None = None
    trust: tuple[str, ...] = ()
    """Public keys (ed25519, hexadecimal). Given: the manifest must be signed by one of them, and every chunk's SHA-256
    is verified. Empty: whoever can write to the store is trusted, and damage is still found."""
    s3: S3Options = dataclasses.field(default_factory=S3Options)
    ca_file: Path | None = None
    """Certificates to trust instead of the system's, for https."""


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """A manifest that was checked, and where its chunks come from, best first."""

    manifest: Manifest
    sources: tuple[Source, ...]
    rigour: Rigour = "damage"
    cache: ChunkCache | None = None

    async def file(self, name: str) -> bytes:
        """A side file, verified. Raises ManifestError (no such file), SourceError or DamageError."""
        found = self.manifest.file(name)
        if found is None:
            names = ", ".join(file.name for file in self.manifest.files) or "none"
            raise ManifestError(f"{self.manifest.card.name} has no file {name!r}; it has {names}")
        parts = [await anyio.to_thread.run_sync(chunk_blocking, self, chunk) for chunk in found.chunks]
        return b"".join(parts)


async def open_model(address: str, options: ModelOptions = ModelOptions()) -> Model:
    """Reads and checks the manifest. Raises SourceError, ManifestError or SignatureError."""
    return await anyio.to_thread.run_sync(open_blocking, address, options)


def split_address(address: str) -> tuple[str, str]:
    """Folder and name of a manifest. Raises SourceError."""
    folder, slash, name = address.rpartition("/")
    if not name.endswith(".json") or name == ".json":
        raise SourceError(f"{address} is no address of a model: it ends in NAME.json")
    return (folder or ("/" if slash else ".")), name


def source_of(folder: str, options: ModelOptions) -> Source:
    """The source of what lies in a folder, by its scheme. Raises SourceError."""
    scheme, separator, _ = folder.partition("://")
    if not separator:
        return DiskSource(Path(folder))
    if scheme in ("http", "https"):
        return HttpSource(folder, tls=options.s3.context(options.ca_file))
    if scheme == "s3":
        return s3_source(folder, options.s3, options.ca_file)
    raise SourceError(f"{folder}: there are paths, http, https and s3, not {scheme!r}")


def open_blocking(address: str, options: ModelOptions) -> Model:
    """`open_model` for worker threads, and for virtual time, in which nothing may wait outside the scheduler."""
    folder, name = split_address(address)
    first = source_of(folder, options)
    data = _read(first, name)
    if options.trust:
        verify_signature(data, _signature(first, name), options.trust)
    mirrors = [source_of(split_address(mirror)[0], options) for mirror in options.mirrors]
    cache = ChunkCache(options.cache) if options.cache else None
    sources: Sequence[Source] = [*([cache.source()] if cache else []), first, *mirrors]
    return Model(parse(data), tuple(sources), "tampering" if options.trust else "damage", cache)


def _signature(source: Source, name: str) -> bytes:
    connection = source.connect()
    try:
        return connection.read(name + SIGNATURE_SUFFIX)
    except FetchFailed as failed:
        raise SourceError(f"the signature: {failed.text}") from failed
    finally:
        connection.close()


def _read(source: Source, key: str) -> bytes:
    connection = source.connect()
    try:
        return connection.read(key)
    except FetchFailed as failed:
        raise SourceError(failed.text) from failed
    finally:
        connection.close()


def chunk_blocking(model: Model, chunk: Chunk) -> bytes:
    """One chunk, verified, from the first source that has it whole. Raises SourceError or DamageError."""
    reason: WeightsError = SourceError("there is no source")
    into = bytearray(chunk.bytes)
    assert chunk.bytes <= CHUNK_BYTES
    for source in model.sources:
        connection = source.connect()
        try:
            connection.fetch(chunk_key(chunk.address), memoryview(into))
        except FetchFailed as failed:
            reason = SourceError(failed.text)
            continue
        finally:
            connection.close()
        if intact(into, chunk.address, chunk.check, model.rigour):
            if model.cache is not None and source.name != "cache":
                model.cache.put(chunk.address, memoryview(into))
            return bytes(into)
        source.discard(chunk_key(chunk.address))
        reason = DamageError(f"{source.name}: chunk {chunk.address[:12]}… does not match its digest")
    raise reason
