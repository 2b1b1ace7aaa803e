"""Where games begin: openings from a book, or of our own, each used for one pair of games.

Books: PGN or EPD, plain or as .zip, .gz or .zst. Only the openings that are drawn are read with the rules of chess: a book of
35,000 is opened in a second.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import random
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import chess
import zstandard

from edgechess_training.compressed import unpacked
from edgechess_training.dataset.errors import MalformedGame
from edgechess_training.dataset.movetext import main_line
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.quiet_plies import extended

BOOK_BYTES_MAX = 1 << 30
OWN_NAME = "built-in"
OWN = (
    "e4 e5 Nf3 Nc6 Bb5 a6 Ba4 Nf6", "e4 e5 Nf3 Nc6 Bc4 Bc5 c3 Nf6", "e4 e5 Nf3 Nc6 d4 exd4 Nxd4 Nf6",
    "e4 e5 Nf3 Nf6 Nxe5 d6 Nf3 Nxe4", "e4 e5 Nc3 Nf6 f4 d5 fxe5 Nxe4", "e4 e5 f4 exf4 Nf3 g5 h4 g4",
    "e4 e5 Bc4 Nf6 d3 c6 Nf3 d5", "e4 e5 Nf3 d6 d4 Nf6 Nc3 Nbd7", "e4 e5 d4 exd4 Qxd4 Nc6 Qe3 Nf6",
    "e4 c5 Nf3 d6 d4 cxd4 Nxd4 Nf6 Nc3 a6", "e4 c5 Nf3 Nc6 d4 cxd4 Nxd4 g6", "e4 c5 Nf3 e6 d4 cxd4 Nxd4 a6",
    "e4 c5 c3 d5 exd5 Qxd5 d4 Nf6", "e4 c5 Nc3 Nc6 g3 g6 Bg2 Bg7", "e4 c5 Nf3 d6 Bb5+ Bd7 Bxd7+ Qxd7",
    "e4 c5 b4 cxb4 a3 d5 exd5 Qxd5", "e4 e6 d4 d5 Nc3 Bb4 e5 c5", "e4 e6 d4 d5 Nd2 Nf6 e5 Nfd7",
    "e4 e6 d4 d5 exd5 exd5 Nf3 Nf6", "e4 c6 d4 d5 Nc3 dxe4 Nxe4 Bf5", "e4 c6 d4 d5 e5 Bf5 Nf3 e6",
    "e4 c6 d4 d5 exd5 cxd5 c4 Nf6", "e4 d5 exd5 Qxd5 Nc3 Qa5 d4 Nf6", "e4 d5 exd5 Nf6 d4 Nxd5 Nf3 g6",
    "e4 d6 d4 Nf6 Nc3 g6 f4 Bg7", "e4 g6 d4 Bg7 Nc3 d6 Be3 a6", "e4 Nf6 e5 Nd5 d4 d6 Nf3 Bg4",
    "d4 d5 c4 e6 Nc3 Nf6 Bg5 Be7", "d4 d5 c4 e6 Nc3 Nf6 cxd5 exd5", "d4 d5 c4 c6 Nf3 Nf6 Nc3 dxc4",
    "d4 d5 c4 c6 Nf3 Nf6 e3 e6", "d4 d5 c4 dxc4 Nf3 Nf6 e3 e6", "d4 d5 c4 e5 dxe5 d4 Nf3 Nc6",
    "d4 d5 Nf3 Nf6 Bf4 c5 e3 Nc6", "d4 d5 Nf3 Nf6 e3 e6 Bd3 c5", "d4 Nf6 c4 e6 Nc3 Bb4 e3 O-O",
    "d4 Nf6 c4 e6 Nc3 Bb4 Qc2 d5", "d4 Nf6 c4 e6 Nf3 b6 g3 Ba6", "d4 Nf6 c4 e6 g3 d5 Bg2 Be7",
    "d4 Nf6 c4 g6 Nc3 Bg7 e4 d6 Nf3 O-O", "d4 Nf6 c4 g6 Nc3 Bg7 e4 d6 f3 O-O", "d4 Nf6 c4 g6 Nc3 d5 cxd5 Nxd5",
    "d4 Nf6 c4 g6 g3 Bg7 Bg2 d5", "d4 Nf6 c4 c5 d5 e6 Nc3 exd5", "d4 Nf6 c4 c5 d5 b5 cxb5 a6",
    "d4 Nf6 c4 e5 dxe5 Ng4 Bf4 Nc6", "d4 f5 g3 Nf6 Bg2 e6 Nf3 Be7", "d4 f5 c4 Nf6 Nc3 g6 Nf3 Bg7",
    "d4 Nf6 Bg5 Ne4 Bf4 d5 e3 c5", "d4 Nf6 Nf3 e6 Bg5 h6 Bxf6 Qxf6", "d4 d6 c4 e5 Nf3 e4 Ng5 f5",
    "c4 e5 Nc3 Nf6 Nf3 Nc6 g3 d5", "c4 c5 Nf3 Nf6 d4 cxd4 Nxd4 e6", "c4 e6 Nf3 d5 g3 Nf6 Bg2 Be7",
    "c4 Nf6 Nc3 e5 g3 Bb4 Bg2 O-O", "c4 c6 Nf3 d5 b3 Nf6 g3 Bf5", "Nf3 d5 g3 Nf6 Bg2 c6 O-O Bg4",
    "Nf3 Nf6 c4 g6 b4 Bg7 Bb2 O-O", "Nf3 c5 c4 Nc6 Nc3 e5 g3 g6", "Nf3 d5 c4 d4 e3 Nc6 exd4 Nxd4",
    "b3 e5 Bb2 Nc6 e3 Nf6 Bb5 d6", "f4 d5 Nf3 g6 g3 Bg7 Bg2 c5", "g3 d5 Bg2 e5 d3 Nf6 Nf3 Nc6",
    "Nc3 d5 e4 d4 Nce2 e5 Ng3 Be6",
)  # fmt: skip
"""Main roads of opening theory, eight or ten plies, put together for this file. Used up, each is followed by quiet moves."""
OWN_ROUNDS = 40  # times that each of them is followed by others: some 2,500 openings, 5,000 games

_FEN = re.compile(r"(\S+\s+){4}\d+\s+\d+")


@dataclass(frozen=True, slots=True)
class Opening:
    """`moves` (UCI) lead from `start_fen` to where the players take over."""

    name: str
    start_fen: str
    moves: tuple[str, ...]

    def board(self) -> chess.Board:
        """With the moves on its stack: repetitions count from there."""
        board = chess.Board(self.start_fen)
        for move in self.moves:
            board.push_uci(move)
        return board


@dataclass(frozen=True, slots=True)
class Book:
    """`entries`: movetext, or FEN where `positions`. `digest` of what the file holds. `rounds`: how often each entry may
    come again, followed by quiet moves (`quiet_plies`), when all of them were drawn."""

    name: str
    entries: tuple[str, ...]
    positions: bool
    digest: str
    rounds: int = 0

    def draw(self, count: int, seed: int) -> list[Opening]:
        """The first `count` of an endless order that the seed fixes, no two of which end in the same position.

        Raises TrainingError where the book has not so many, naming how many there are, or holds something illegal.
        """
        found: list[Opening] = []
        seen: set[str] = set()
        for opening in self._endless(random.Random(seed)):
            if len(found) == count:
                break
            board = opening.board()
            if board.epd() not in seen and any(board.legal_moves):
                seen.add(board.epd())
                found.append(opening)
        if len(found) < count:
            raise TrainingError(
                f"the book {self.name} has {len(found)} different openings, and {count} pairs of games need {count}:"
                f" play at most {2 * len(found)} games, or name a larger book with --book"
            )
        return found

    def _endless(self, order: random.Random) -> Iterator[Opening]:
        numbers = list(range(len(self.entries)))
        order.shuffle(numbers)
        yield from (self._opening(number) for number in numbers)
        for again in range(self.rounds):
            for number in numbers:
                opening = self._opening(number)
                further = extended(opening.board(), order)
                if further is not None:
                    yield Opening(f"{opening.name}.{again + 1}", opening.start_fen, opening.moves + further)

    def _opening(self, number: int) -> Opening:
        entry = self.entries[number]
        name = f"{self.name} {number + 1}"
        try:
            if self.positions:
                return Opening(name, _position(entry).fen(), ())
            board = chess.Board()
            moves = tuple(board.push_san(token).uci() for token in main_line(entry)[0])
        except (ValueError, MalformedGame) as error:
            raise TrainingError(f"opening {number + 1} of the book {self.name}: {error}") from error
        return Opening(name, chess.STARTING_FEN, moves)


def own_book() -> Book:
    return dataclasses.replace(_book(OWN_NAME, OWN, positions=False), rounds=OWN_ROUNDS)


def read_book(path: Path) -> Book:
    """PGN or EPD by the name inside the packing. Raises TrainingError."""
    try:
        name, text = _text(path)
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile, zstandard.ZstdError) as error:
        raise TrainingError(f"the book {path} cannot be read: {error}") from error
    positions = name.endswith((".epd", ".fen"))
    if not positions and not name.endswith(".pgn"):
        raise TrainingError(f"the book {path}: .pgn and .epd (in .zip, .gz or .zst) can be read, not {name}")
    entries = tuple(_epds(text) if positions else _games(text))
    if not entries:
        raise TrainingError(f"the book {path} holds no openings")
    return _book(path.name, entries, positions=positions)


def _book(name: str, entries: Sequence[str], *, positions: bool) -> Book:
    digest = hashlib.sha256("\n".join(entries).encode()).hexdigest()
    return Book(name, tuple(entries), positions, digest)


def _text(path: Path) -> tuple[str, str]:
    """The name without its packing, and what it holds."""
    match path.suffix:
        case ".zip":
            with zipfile.ZipFile(path) as packed:
                inner = next((info for info in packed.infolist() if info.filename.endswith((".pgn", ".epd"))), None)
                if inner is None or inner.file_size > BOOK_BYTES_MAX:
                    raise TrainingError(f"the book {path} holds no .pgn or .epd file of at most a gigabyte")
                return inner.filename, packed.read(inner).decode("utf-8", "replace")
        case ".gz":
            return path.stem, gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
        case ".zst":
            with path.open("rb") as file:
                return path.stem, io.TextIOWrapper(unpacked(file), "utf-8", "replace").read()
        case _:
            return path.name, path.read_text("utf-8", "replace")


def _games(text: str) -> Iterator[str]:
    """The movetext of each game: paragraphs that are no headers."""
    lines: list[str] = []
    for line in (*text.splitlines(), ""):
        if line.strip() and not line.startswith(("[", "%")):
            lines.append(line)
        elif lines:
            yield " ".join(lines)
            lines = []


def _epds(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def _position(entry: str) -> chess.Board:
    """Of a line of EPD, or of FEN, which books of positions hold as often. Raises ValueError."""
    return chess.Board(entry) if _FEN.fullmatch(entry) else chess.Board.from_epd(entry)[0]
