"""`stockfish[:elo=1350|level=5|nodes=10000|movetime=0.5]`, several joined by commas (`elo=1350,movetime=0.2`).

Default: `elo=1800,movetime=0.1`, a club player's strength. Any setting given replaces the whole default: `nodes`
or `movetime` alone plays at full strength within that limit; `elo` or `level` alone thinks for 0.1 s.
The ranges of `elo` and `level` are the installed engine's own.

In virtual time the same words mean something that can be repeated: one thread, a fixed number of nodes, no memory
of earlier positions, and, because Stockfish draws its own weakness from the clock, ours drawn from the seed among
its best lines (the wider, the weaker). It is then weaker or stronger than the Elo says; nobody measures it there.

Without Stockfish the word is played by `builtin`, and every answer says so.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import chess.engine

from edgechess_inference.embedded_engine import NODES_DEFAULT, BuiltinPlayer
from edgechess_inference.engine_adapter import EngineProcess
from edgechess_inference.errors import PlayerFailed, PlayerWordError
from edgechess_inference.player import Answer, Player, PlayerOptions, Question, Seat
from edgechess_inference.random_player import draw_for
from edgechess_inference.words import exclusive, parse_settings, seconds, whole_number

PATH_VARIABLE = "EDGECHESS_STOCKFISH"
USUAL_PLACES = ("/usr/games/stockfish", "/usr/local/bin/stockfish", "/opt/homebrew/bin/stockfish")  # Debian; others

ELO_DEFAULT = 1800
MOVETIME_DEFAULT_S = 0.1  # enough for this strength; a sped-up table should wait for its arms, not for this
MOVETIME_MAX_S = 600.0
NODES_MAX = 1_000_000_000
HASH_MIB = 16  # Stockfish's own default; an edge box runs other things too
HASH_INLINE_MIB = 1  # emptied before every move in virtual time

INLINE_NODES = 2000  # some milliseconds a move
INLINE_TIMEOUT_S = 60.0  # real seconds; only a broken engine needs them
INLINE_LINES = 4  # candidate moves that the seed chooses among
INLINE_SPREAD_CP = 15  # at full strength: moves this close are equals, so that seeds give different games
SPREAD_PER_ELO_CP = 0.12  # the weaker, the wider: 1350 gives some 200 centipawns below the top of the range
SPREAD_PER_LEVEL_CP = 10.0

ANSWER_SHARE = 0.8  # of the question's time; the rest is for the process and the pipe
KNOWN = {"elo": "elo=1350", "level": "level=5", "nodes": "nodes=10000", "movetime": "movetime=0.5"}

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Strength:
    """How strong, and how much thought. `elo`, `level` None: full strength. Times in seconds."""

    elo: int | None = None
    level: int | None = None
    nodes: int | None = None
    movetime_s: float | None = None


def parse_strength(rest: str) -> Strength:
    """The settings of a word. Raises PlayerWordError. Ranges are coarse here: only the engine knows its own."""
    found = parse_settings("stockfish", rest, KNOWN)
    exclusive("stockfish", found, ("elo", "level"))
    if not found:
        return Strength(elo=ELO_DEFAULT, movetime_s=MOVETIME_DEFAULT_S)
    strength = Strength(
        elo=whole_number("stockfish", "elo", found["elo"], low=0, high=10_000) if "elo" in found else None,
        level=whole_number("stockfish", "level", found["level"], low=-100, high=100) if "level" in found else None,
        nodes=whole_number("stockfish", "nodes", found["nodes"], low=1, high=NODES_MAX) if "nodes" in found else None,
        movetime_s=(
            seconds("stockfish", "movetime", found["movetime"], low=0.001, high=MOVETIME_MAX_S)
            if "movetime" in found
            else None
        ),
    )
    if strength.nodes is None and strength.movetime_s is None:
        return dataclasses.replace(strength, movetime_s=MOVETIME_DEFAULT_S)
    return strength


def find_stockfish() -> str | None:
    """The path of the engine: EDGECHESS_STOCKFISH, then PATH, then the usual places. None where there is none.

    Raises PlayerWordError where EDGECHESS_STOCKFISH names something that cannot be run.
    """
    named = os.environ.get(PATH_VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise PlayerWordError(f"{PATH_VARIABLE}={named} is not a program that can be run")
        return found
    return shutil.which("stockfish") or next(
        (place for place in USUAL_PLACES if os.access(place, os.X_OK) and Path(place).is_file()), None
    )


class EnginePlayer:
    """A UCI engine as a player. Owns at most one process; a failed one is replaced at the next question."""

    seat: Seat = "answers"

    def __init__(self, word: str, command: tuple[str, ...], strength: Strength, *, seed: int, inline: bool) -> None:
        self.word = word
        self._command = command
        self._strength = strength
        self._seed = seed
        self._inline = inline
        self._process: EngineProcess | None = None
        self._game = object()  # one for this player's life: the engine keeps what it learnt from move to move

    @property
    def pid(self) -> int | None:
        """The engine's process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Starts the process and checks the strength against its ranges. Raises PlayerFailed, PlayerWordError."""
        if self._process is None:
            process = EngineProcess(Path(self._command[0]).name)
            await self._block(process, partial(self._open, process))
            self._process = process

    async def choose(self, question: Question) -> Answer:
        """Raises PlayerFailed: the engine died, answered illegally, or not within `timeout_s`. Asking again is safe."""
        try:
            with anyio.fail_after(None if self._inline else question.timeout_s):
                await self.start()
                assert self._process is not None
                process = self._process
                move = await self._block(process, partial(self._ask, process, question))
        except TimeoutError as error:
            self._forget()
            raise PlayerFailed(f"{self.word} did not answer within {question.timeout_s:g} s") from error
        except PlayerFailed:
            self._forget()
            raise
        return Answer(move, by=process.reported_name)

    async def close(self) -> None:
        """Ends the process; afterwards none is left."""
        process, self._process = self._process, None
        if process is None or self._inline:
            await anyio.lowlevel.checkpoint()
            if process is not None:
                process.close()
            return
        with anyio.CancelScope(shield=True):  # bounded by the adapter's own timeouts
            await anyio.to_thread.run_sync(process.close)

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _open(self, process: EngineProcess) -> None:
        strength = self._strength
        options: dict[str, str | int | bool] = {
            "Threads": 1,
            "Hash": HASH_INLINE_MIB if self._inline else HASH_MIB,
        }
        if not self._inline and strength.elo is not None:
            options |= {"UCI_LimitStrength": True, "UCI_Elo": strength.elo}
        if not self._inline and strength.level is not None:
            options["Skill Level"] = strength.level
        process.open(self._command)
        try:
            self._check_range(process, "elo", strength.elo, "UCI_Elo")
            self._check_range(process, "level", strength.level, "Skill Level")
            process.configure(options)
        except PlayerWordError:
            process.close()
            raise

    def _check_range(self, process: EngineProcess, key: str, value: int | None, option: str) -> None:
        if value is None:
            return
        allowed = process.spin(option)
        engine = process.reported_name
        if allowed is None:
            raise PlayerWordError(f"{self.word}: {engine} has no {option}, so {key} cannot be set")
        if not allowed.low <= value <= allowed.high:
            raise PlayerWordError(
                f"{self.word}: {key}={value} is out of range; {engine} takes {allowed.low} to {allowed.high}"
            )

    def _ask(self, process: EngineProcess, question: Question) -> str:
        board, strength = question.board(), self._strength
        if self._inline:
            return process.draw_from_best(
                board,
                chess.engine.Limit(nodes=strength.nodes or INLINE_NODES),
                timeout_s=INLINE_TIMEOUT_S,
                lines=INLINE_LINES,
                spread_cp=self._spread_cp(process),
                draw=draw_for(self._seed, question),
            )
        share_s = ANSWER_SHARE * question.timeout_s
        movetime_s = share_s if strength.movetime_s is None else min(strength.movetime_s, share_s)
        limit = chess.engine.Limit(nodes=strength.nodes, time=movetime_s)
        return process.play(board, limit, timeout_s=question.timeout_s, game=self._game)

    def _spread_cp(self, process: EngineProcess) -> int:
        elo, level = process.spin("UCI_Elo"), process.spin("Skill Level")
        if self._strength.elo is not None and elo is not None:
            return round(INLINE_SPREAD_CP + SPREAD_PER_ELO_CP * (elo.high - self._strength.elo))
        if self._strength.level is not None and level is not None:
            return round(INLINE_SPREAD_CP + SPREAD_PER_LEVEL_CP * (level.high - self._strength.level))
        return INLINE_SPREAD_CP

    async def _block(self, process: EngineProcess, work: partial[T]) -> T:
        if self._inline:
            await anyio.lowlevel.checkpoint()
            return work()
        try:
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except anyio.get_cancelled_exc_class():
            process.kill()  # frees the worker thread, which nobody waits for any more
            raise


def check(rest: str) -> None:
    """Raises PlayerWordError."""
    parse_strength(rest)
    find_stockfish()


async def open_player(rest: str, options: PlayerOptions) -> Player:
    """The factory of the word `stockfish`. Starts the engine, to learn its ranges. Raises PlayerFailed, PlayerWordError."""
    strength = parse_strength(rest)
    word = f"stockfish:{rest}" if rest else "stockfish"
    path = find_stockfish()
    if path is None:
        notice = f"Stockfish is not installed; `{word}` is played by the small engine `builtin`"
        return BuiltinPlayer(word, seed=options.seed, nodes=NODES_DEFAULT, inline=options.inline, notice=notice)
    player = EnginePlayer(word, (path,), strength, seed=options.seed, inline=options.inline)
    await player.start()
    return player
