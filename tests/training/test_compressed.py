"""Packed files: whole, in several frames, cut off, damaged; and every reader of them names the file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from edgechess_training.compressed import unpacked
from edgechess_training.dataset.pgn_files import read_games
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.judged import read_evals
from edgechess_training.evaluation.openings import read_book
from edgechess_training.evaluation.puzzles import read_puzzles

PLAIN = b"".join(b'[White "%d"]\n\n1. e4 e5 *\n\n' % number for number in range(50_000))
READERS: dict[str, Callable[[Path], object]] = {
    "games": lambda path: list(read_games(path)),
    "book": read_book,
    "puzzles": lambda path: read_puzzles(path, None, 1, 1),
    "evals": lambda path: read_evals(path, 1, 1),
}


def test_several_frames_are_read_across() -> None:
    packed = zstandard.compress(PLAIN) + zstandard.compress(b"more")
    assert unpacked(io.BytesIO(packed)).read() == PLAIN + b"more"


def test_nothing_is_nothing() -> None:
    assert unpacked(io.BytesIO(b"")).read() == b""


@pytest.mark.parametrize("missing", [1, 5, 5000])
def test_what_was_cut_off_is_an_error(missing: int) -> None:
    with pytest.raises(zstandard.ZstdError, match="cut off"):
        unpacked(io.BytesIO(zstandard.compress(PLAIN)[:-missing])).read()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("harm", ["cut", "garbled"])
def test_every_reader_names_the_file(reader: str, harm: str, tmp_path: Path) -> None:
    path = tmp_path / "some.pgn.zst"
    packed = zstandard.compress(PLAIN)
    path.write_bytes(packed[: len(packed) // 2] if harm == "cut" else b"\xff" * 40)
    with pytest.raises(TrainingError, match=r"some\.pgn\.zst"):
        READERS[reader](path)
