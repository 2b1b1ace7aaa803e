"""`open_model`: an address becomes a checked manifest and the sources of its chunks.

Addresses: a path (`models/tiny.json`), `http://…/tiny.json`, `https://…`, `s3://bucket/folder/tiny.json`. Chunks lie in
`chunks/` beside the manifest. Mirrors are further addresses of the same model, or folders that have it under the same
name: used where the first one fails, for the manifest and for each chunk.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from edgechess_inference.weights.absent_source import AbsentSource
from edgechess_inference.weights.chunk_cache import ChunkCache
from edgechess_inference.weights.digests import Rigour, intact
from edgechess_inference.weights.disk_adapter import DiskSource
from edgechess_inference.weights.errors import DamageError, ManifestError, SourceError, WeightsError
from edgechess_inference.weights.fetch_plan import Fault
from edgechess_inference.weights.http_adapter import HttpSource
from edgechess_inference.weights.local_store import SIGNATURE_SUFFIX, chunk_key
from edgechess_inference.weights.manifest import CHUNK_BYTES, Chunk, Manifest, parse
from edgechess_inference.weights.manifest_memory import ManifestMemory
from edgechess_inference.weights.s3_store import S3Options, s3_source
from edgechess_inference.weights.signing import verify_signature
from edgechess_inference.weights.source import FetchFailed, Source

log = logging.getLogger(__name__)

T = TypeVar("T")
PAUSES_S = (0.1, 0.3, 0.9)  # before a manifest or a side file is asked for again: one dropped connection ends no start
PASSING = (Fault.RESET, Fault.THROTTLED)


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
    recalled: str | None = None
    """Why the manifest is the one that stood there when it was last read."""

    @property
    def remark(self) -> str | None:
        """What is not as it was set, though the model is whole all the same."""
        return self.recalled or (self.cache.problem if self.cache else None)

    async def file(self, name: str) -> bytes:
        """A side file, verified. Raises ManifestError (no such file), SourceError or DamageError."""
        found = self.manifest.file(name)
        if found is None:
            names = ", ".join(file.name for file in self.manifest.files) or "none"
            raise ManifestError(f"{self.manifest.card.name} has no file {name!r}; it has {names}")
        return b"".join([await _patiently(chunk_blocking, self, chunk) for chunk in found.chunks])


async def open_model(address: str, options: ModelOptions = ModelOptions()) -> Model:
    """Reads and checks the manifest, again after a pause where nobody answers; then, with a cache, what it said the last
    time. Raises SourceError, ManifestError or SignatureError."""
    try:
        return await _patiently(_open_now, address, options)
    except SourceError as error:
        recalled = await anyio.to_thread.run_sync(_recalled, address, options, error)
        if recalled is None:
            raise
        return recalled


async def _patiently(work: Callable[..., T], *given: object) -> T:
    """In a thread; a few times, where what failed may fare better the next time."""
    for pause_s in PAUSES_S:
        try:
            return await anyio.to_thread.run_sync(work, *given)
        except SourceError as error:
            if not error.passing:
                raise
        except DamageError:
            pass
        await anyio.sleep(pause_s)
    return await anyio.to_thread.run_sync(work, *given)


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
    """`open_model` in one attempt: for worker threads, and for virtual time, in which nothing may wait outside the
    scheduler."""
    try:
        return _open_now(address, options)
    except SourceError as error:
        recalled = _recalled(address, options, error)
        if recalled is None:
            raise
        return recalled


def _open_now(address: str, options: ModelOptions) -> Model:
    """From the first place that has it. Raises SourceError: what the first place said."""
    sources, failures = _places(address, options), list[SourceError]()
    for source, name in sources:
        try:
            data = _read(source, name)
            signature = _signature(source, name) if options.trust else None
        except SourceError as error:
            failures.append(error)
            continue
        model = _checked(data, signature, [source for source, _ in sources], options)
        if options.cache is not None and "://" in address:
            ManifestMemory(options.cache).keep(address, data, signature)
        return model
    raise failures[0]


def _recalled(address: str, options: ModelOptions, error: SourceError) -> Model | None:
    """What was read at this address the last time, if it cannot be asked now."""
    found = ManifestMemory(options.cache).recall(address) if options.cache is not None and not error.answered else None
    if found is None:
        return None
    why = f"{error}; {address} is taken as it was when it was last read"
    log.warning("%s", why)
    checked = _checked(*found, [source for source, _ in _places(address, options)], options)
    return dataclasses.replace(checked, recalled=why)


def _places(address: str, options: ModelOptions) -> list[tuple[Source, str]]:
    """Sources with the manifest's name in each, best first. Raises SourceError for one that never will be."""
    folder, name = split_address(address)
    places = [(folder, name), *(_mirrored(mirror, name) for mirror in options.mirrors)]
    return [(_source_or_why(place, options), called) for place, called in places]


def _source_or_why(folder: str, options: ModelOptions) -> Source:
    """Raises SourceError for what is no place at all."""
    try:
        return source_of(folder, options)
    except SourceError as error:
        if error.answered:
            raise
        return AbsentSource(folder, error)


def _mirrored(mirror: str, name: str) -> tuple[str, str]:
    """A mirror is an address, or a folder that has the model under the same name."""
    return split_address(mirror) if mirror.endswith(".json") else (mirror.rstrip("/") or "/", name)


def _checked(data: bytes, signature: bytes | None, places: list[Source], options: ModelOptions) -> Model:
    """Raises ManifestError, SignatureError."""
    if options.trust:
        verify_signature(data, signature or b"", options.trust)
    cache = ChunkCache(options.cache) if options.cache else None
    sources = [*([cache.source()] if cache else []), *places]
    return Model(parse(data), tuple(sources), "tampering" if options.trust else "damage", cache)


def _signature(source: Source, name: str) -> bytes:
    try:
        return _read(source, name + SIGNATURE_SUFFIX)
    except SourceError as error:
        raise SourceError(f"the signature: {error}", passing=error.passing, asked=error.asked) from error


def _read(source: Source, key: str) -> bytes:
    if isinstance(source, AbsentSource):
        raise source.error
    connection = source.connect()
    try:
        return connection.read(key)
    except FetchFailed as failed:
        raise SourceError(failed.text, passing=failed.fault in PASSING) from failed
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
            reason = SourceError(failed.text, passing=failed.fault in PASSING)
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
