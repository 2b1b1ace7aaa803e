"""The manifest of a packed model: its types, its limits, and the one `validate` that refuses every malformed one.

FORMAT.md is the specification; this file is its only reader and writer. Whoever holds a `Manifest` from `parse` may
rely on all that FORMAT.md promises: no hole, no overlap, every size and name within its limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edgechess_inference.weights.digests import ADDRESS_HEX, CHECK_HEX
from edgechess_inference.weights.element_types import byte_length
from edgechess_inference.weights.errors import ManifestError

FORMAT = "edgechess-weights"
VERSION = 1
CHUNK_BYTES = 8 << 20  # uniform: large enough that requests cost nothing, small enough to hold a few in a cache
ALIGNMENT = 256  # bytes; what CUDA's allocator and vectorised loads want of a tensor's first byte

MANIFEST_BYTES_MAX = 64 << 20  # the table of 2 TiB is 35 MB
SHARDS_MAX = 64
CHUNKS_MAX = 1 << 18  # 2 TiB of 8 MiB, over all shards
TENSORS_MAX = 1 << 18  # over all shards
FILES_MAX = 64
FILE_BYTES_MAX = 256 << 20  # each; the largest tokenizer known has 35 MB
NAME_CHARS_MAX = 256
TEXT_CHARS_MAX = 65_536  # of one text of the card: chat templates reach 20,000
EXTRA_MAX = 64
DEPTH_MAX = 8  # of nested JSON; the format needs five

TENSOR_NAME = re.compile(r"[!-~]{1,256}")  # printable ASCII without blanks
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")  # one file in one folder: no separator, no dot in front
_HEX = re.compile(r"[0-9a-f]+")


class Struct(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Fields are camelCase in the file; one that we do not know is an error, a new one a new version."""


class Chunk(Struct, frozen=True, kw_only=True):
    """One object of the store: `bytes` long, named by `address`."""

    address: str
    check: str
    bytes: int


class Tensor(Struct, frozen=True, kw_only=True):
    """Where a tensor, or this shard's part of it, lies in the image of its shard. `shape` is that of what lies there."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    shard: int = 0
    offset: int
    axis: int | None = None
    """Along which it was cut into equal parts, one per shard; None: each shard holds all of it."""

    @property
    def length(self) -> int:
        """Bytes."""
        return byte_length(self.dtype, self.shape)


class Shard(Struct, frozen=True, kw_only=True):
    """One image: what one accelerator's memory will hold, byte for byte."""

    bytes: int
    chunks: tuple[Chunk, ...]


class File(Struct, frozen=True, kw_only=True):
    """A small file that travels with the model: its configuration, its tokenizer, a graph."""

    name: str
    bytes: int
    chunks: tuple[Chunk, ...]


class Card(Struct, frozen=True, kw_only=True):
    """What the model is, for people and for whoever has to run it."""

    name: str
    architecture: str
    """As its backend knows it, e.g. "LlamaForCausalLM", "edgechess-policy"."""
    licence: str
    """SPDX expression, or "unknown"."""
    tokenizer: str | None = None
    """Name of the file among `files`, for language models."""
    encoding: str | None = None
    """How a position becomes numbers, for policy networks, e.g. "planes-18"."""
    template: str | None = None
    """Name of the prompt, or the chat template itself."""
    extra: Mapping[str, str] = {}


class Manifest(Struct, frozen=True, kw_only=True):
    """Use `parse` for one from outside and `validate` for one you made."""

    format: str = FORMAT
    version: int = VERSION
    chunk_bytes: int = CHUNK_BYTES
    alignment: int = ALIGNMENT
    card: Card
    shards: tuple[Shard, ...]
    tensors: tuple[Tensor, ...]
    """By shard, then by offset: the order in which the model needs them."""
    files: tuple[File, ...] = ()

    @property
    def bytes(self) -> int:
        """Of all shards' images."""
        return sum(shard.bytes for shard in self.shards)

    def of_shard(self, shard: int) -> tuple[Tensor, ...]:
        """Raises ManifestError where there is no such shard."""
        if not 0 <= shard < len(self.shards):
            raise ManifestError(f"there is no shard {shard}: {self.card.name} has {len(self.shards)}")
        return tuple(tensor for tensor in self.tensors if tensor.shard == shard)

    def chunks(self) -> dict[str, Chunk]:
        """Every distinct chunk by its address, in the order of first use."""
        found: dict[str, Chunk] = {}
        holders: tuple[File | Shard, ...] = (*self.files, *self.shards)
        for holder in holders:
            for chunk in holder.chunks:
                found.setdefault(chunk.address, chunk)
        return found

    def file(self, name: str) -> File | None:
        return next((file for file in self.files if file.name == name), None)


def encode(manifest: Manifest) -> bytes:
    """The manifest as it is stored: UTF-8 JSON with one blank of indentation. Raises ManifestError for a malformed one."""
    validate(manifest)
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def parse(data: bytes) -> Manifest:
    """Raises ManifestError, with a text that names the field."""
    if len(data) > MANIFEST_BYTES_MAX:
        raise ManifestError(f"the manifest has {len(data)} bytes (at most {MANIFEST_BYTES_MAX})")
    _refuse_depth(data)
    try:
        plain = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ManifestError(f"the manifest is not UTF-8: {error}") from error
    except ValueError as error:
        raise ManifestError(f"the manifest is not JSON: {error}") from error
    _refuse_others(plain)
    try:
        manifest = msgspec.convert(plain, Manifest)
    except msgspec.ValidationError as error:
        raise ManifestError(f"the manifest: {error}") from error
    validate(manifest)
    return manifest


def validate(manifest: Manifest) -> None:
    """Everything FORMAT.md demands. Raises ManifestError for the first thing that is wrong, naming it."""
    _require(manifest.format == FORMAT, f"format is {manifest.format!r}, not {FORMAT!r}")
    _require(manifest.version == VERSION, f"version {manifest.version} (this reader knows {VERSION})")
    _require(manifest.chunk_bytes == CHUNK_BYTES, f"chunkBytes is {manifest.chunk_bytes}, not {CHUNK_BYTES}")
    _require(manifest.alignment == ALIGNMENT, f"alignment is {manifest.alignment}, not {ALIGNMENT}")
    _require(1 <= len(manifest.shards) <= SHARDS_MAX, f"{len(manifest.shards)} shards (1 to {SHARDS_MAX})")
    _require(1 <= len(manifest.tensors) <= TENSORS_MAX, f"{len(manifest.tensors)} tensors (1 to {TENSORS_MAX})")
    _validate_files(manifest.files)
    _validate_card(manifest.card, {file.name for file in manifest.files})
    for number, shard in enumerate(manifest.shards):
        _validate_chunks(f"shard {number}", shard.bytes, shard.chunks)
    holders: tuple[Shard | File, ...] = (*manifest.shards, *manifest.files)
    total = sum(len(holder.chunks) for holder in holders)
    _require(total <= CHUNKS_MAX, f"{total} chunks (at most {CHUNKS_MAX})")
    _validate_addresses(holders)
    _validate_layout(manifest)
    _validate_parts(manifest)


# ---------------------------------------------------------------- parts of validate


def _validate_card(card: Card, files: set[str]) -> None:
    texts = {"name": card.name, "architecture": card.architecture, "licence": card.licence}
    for field, text in texts.items():
        _require(0 < len(text) <= NAME_CHARS_MAX, f"card.{field} has {len(text)} characters (1 to {NAME_CHARS_MAX})")
        _require(text.isprintable(), f"card.{field} holds characters that cannot be printed")
    _require(len(card.extra) <= EXTRA_MAX, f"card.extra has {len(card.extra)} entries (at most {EXTRA_MAX})")
    longer = {"template": card.template or "", "encoding": card.encoding or "", **card.extra}
    for field, text in longer.items():
        _require(len(field) <= NAME_CHARS_MAX, f"card.extra has a key of {len(field)} characters")
        _require(len(text) <= TEXT_CHARS_MAX, f"card {field!r} has {len(text)} characters (at most {TEXT_CHARS_MAX})")
    if card.tokenizer is not None:
        _require(card.tokenizer in files, f"card.tokenizer names {card.tokenizer!r}, which is not among the files")


def _validate_files(files: tuple[File, ...]) -> None:
    _require(len(files) <= FILES_MAX, f"{len(files)} files (at most {FILES_MAX})")
    seen: set[str] = set()
    for file in files:
        _require(FILE_NAME.fullmatch(file.name) is not None, f"file name {file.name!r} is not a plain name")
        _require(file.name.lower() not in seen, f"file {file.name!r} is there twice")
        seen.add(file.name.lower())  # some file systems do not tell case apart
        _require(file.bytes <= FILE_BYTES_MAX, f"file {file.name!r} has {file.bytes} bytes (at most {FILE_BYTES_MAX})")
        _validate_chunks(f"file {file.name!r}", file.bytes, file.chunks)


def _validate_chunks(where: str, size: int, chunks: tuple[Chunk, ...]) -> None:
    """Uniform chunks that add up to the size exactly; only the last one may be short, and none is empty."""
    _require(0 <= size <= CHUNKS_MAX * CHUNK_BYTES, f"{where} has {size} bytes")
    expected = -(-size // CHUNK_BYTES)
    _require(len(chunks) == expected, f"{where} of {size} bytes has {len(chunks)} chunks, not {expected}")
    for number, chunk in enumerate(chunks):
        length = min(CHUNK_BYTES, size - number * CHUNK_BYTES)
        _require(chunk.bytes == length, f"{where}: chunk {number} has {chunk.bytes} bytes, not {length}")
        _require_hex(f"{where}: chunk {number}: address", chunk.address, ADDRESS_HEX)
        _require_hex(f"{where}: chunk {number}: check", chunk.check, CHECK_HEX)


def _validate_addresses(holders: Iterable[Shard | File]) -> None:
    """One address is one content: the same length and the same check wherever it stands."""
    known: dict[str, Chunk] = {}
    for holder in holders:
        for chunk in holder.chunks:
            first = known.setdefault(chunk.address, chunk)
            _require(first == chunk, f"chunk {chunk.address[:12]}… is described twice, and differently")


def _validate_layout(manifest: Manifest) -> None:
    """Tensors stand by shard and offset, each right behind the one before (rounded up), up to the image's end."""
    end, shard, names = 0, 0, set[str]()
    for tensor in manifest.tensors:
        where = f"tensor {tensor.name!r}"
        _require(TENSOR_NAME.fullmatch(tensor.name) is not None, f"{where}: not a name (printable, no blanks)")
        if tensor.shard != shard:
            _require(tensor.shard == shard + 1 < len(manifest.shards), f"{where}: shard {tensor.shard} out of order")
            _validate_end(manifest, shard, end)
            end, shard, names = 0, tensor.shard, set()
        _require(tensor.name not in names, f"{where} is twice in shard {shard}")
        names.add(tensor.name)
        try:
            length = tensor.length
        except ValueError as error:
            raise ManifestError(f"{where}: {error}") from error
        begin = aligned(end)
        _require(tensor.offset == begin, f"{where}: offset {tensor.offset} leaves a hole or overlaps: {begin} is next")
        end = begin + length
        _require(end <= manifest.shards[shard].bytes, f"{where} ends at {end}, behind the end of shard {shard}")
    _require(shard == len(manifest.shards) - 1, f"shard {shard + 1} holds no tensor")
    _validate_end(manifest, shard, end)


def _validate_end(manifest: Manifest, shard: int, end: int) -> None:
    size = manifest.shards[shard].bytes
    _require(end == size, f"shard {shard}: {size - end} bytes behind the last tensor belong to none")
    _require(size > 0, f"shard {shard} is empty")


def _validate_parts(manifest: Manifest) -> None:
    """Every shard holds the same names, with the same type, shape and axis: parts are equal."""
    first = {tensor.name: tensor for tensor in manifest.of_shard(0)}
    alone = len(manifest.shards) == 1
    for tensor in manifest.tensors:
        where, model = f"tensor {tensor.name!r} of shard {tensor.shard}", first.get(tensor.name)
        _require(model is not None, f"{where} is not in shard 0")
        assert model is not None
        same = (tensor.dtype, tensor.shape, tensor.axis) == (model.dtype, model.shape, model.axis)
        _require(same, f"{where} is not the equal of its part in shard 0")
        if tensor.axis is not None:
            _require(not alone, f"{where} has an axis, but there is one shard only")
            _require(0 <= tensor.axis < len(tensor.shape), f"{where}: axis {tensor.axis} of {len(tensor.shape)}")
    if len(manifest.tensors) != len(first) * len(manifest.shards):
        raise ManifestError("the shards do not hold the same tensors")


# ---------------------------------------------------------------- small things


def aligned(offset: int) -> int:
    """The next multiple of ALIGNMENT."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _require(true: bool, text: str) -> None:
    if not true:
        raise ManifestError(text)


def _require_hex(where: str, text: str, length: int) -> None:
    if len(text) != length or _HEX.fullmatch(text) is None:
        raise ManifestError(f"{where} is not {length} lower-case hexadecimal digits")


def _refuse_depth(data: bytes) -> None:
    """Before the parser recurses. Brackets inside of texts do not count."""
    depth = 0
    for match in re.finditer(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', data):
        sign = match.group()
        if sign in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise ManifestError(f"the manifest is nested deeper than {DEPTH_MAX}")
        elif sign in b"]}":
            depth -= 1


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:64]!r} is there twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a JSON number")


def _refuse_others(plain: Any) -> None:
    """Says what the file is where it is another kind of JSON: the reader of the message has mixed up two files."""
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        found = repr(plain.get("format"))[:64] if isinstance(plain, dict) else type(plain).__name__
        raise ManifestError(f"not a manifest of weights: format is {found}, not {FORMAT!r}")
    for key in ("version", "chunkBytes", "alignment"):  # we have values for them; a file must say its own
        _require(key in plain, f"the manifest has no {key}")
