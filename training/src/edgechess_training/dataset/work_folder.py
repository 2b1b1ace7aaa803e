"""Where a long job keeps its parts until it is whole: what is there need not be made again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from edgechess_training.dataset.errors import DatasetError

NAME = ".building"
PLAN = "plan.json"
READ_BYTES = 1 << 20

Array = np.ndarray[Any, Any]
T = TypeVar("T")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a dataset is made of. `sha256` is of the file as it lies on disk."""

    name: str
    bytes: int
    sha256: str


def source_of(path: Path) -> Source:
    """Raises DatasetError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stored:
            while block := stored.read(READ_BYTES):
                digest.update(block)
        return Source(name=path.name, bytes=path.stat().st_size, sha256=digest.hexdigest())
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error


class WorkFolder:
    """Part N is some arrays, perhaps lines, and a report that is written last: with it the part is there."""

    def __init__(self, target: Path, plan: msgspec.Struct) -> None:
        """`plan`: what is made of what; parts of another plan are thrown away.

        Raises DatasetError where `target` holds something that is no job begun.
        """
        self.path = target / NAME
        text = msgspec.json.encode(plan)
        stored = self.path / PLAN
        if not self.path.is_dir() and target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise DatasetError(f"{target} is not empty: name another folder with --out, or remove it")
        if self.path.is_dir() and (not stored.is_file() or stored.read_bytes() != text):
            self.remove()
        self.path.mkdir(parents=True, exist_ok=True)
        _write(stored, text)

    def has(self, number: int) -> bool:
        return self._file(number, "json").is_file()

    def put(self, number: int, arrays: Mapping[str, Array], report: msgspec.Struct, lines: Iterable[str] = ()) -> None:
        for name, array in arrays.items():
            np.save(self._file(number, f"{name}.npy"), array)
        text = "".join(f"{line}\n" for line in lines)
        if text:
            self._file(number, "jsonl").write_text(text, encoding="utf-8")
        _write(self._file(number, "json"), msgspec.json.encode(report))

    def report(self, number: int, kind: type[T]) -> T:
        return msgspec.json.decode(self._file(number, "json").read_bytes(), type=kind)

    def array(self, number: int, name: str) -> Array:
        found: Array = np.load(self._file(number, f"{name}.npy"))
        return found

    def lines(self, number: int) -> Iterator[str]:
        """With their ends; none where none were put."""
        path = self._file(number, "jsonl")
        if path.is_file():
            with path.open(encoding="utf-8") as lines:
                yield from lines

    def remove(self) -> None:
        """The plan first: parts without one are trusted by nobody, should this end half-way."""
        (self.path / PLAN).unlink(missing_ok=True)
        shutil.rmtree(self.path)

    def _file(self, number: int, ending: str) -> Path:
        return self.path / f"{number:06d}.{ending}"


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    fresh.replace(path)
