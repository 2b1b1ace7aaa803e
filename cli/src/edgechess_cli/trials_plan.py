"""What is tried: moves of real games (or of random ones), the rare kinds as often as asked, and tables to be put right.

Everything is drawn here from one seed, in the order in which it is numbered, whoever runs it later and how many at once.
"""

from __future__ import annotations

import dataclasses
import io
import random
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TextIO, get_args

import chess
import chess.pgn

from edgechess_cli.bench.arm import kind_of
from edgechess_twin.arm_device import Kind
from edgechess_twin.faults import FAULTS
from edgechess_twin.table import RACKS

MoveClass = Literal["quiet", "capture", "castling", "en passant", "promotion", "restore"]
CLASSES: tuple[MoveClass, ...] = get_args(MoveClass)
RARE: tuple[MoveClass, ...] = ("castling", "en passant", "promotion")

STRETCH_PLIES = 20  # of one game in one go: the pieces then stand as the arms have put them
RARE_PLIES = 3  # a rare move and the two of the game that follow it
PLAYED: tuple[MoveClass, ...] = tuple(kind for kind in CLASSES if kind != "restore")
RO1_PART = 0.15  # of all moves: every look at an RO1 is an exchange of HTTP, dearer to simulate than a Dobot's frame

CHUNK_MOVES = 60  # of one calibration of both arms; about what one core does in ten seconds
CHUNK_RESTORES = 10
WRONG_PIECES = (1, 2, 3, 4, 5)  # on a table that is to be put right
GAMES_READ = 1500  # of a file: some 120,000 positions to draw from
RANDOM_PLIES = 160
RANDOM_GAMES_LIMIT = 3000

# The sweep: nominal faults with one of them changed; the first value is the nominal one.
SWEEP: dict[str, tuple[float, ...]] = {
    "arm-repeatability-mm": (0.1, 0.5, 1.0, 2.0),
    "calibration-touch-mm": (0.5, 0.7, 1.0),
    "off-centre-mm": (6.0, 8.0, 10.0),
    "missed-grasp": (0.005, 0.02, 0.05, 0.1),
    "slip": (0.002, 0.01, 0.03),
    "bump": (0.001, 0.01, 0.03),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """A position, and what is done from it: moves in UCI; or, with `wrong` > 0, so many pieces are put elsewhere and the
    arms are to put them back. `wrong` -1: the arms bring the table to the position from whatever they left there."""

    fen: str
    moves: tuple[str, ...] = ()
    wrong: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """Episodes on one table, in order. `point` says which of the sweep; "" is the main run. `name` is unique in a run."""

    name: str
    point: str
    kind: Kind
    faults: str
    seed: int
    episodes: tuple[Episode, ...]

    @property
    def trials(self) -> int:
        return sum(len(episode.moves) or 1 for episode in self.episodes)


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """How much: `moves` in all over the kinds, and of these `ro1_part` with RO1s; `each` of every class and kind, or as
    many as `moves` leave room for; `sweep` per point of the noise sweep, a quarter of it with RO1s where both are tried."""

    moves: int
    each: int
    sweep: int
    seed: int
    kinds: tuple[Kind, ...]
    faults: str
    classes: tuple[MoveClass, ...] = CLASSES
    ro1_part: float = RO1_PART

    @property
    def guaranteed(self) -> int:
        """Of every class and kind."""
        return max(1, min(self.each, self.moves // (len(self.kinds) * self._plies_of_each)))

    def share(self, kind: Kind) -> int:
        """Moves of one kind of arm: what `guaranteed` costs is never cut for the other kind."""
        if len(self.kinds) == 1:
            return self.moves
        least = self.guaranteed * self._plies_of_each
        ro1 = min(max(least, round(self.ro1_part * self.moves)), self.moves - least)
        return ro1 if kind == "ro1" else self.moves - ro1

    @property
    def _plies_of_each(self) -> int:
        """What one trial of every class costs; quiet moves and captures follow the rare ones anyway."""
        rare = sum(kind in self.classes for kind in RARE)
        common = sum(kind in self.classes for kind in PLAYED) - rare
        return max(rare * (1 + min(common, 1) * (RARE_PLIES - 1)), common) + ("restore" in self.classes)


class Deck:
    """Positions to draw from: stretches of games, and every rare move in them."""

    def __init__(self, games: Sequence[tuple[str, ...]], needed: int, dice: random.Random) -> None:
        """`games` in UCI from the start position; none: random ones. Rare moves are made up to `needed` by random play."""
        self.real = len(games)
        self._dice = dice
        self._games = [game for game in games if len(game) > 10]
        self._rare: dict[MoveClass, list[Episode]] = {kind: [] for kind in RARE}
        for game in self._games:
            self._collect(game)
        self.real_rare = {kind: len(found) for kind, found in self._rare.items()}
        for number in range(RANDOM_GAMES_LIMIT):
            if all(len(found) >= needed for found in self._rare.values()) and self._games:
                break
            game = tuple(_random_game(random.Random(f"{dice.random()} {number}")))
            if not games:
                self._games.append(game)
            self._collect(game)

    def stretch(self, plies: int) -> Episode:
        game = self._dice.choice(self._games)
        first = self._dice.randrange(0, max(len(game) - plies // 2, 1))
        board = _after(game[:first])
        return Episode(board.fen(), supplied(board, game[first : first + plies]))

    def rare(self, kind: MoveClass, count: int) -> list[Episode]:
        """Each as often as the next; more than there are: again, and the table is another one each time."""
        found = self._rare[kind]
        shuffled = self._dice.sample(found, len(found))
        return [shuffled[number % len(shuffled)] for number in range(count)]

    def position(self) -> str:
        return self.stretch(2).fen

    def _collect(self, game: tuple[str, ...]) -> None:
        board = chess.Board()
        for ply, text in enumerate(game):
            move = chess.Move.from_uci(text)
            kind = kind_of(board, move)
            if kind in RARE:
                self._rare[kind].append(Episode(board.fen(), supplied(board, game[ply : ply + RARE_PLIES])))
            board.push(move)


def draw(wanted: Wanted, games: Sequence[tuple[str, ...]]) -> tuple[list[Chunk], Deck]:
    """All chunks of a run, main run first."""
    dice = random.Random(f"trials {wanted.seed}")
    deck = Deck(games, wanted.guaranteed, dice)
    chunks: list[Chunk] = []
    for kind in wanted.kinds:
        chunks += _main(wanted, kind, deck, dice)
    # Both kinds progress together, so that a run that is interrupted tells of both.
    numbers = {kind: sum(1 for chunk in chunks if chunk.kind == kind) for kind in wanted.kinds}
    chunks.sort(key=lambda chunk: (int(chunk.name.rsplit("-", 1)[1]) / numbers[chunk.kind], chunk.kind))
    for name, values in SWEEP.items() if wanted.sweep else ():
        for value in values:
            for kind in wanted.kinds:
                chunks += _point(wanted, kind, name, value, deck)
    return chunks, deck


def _main(wanted: Wanted, kind: Kind, deck: Deck, dice: random.Random) -> Iterator[Chunk]:
    groups: list[list[Episode]] = []
    left = wanted.share(kind)
    common = "quiet" in wanted.classes or "capture" in wanted.classes
    rares = [rare for rare in RARE if rare in wanted.classes]
    if "restore" in wanted.classes:
        count = wanted.guaranteed if rares or common else left
        groups += _restores(count, deck, dice)
        left -= count
    for number, rare in enumerate(rares):
        count = wanted.guaranteed if common else left // (len(rares) - number)
        episodes = [part for episode in deck.rare(rare, count) for part in _only(episode, wanted.classes)]
        groups += _packed(_at_most(episodes, left), CHUNK_MOVES)
        left -= sum(len(episode.moves) for episode in episodes)
    if common:
        groups += _packed(_stretches(left, deck, wanted.classes), CHUNK_MOVES)
    dice.shuffle(groups)
    for number, episodes in enumerate(groups):
        seed = dice.getrandbits(32)
        yield Chunk(f"{kind}-{number}", "", kind, wanted.faults, seed, tuple(episodes))


def _point(wanted: Wanted, kind: Kind, name: str, value: float, deck: Deck) -> Iterator[Chunk]:
    dice = random.Random(f"sweep {wanted.seed} {name} {value:g} {kind}")
    count = max(wanted.sweep // 4, 1) if kind == "ro1" and len(wanted.kinds) > 1 else wanted.sweep
    if any(played in wanted.classes for played in PLAYED):
        groups = _packed(_stretches(count, deck, wanted.classes), CHUNK_MOVES)
    else:
        groups = _restores(count, deck, dice)
    for number, packed in enumerate(groups):
        point = f"{name}={value:g}"
        faults = f"{wanted.faults},{point}"
        yield Chunk(f"{point}-{kind}-{number}", point, kind, faults, dice.getrandbits(32), tuple(packed))


def _stretches(count: int, deck: Deck, classes: Sequence[MoveClass]) -> list[Episode]:
    """So many moves of these classes, as they come in games."""
    found: list[Episode] = []
    while count > 0:
        parts = _at_most(list(_only(deck.stretch(STRETCH_PLIES), classes)), count)
        count -= sum(len(part.moves) for part in parts)
        found += parts
    return found


def _only(episode: Episode, classes: Sequence[MoveClass]) -> Iterator[Episode]:
    """What of an episode are moves of these classes, each unbroken run of them as an episode of its own."""
    board = chess.Board(episode.fen)
    fen, run = episode.fen, list[str]()
    for text in episode.moves:
        move = chess.Move.from_uci(text)
        if kind_of(board, move) in classes:
            fen = fen if run else board.fen()
            run.append(text)
        elif run:
            yield Episode(fen, tuple(run))
            run = []
        board.push(move)
    if run:
        yield Episode(fen, tuple(run))


def _at_most(episodes: Sequence[Episode], moves: int) -> list[Episode]:
    """The first so many moves of them."""
    kept: list[Episode] = []
    for episode in episodes:
        if moves <= 0:
            break
        kept.append(Episode(episode.fen, episode.moves[:moves]))
        moves -= len(episode.moves)
    return kept


def _restores(count: int, deck: Deck, dice: random.Random) -> list[list[Episode]]:
    """Some pieces put elsewhere; then the whole way to another position, with its trays, and back again."""
    groups = []
    for first in range(0, count, CHUNK_RESTORES):
        fen = chess.STARTING_FEN if dice.random() < 0.5 else deck.position()
        other = deck.position() if fen == chess.STARTING_FEN else _fewer(fen, dice)
        size = min(CHUNK_RESTORES, count - first)
        group = [Episode(fen, wrong=dice.choice(WRONG_PIECES)) for _ in range(size)]
        if size > 2:  # the way back needs what the way there has put into the trays
            group[-2:] = [Episode(other, wrong=-1), Episode(fen, wrong=-1)]
        groups.append(group)
    return groups


def _fewer(fen: str, dice: random.Random) -> str:
    """The same position with up to three men taken off: nothing is wanted there that is not on the table."""
    board = chess.Board(fen)
    men = [square for square, piece in board.piece_map().items() if piece.piece_type != chess.KING]
    for square in dice.sample(sorted(men), min(3, len(men))):
        board.remove_piece_at(square)
    return board.fen()


def supplied(board: chess.Board, moves: Sequence[str]) -> tuple[str, ...]:
    """The moves from `board` on up to one that promotes to a piece of which the racks have none left: nobody asks that of
    a table. (A captured piece would do, but not every arm reaches every tray.)"""
    spare = Counter(letter for letters in RACKS.values() for letter in letters)
    board = board.copy(stack=False)
    for number, text in enumerate(moves):
        move = chess.Move.from_uci(text)
        if move.promotion is not None:
            letter = chess.Piece(move.promotion, board.turn).symbol()
            if spare[letter] == 0:
                return tuple(moves[:number])
            spare[letter] -= 1
        board.push(move)
    return tuple(moves)


def _packed(episodes: Iterable[Episode], moves: int) -> list[list[Episode]]:
    groups: list[list[Episode]] = []
    size = moves
    for episode in episodes:
        if size >= moves:
            groups.append([])
            size = 0
        groups[-1].append(episode)
        size += len(episode.moves)
    return groups


def read_games(path: Path, limit: int = GAMES_READ) -> list[tuple[str, ...]]:
    """Main lines from the usual start position, in UCI. `.zst` is read through the program zstd.

    Raises OSError when the file cannot be read, ValueError when it holds no game.
    """
    with _opened(path) as text:
        games = list(_games(text, limit))
    if not games:
        raise ValueError(f"{path}: no game from the start position in it")
    return games


def _opened(path: Path) -> TextIO:
    if path.suffix != ".zst":
        return path.open(encoding="utf-8", errors="replace")
    with path.open("rb") as packed:
        packed.read(1)  # says what is wrong with the file before zstd does
    done = subprocess.run(["zstd", "-dcq", "--long=27", str(path)], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise OSError(f"{path}: zstd cannot unpack it")
    return io.StringIO(done.stdout.decode("utf-8", errors="replace"))


def _games(text: TextIO, limit: int) -> Iterator[tuple[str, ...]]:
    for _ in range(limit):
        game = chess.pgn.read_game(text)
        if game is None:
            return
        if game.errors or game.board().fen() != chess.STARTING_FEN:
            continue
        yield tuple(move.uci() for move in game.mainline_moves())


def _random_game(dice: random.Random) -> Iterator[str]:
    """Random play, steered to what is rare: castlings, en passant and promotions are taken when they are offered."""
    board = chess.Board()
    for _ in range(RANDOM_PLIES):
        legal = sorted(board.legal_moves, key=chess.Move.uci)
        if not legal:
            return
        rare = [move for move in legal if kind_of(board, move) in RARE]
        pawns = [move for move in legal if board.piece_type_at(move.from_square) == chess.PAWN]
        move = dice.choice(rare or (pawns if pawns and dice.random() < 0.3 else legal))
        board.push(move)
        yield move.uci()


def _after(moves: Iterable[str]) -> chess.Board:
    board = chess.Board()
    for move in moves:
        board.push_uci(move)
    return chess.Board(board.fen())


_UNKNOWN = [name for name in SWEEP if name not in {fault.name for fault in FAULTS}]
assert not _UNKNOWN, f"no such faults: {_UNKNOWN}"
