"""`pgn:FILE[#N]`: replays the N-th game (from 1) of a PGN file, `.pgn` or `.pgn.zst`."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import anyio.lowlevel
import anyio.to_thread
import chess
import chess.pgn

from edgechess_inference.errors import PlayerWordError, ReplayEnded
from edgechess_inference.player import Answer, PlayerOptions, Question, Seat

GAME_LIMIT = 100_000  # games skipped to reach #N: a minute of reading; a larger N is a mistake more often than a wish


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedGame:
    """One game of a file. `moves` in UCI from `start_fen`. `result` as in the PGN, "*" where it is not told."""

    name: str
    start_fen: str
    moves: tuple[str, ...]
    result: str
    headers: Mapping[str, str]

    def termination(self) -> str:
        """How the game ended, as a termination word. A PGN without the tag leaves what is not on the board unsaid:
        a decisive game then ended by resignation, a drawn one by agreement (what Seven Tag Roster games mean)."""
        board = chess.Board(self.start_fen)
        for move in self.moves:
            board.push_uci(move)
        tag = self.headers.get("Termination", "").lower()
        if board.is_checkmate():
            return "checkmate"
        if board.is_stalemate():
            return "stalemate"
        if "time" in tag:
            return "time-forfeit"
        if "abandon" in tag:
            return "abandoned"
        if self.result == "1/2-1/2":
            return "agreement"
        return "resignation" if self.result in ("1-0", "0-1") else "record-ended"


class _QuietBuilder(chess.pgn.GameBuilder[chess.pgn.Game]):
    """Keeps unreadable movetext in `game.errors` without logging it as well: we raise it."""

    def handle_error(self, error: Exception) -> None:
        self.game.errors.append(error)


class PgnPlayer:
    """Plays the recorded move as long as the game so far is the recorded one. Either colour, or both."""

    seat: Seat = "answers"

    def __init__(self, word: str, game: RecordedGame) -> None:
        self.word = word
        self.game = game

    async def choose(self, question: Question) -> Answer:
        """Raises ReplayEnded: at the record's end with its result, where the game took another course without."""
        await anyio.lowlevel.checkpoint()
        game = self.game
        if not same_position(question.start_fen, game.start_fen):
            raise ReplayEnded(f"{game.name} starts from {game.start_fen}, this game does not")
        ply = len(question.moves)
        for index, (played, recorded) in enumerate(zip(question.moves, game.moves, strict=False)):
            if played != recorded:
                raise ReplayEnded(f"{game.name} has {recorded} at ply {index + 1}; {played} was played")
        if ply < len(game.moves):
            return Answer(game.moves[ply], by=self.word)
        if ply > len(game.moves) or game.result == "*":
            raise ReplayEnded(f"{game.name} has only {len(game.moves)} plies")
        termination = game.termination()
        raise ReplayEnded(
            f"{game.name} ended {game.result} by {termination}", result=game.result, termination=termination
        )

    async def close(self) -> None:
        await anyio.lowlevel.checkpoint()


def same_position(left: str, right: str) -> bool:
    """Two FENs as positions: pieces, turn, castling rights, and an en-passant square only where a capture is legal."""
    return chess.Board(left).epd() == chess.Board(right).epd()


def split_file(rest: str) -> tuple[Path, int]:
    """`FILE#N` -> (path, N); N is 1 where it is not given. Raises PlayerWordError."""
    found = re.fullmatch(r"(?P<file>.*?)(?:#(?P<number>\d+))?", rest, flags=re.DOTALL)
    assert found is not None  # the pattern matches every text
    if not found["file"]:
        raise PlayerWordError("pgn: needs a file, for example pgn:games.pgn#2")
    number = int(found["number"] or 1)
    if not 1 <= number <= GAME_LIMIT:
        raise PlayerWordError(f"pgn:{rest}: games count from 1 to {GAME_LIMIT}, so #{number} names none")
    return Path(found["file"]).expanduser(), number


def read_game(path: Path, number: int) -> RecordedGame:
    """The `number`-th game (from 1). Blocks on the disk. Raises PlayerWordError naming the file and what is wrong."""
    name = f"{path.name}#{number}"
    try:
        with _open_text(path) as text:
            for skipped in range(number - 1):
                if not chess.pgn.skip_game(text):
                    raise PlayerWordError(f"pgn: {path} has only {skipped} games, so #{number} names none")
            game = chess.pgn.read_game(text, Visitor=_QuietBuilder)
    except OSError as error:
        raise PlayerWordError(f"pgn: cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PlayerWordError(f"pgn: {path} is no text file: {error.reason}") from error
    if game is None:
        raise PlayerWordError(f"pgn: {path} has {f'only {number - 1} games' if number > 1 else 'no game'}")
    if game.errors:
        raise PlayerWordError(f"pgn: {name}: {game.errors[0]}")
    if game.headers.get("Variant", "Standard").lower() not in ("standard", "chess", "from position"):
        raise PlayerWordError(f"pgn: {name} is {game.headers['Variant']}, not chess")
    moves = tuple(move.uci() for move in game.mainline_moves())
    if not moves:
        raise PlayerWordError(f"pgn: {name} has no moves")
    return RecordedGame(name, game.board().fen(), moves, game.headers.get("Result", "*"), dict(game.headers))


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    if path.suffix != ".zst":
        with path.open(encoding="utf-8-sig") as text:
            yield text
        return
    try:
        import zstandard
    except ImportError:
        raise PlayerWordError(f"pgn: {path} is compressed; install the package zstandard to read it") from None
    try:
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as plain:
            yield io.TextIOWrapper(plain, encoding="utf-8-sig")
    except zstandard.ZstdError as error:
        raise PlayerWordError(f"pgn: {path} is not Zstandard data: {error}") from error


def check(rest: str) -> None:
    """Looks for the file but does not read it. Raises PlayerWordError."""
    path, _ = split_file(rest)
    if not path.is_file():
        raise PlayerWordError(f"pgn: there is no file {path}")


async def open_player(rest: str, options: PlayerOptions) -> PgnPlayer:
    """The factory of the word `pgn`."""
    path, number = split_file(rest)
    if options.inline:
        await anyio.lowlevel.checkpoint()
        game = read_game(path, number)
    else:
        game = await anyio.to_thread.run_sync(read_game, path, number)
    return PgnPlayer(f"pgn:{rest}", game)
