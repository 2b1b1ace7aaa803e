"""`pack`: a checkpoint becomes chunks and a manifest. Memory: two chunks, whatever the model's size. Blocking."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edgechess_inference.weights import manifest as m
from edgechess_inference.weights.cutting import DEFAULT_RULES, Rule, axis_of, part_shape, pieces
from edgechess_inference.weights.digests import digests_of
from edgechess_inference.weights.errors import ManifestError
from edgechess_inference.weights.local_store import LocalStore, write_whole
from edgechess_inference.weights.safetensors_file import Checkpoint, checkpoint_files
from edgechess_inference.weights.tensor_order import in_order

CARRIED = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
    "adapter_config.json",
)  # fmt: skip
"""Files beside a checkpoint that its model cannot run without (transformers' and peft's names)."""

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Packed:
    """What `pack` made; `new_bytes` were not in the store before."""

    manifest: m.Manifest
    new_chunks: int
    new_bytes: int


def pack(
    source: Path,
    address: Path,
    card: m.Card,
    *,
    shards: int = 1,
    rules: Sequence[Rule] = DEFAULT_RULES,
    files: Sequence[Path] | None = None,
    progress: Progress = lambda done, total: None,
) -> Packed:
    """Packs a safetensors file, index or folder into the store that `address` (…/NAME.json) lies in.

    `files`: what to carry along; None: those of `CARRIED` beside the checkpoint. The manifest is written last, so that
    it never names a chunk that is not there. Raises ManifestError (source or card is malformed) or OSError.
    """
    found = checkpoint_files(source)
    carried = [found[0].parent / name for name in CARRIED] if files is None else list(files)
    carried = [file for file in carried if files is not None or file.is_file()]
    with Checkpoint(found) as checkpoint:
        if not 1 <= shards <= m.SHARDS_MAX:
            raise ManifestError(f"{shards} shards (1 to {m.SHARDS_MAX})")
        tensors = layout(checkpoint, shards, rules)
        writer = _Writer(
            LocalStore(address.parent), sum(_shard_bytes(tensors, part) for part in range(shards)), progress
        )
        images = tuple(writer.image(_image(checkpoint, tensors, part, shards)) for part in range(shards))
    made = m.Manifest(
        card=card,
        shards=tuple(m.Shard(bytes=size, chunks=chunks) for size, chunks in images),
        tensors=tuple(tensors),
        files=tuple(writer.file(file) for file in carried),
    )
    text = m.encode(made)
    address.parent.mkdir(parents=True, exist_ok=True)
    write_whole(address, text)
    return Packed(made, writer.new_chunks, writer.new_bytes)


def layout(checkpoint: Checkpoint, shards: int, rules: Sequence[Rule]) -> list[m.Tensor]:
    """Where each part of each tensor will lie. Raises ManifestError."""
    found = []
    for part in range(shards):
        end = 0
        for name in in_order(checkpoint.names):
            entry = checkpoint.entry(name)
            axis = axis_of(name, entry.shape, shards, rules)
            shape = part_shape(entry.shape, axis, shards)
            tensor = m.Tensor(name=name, dtype=entry.dtype, shape=shape, shard=part, offset=m.aligned(end), axis=axis)
            end = tensor.offset + tensor.length
            found.append(tensor)
    return found


def _shard_bytes(tensors: Sequence[m.Tensor], part: int) -> int:
    return max((tensor.offset + tensor.length for tensor in tensors if tensor.shard == part), default=0)


def _image(checkpoint: Checkpoint, tensors: Sequence[m.Tensor], part: int, shards: int) -> Iterator[memoryview]:
    """The bytes of one shard, in pieces, padding included."""
    end = 0
    for tensor in tensors:
        if tensor.shard != part:
            continue
        yield memoryview(bytes(tensor.offset - end))
        whole = checkpoint.entry(tensor.name)
        with checkpoint.data(tensor.name) as data:
            for piece in pieces(data, tensor.dtype, whole.shape, tensor.axis, part, shards):
                with piece:
                    yield piece
        checkpoint.forget(tensor.name)
        end = tensor.offset + tensor.length


class _Writer:
    """Gathers bytes into chunks of exactly CHUNK_BYTES and stores each one that is new."""

    def __init__(self, store: LocalStore, total: int, progress: Progress) -> None:
        self.new_chunks = 0
        self.new_bytes = 0
        self._store = store
        self._total = total
        self._done = 0
        self._progress = progress
        self._gathered = bytearray(m.CHUNK_BYTES)

    def image(self, source: Iterator[memoryview]) -> tuple[int, tuple[m.Chunk, ...]]:
        """Size and chunks of what the pieces add up to."""
        chunks: list[m.Chunk] = []
        filled = 0
        for piece in source:
            taken = 0
            while taken < len(piece):
                part = min(len(piece) - taken, m.CHUNK_BYTES - filled)
                self._gathered[filled : filled + part] = piece[taken : taken + part]
                taken, filled = taken + part, filled + part
                if filled == m.CHUNK_BYTES:
                    chunks.append(self._store_chunk(filled))
                    filled = 0
        if filled:
            chunks.append(self._store_chunk(filled))
        return sum(chunk.bytes for chunk in chunks), tuple(chunks)

    def file(self, path: Path) -> m.File:
        """Raises ManifestError where it is larger than a side file may be."""
        size = path.stat().st_size
        if size > m.FILE_BYTES_MAX:
            raise ManifestError(f"{path} has {size} bytes (a file of a model has at most {m.FILE_BYTES_MAX})")
        with path.open("rb") as file:
            blocks = (memoryview(block) for block in iter(lambda: file.read(m.CHUNK_BYTES), b""))
            size, chunks = self.image(blocks)
        return m.File(name=path.name, bytes=size, chunks=chunks)

    def _store_chunk(self, length: int) -> m.Chunk:
        data = memoryview(self._gathered)[:length]
        digests = digests_of(data)
        if self._store.put_chunk(digests.address, data):
            self.new_chunks += 1
            self.new_bytes += length
        self._done += length
        self._progress(self._done, max(self._total, self._done))
        return m.Chunk(address=digests.address, check=digests.check, bytes=length)
