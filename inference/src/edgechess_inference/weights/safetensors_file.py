"""Reading and writing safetensors files: the header of the format's own specification, and the bytes behind it.

Layout (safetensors README, "Format"): 8 bytes little-endian N, N bytes of JSON mapping a name to dtype, shape and
data_offsets [begin, end) within what follows, and optionally `__metadata__`. Offsets leave no hole. Needs no torch.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Self

from edgechess_inference.weights.element_types import byte_length
from edgechess_inference.weights.errors import ManifestError

HEADER_BYTES_MAX = 100_000_000  # the reference implementation's own limit
INDEX_BYTES_MAX = 100_000_000
INDEX_SUFFIX = ".safetensors.index.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file; `begin` and `end` count from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Checkpoint:
    """One safetensors file, or all files of an index, mapped for reading. A context manager."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Raises ManifestError (not safetensors) or OSError."""
        self._places: dict[str, tuple[Entry, mmap.mmap]] = {}
        with ExitStack() as stack:
            for file in files:
                self._add(file, stack)
            self._maps = stack.pop_all()
        self.names = tuple(self._places)

    def _add(self, file: Path, stack: ExitStack) -> None:
        with file.open("rb") as opened:
            entries = read_header(opened, file.name)
            mapped = stack.enter_context(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        for entry in entries:
            if entry.name in self._places:
                raise ManifestError(f"{file.name}: tensor {entry.name!r} is in another file too")
            self._places[entry.name] = (entry, mapped)

    def entry(self, name: str) -> Entry:
        return self._places[name][0]

    def data(self, name: str) -> memoryview:
        """The tensor's bytes, not copied. Release it before `close`."""
        entry, mapped = self._places[name]
        return memoryview(mapped)[entry.begin : entry.end]

    def forget(self, name: str) -> None:
        """Its pages need not stay in this process: packing a model must not need the model's size in memory."""
        entry, mapped = self._places[name]
        begin = -(-entry.begin // mmap.PAGESIZE) * mmap.PAGESIZE
        if entry.end - begin >= mmap.PAGESIZE:
            mapped.madvise(mmap.MADV_DONTNEED, begin, entry.end - begin)

    def close(self) -> None:
        self._maps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checkpoint_files(path: Path) -> list[Path]:
    """What belongs to a checkpoint: a file, an index, or a folder with either. Raises ManifestError or OSError."""
    if path.is_dir():
        found = sorted(path.glob(f"*{INDEX_SUFFIX}")) or sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            raise ManifestError(f"{path}: one safetensors file or index is needed, found {names}")
        path = found[0]
    if not path.name.endswith(INDEX_SUFFIX):
        return [path]
    return _files_of_index(path)


def _files_of_index(path: Path) -> list[Path]:
    if path.stat().st_size > INDEX_BYTES_MAX:
        raise ManifestError(f"{path.name} has more than {INDEX_BYTES_MAX} bytes")
    try:
        table = json.loads(path.read_bytes())["weight_map"]
        names = sorted(set(table.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{path.name} is not an index of safetensors files: {error!r}") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ManifestError(f"{path.name} names a file outside of its folder: {name!r}")
    return [path.parent / name for name in names]


def read_header(file: BinaryIO, name: str) -> list[Entry]:
    """By place in the file. Raises ManifestError for anything but a whole and honest safetensors file."""
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(HEADER_BYTES_MAX, size - 8):
        raise ManifestError(f"{name} is not a safetensors file: its header would have {length} bytes")
    try:
        table = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{name} is not a safetensors file: {error}") from error
    if not isinstance(table, dict):
        raise ManifestError(f"{name} is not a safetensors file: its header is no table")
    table.pop("__metadata__", None)
    entries = sorted((_entry(key, row, 8 + length, name) for key, row in table.items()), key=lambda e: (e.begin, e.end))
    end = 8 + length
    for entry in entries:
        if entry.begin != end:
            raise ManifestError(f"{name}: tensor {entry.name!r} leaves a hole or overlaps")
        end = entry.end
    if end != size:
        raise ManifestError(f"{name} has {size} bytes, its header describes {end}")
    return entries


def _entry(key: str, row: Any, start: int, file: str) -> Entry:
    try:
        dtype, shape = row["dtype"], tuple(row["shape"])
        begin, end = row["data_offsets"]
        if not all(type(number) is int for number in (*shape, begin, end)):
            raise TypeError("shape and offsets are whole numbers")
        if end - begin != byte_length(dtype, shape):
            raise ValueError(f"{end - begin} bytes for {dtype} {list(shape)}")
    except (TypeError, KeyError, ValueError) as error:
        raise ManifestError(f"{file}: tensor {key!r}: {error}") from error
    return Entry(key, dtype, shape, start + begin, start + end)


def header_bytes(tensors: Iterable[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """The header of a file that holds these tensors (name, dtype, shape) in this order, padded to 8 bytes."""
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, dtype, shape in tensors:
        begin, end = end, end + byte_length(dtype, shape)
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
