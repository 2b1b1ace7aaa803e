"""PGN files, folders of them, and compressed ones, as a stream of games that are not read yet."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from edgechess_training.compressed import unpacked
from edgechess_training.dataset.errors import DatasetError

SUFFIXES = (".pgn", ".pgn.zst")
GAME_CHARACTERS_MAX = 1_000_000  # the longest annotated games have a tenth of it; what is longer is no game

FIRST_TAG = '[Event "'  # of the roster that the PGN standard demands (section 8.1.1)

TAG = re.compile(r'^\s*\[\s*(\w+)\s+"((?:[^"\\]|\\.)*)"\s*\]', re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class RawGame:
    """One game's text as it stands in `file` from line `line` (from 1) on."""

    file: str
    line: int
    text: str

    def tags(self) -> tuple[dict[str, str], str]:
        """The tag pairs, and the text with the tag section blanked out: offsets and lines stay what they are."""
        found: dict[str, str] = {}
        end = 0
        for match in TAG.finditer(self.text):
            if self.text[end : match.start()].strip():
                break  # a bracket inside the moves
            found.setdefault(match[1], match[2])
            end = match.end()
        return found, re.sub(r"[^\n]", " ", self.text[:end]) + self.text[end:]

    def line_at(self, offset: int) -> int:
        return self.line + self.text.count("\n", 0, offset)


def pgn_files(sources: Iterable[Path]) -> list[Path]:
    """Files as given; folders stand for all PGN files below them, sorted. Raises DatasetError."""
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            below = sorted(
                path for path in source.rglob("*") if path.name.lower().endswith(SUFFIXES) and path.is_file()
            )
            if not below:
                raise DatasetError(f"{source}: no file in this folder ends in {' or '.join(SUFFIXES)}")
            found += below
        elif source.is_file():
            found.append(source)
        else:
            raise DatasetError(f"{source} does not exist")
    if len(set(found)) != len(found):
        raise DatasetError(f"{next(path for path in found if found.count(path) > 1)} is given twice")
    return found


def read_games(path: Path, told: Callable[[int], None] = lambda stored_bytes: None) -> Iterator[RawGame]:
    """The games of one file. `told` hears now and then how much of the stored file is read. Raises DatasetError."""
    try:
        with path.open("rb") as stored, open_text(path, stored, "surrogateescape") as text:
            for number, game in enumerate(split_games(map(_readable, text), str(path))):
                if number % 256 == 0:
                    told(stored.tell())
                yield game
            told(stored.tell())
    except zstandard.ZstdError as error:
        raise DatasetError(f"{path}: zstd cannot unpack it: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error


def open_text(path: Path, stored: IO[bytes], errors: str = "replace") -> io.TextIOWrapper:
    """The text of a file that may be compressed. `errors`: what becomes of that which is not UTF-8."""
    plain: Any = stored
    if path.suffix.lower() == ".zst":
        plain = unpacked(stored)
    return io.TextIOWrapper(plain, encoding="utf-8-sig", errors=errors)


def _readable(line: str) -> str:
    """A line with escaped bytes is of an older file: Latin-1, as the PGN standard demands (section 4.1)."""
    if line.isascii():
        return line
    try:
        line.encode()
    except UnicodeEncodeError:
        return line.encode("utf-8", "surrogateescape").decode("latin-1")
    return line


def split_games(lines: Iterable[str], file: str) -> Iterator[RawGame]:
    """A tag after moves begins the next game, unless it stands in a comment, which may span lines; FIRST_TAG begins one
    even there, so that a comment without its end costs one game and not all that follow; and after a game without moves,
    which else would give its tags to the next.

    What is longer than GAME_CHARACTERS_MAX is cut there: its reader will find it malformed.
    """
    gathered: list[str] = []
    first, size, moves, comment, named = 1, 0, False, False, False
    for number, line in enumerate(lines, 1):
        tag = line.startswith(FIRST_TAG if comment else "[")
        event = tag and line.startswith(FIRST_TAG)
        if (tag and moves) or (event and named) or size > GAME_CHARACTERS_MAX:
            yield RawGame(file, first, "".join(gathered))
            gathered, size, moves, comment, named = [], 0, False, False, False
        if not gathered:
            if not line.strip():
                continue
            first = number
        gathered.append(line)
        size += len(line)
        named = named or event
        if not tag:
            moves = moves or not line.isspace()
            if "{" in line or "}" in line:
                comment = _comment_open(line, comment)
    if gathered:
        yield RawGame(file, first, "".join(gathered))


def _comment_open(line: str, comment: bool) -> bool:
    """Whether a brace comment is open at the end of the line. Braces do not nest (PGN standard, section 5)."""
    at = 0
    while True:
        if comment:
            at = line.find("}", at)
            if at < 0:
                return True
        else:
            opening, rest = line.find("{", at), line.find(";", at)
            if opening < 0 or 0 <= rest < opening:
                return False
            at = opening
        comment, at = not comment, at + 1
