"""A UCI engine as a child process, driven by python-chess's engine client, which owns an asyncio loop in a thread.

Every call here blocks and ends by its timeout. Real time calls them in a worker thread; virtual time calls them
in place, because there nothing may wait outside the scheduler. An engine that dies, is late or breaks the protocol
is killed and raises PlayerFailed; the next question starts another.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import random
import subprocess
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import chess
import chess.engine

from edgechess_inference.errors import PlayerFailed

START_TIMEOUT_S = 10.0  # a loaded Raspberry Pi needs seconds to map the network file of an NNUE engine
QUIT_TIMEOUT_S = 1.0  # Stockfish leaves at once; whoever does not is killed
CONFIGURE_TIMEOUT_S = 10.0  # isready after setoption: a large hash table is cleared first

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class SpinRange:
    """A numeric UCI option as the engine announces it; both ends allowed."""

    low: int
    high: int
    default: int


class EngineProcess:
    """One engine process. `open` starts it; after a PlayerFailed, `kill` or `close` it is of no further use."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._engine: chess.engine.SimpleEngine | None = None
        self._lock = threading.Lock()
        self._abandoned = False

    def open(self, command: Sequence[str]) -> None:
        """Starts the process and reads its options. Raises PlayerFailed; nothing then stays."""
        try:
            engine = chess.engine.SimpleEngine.popen_uci(
                list(command), timeout=START_TIMEOUT_S, setpgrp=True, stderr=subprocess.DEVNULL
            )  # a process group of its own: Ctrl-C is for us, and we close the engine
        except (OSError, TimeoutError, concurrent.futures.CancelledError) as error:
            text = str(error) or f"no `uciok` within {START_TIMEOUT_S:g} s"
            raise PlayerFailed(f"{self.name} does not start: {text}") from error
        except chess.engine.EngineError as error:
            raise PlayerFailed(f"{self.name} does not start: {error}") from error
        with self._lock:
            self._engine = engine
            abandoned = self._abandoned
        if abandoned:  # killed while it was starting: whoever wanted it has gone
            self._shut(engine)
            raise PlayerFailed(f"{self.name} was closed while it started")

    def configure(self, options: Mapping[str, str | int | bool]) -> None:
        """Sets what the engine knows of `options` and leaves out the rest. Raises PlayerFailed."""
        protocol = self._running().protocol
        known = {key: value for key, value in options.items() if key in protocol.options}
        self._call(protocol.configure(known), CONFIGURE_TIMEOUT_S, "to be configured")

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        engine = self._engine
        return None if engine is None else engine.transport.get_pid()

    @property
    def reported_name(self) -> str:
        """What the engine calls itself, e.g. "Stockfish 15.1"."""
        engine = self._engine
        return self.name if engine is None else engine.protocol.id.get("name", self.name)

    def spin(self, option: str) -> SpinRange | None:
        """The range of a numeric option, None where the engine has no such option."""
        engine = self._engine
        found = engine.protocol.options.get(option) if engine is not None else None
        if found is None or found.type != "spin" or found.min is None or found.max is None:
            return None
        return SpinRange(found.min, found.max, int(found.default or found.min))

    def play(self, board: chess.Board, limit: chess.engine.Limit, *, timeout_s: float, game: object) -> str:
        """A legal move in UCI. Raises PlayerFailed (dead, late, illegal, or no move)."""
        engine = self._running()
        result = self._call(engine.protocol.play(board, limit, game=game), timeout_s, f"for {board.fen()}")
        return self._legal(board, result.move)

    def score(
        self, board: chess.Board, limit: chess.engine.Limit, *, timeout_s: float, mate_cp: int, game: object,
        moves: Sequence[chess.Move] | None = None,
    ) -> int:  # fmt: skip
        """Centipawns of the best line for the side to move, of `moves` alone where they are given; a mate in n is `mate_cp`
        less n. Raises PlayerFailed."""
        engine = self._running()
        search = engine.protocol.analyse(
            board, limit, game=game, info=chess.engine.INFO_SCORE, root_moves=None if moves is None else list(moves)
        )
        info: chess.engine.InfoDict = self._call(search, timeout_s, f"for {board.fen()}")
        if "score" not in info:
            raise PlayerFailed(f"{self.name} gave no score for {board.fen()}")
        found: int = info["score"].pov(board.turn).score(mate_score=mate_cp)
        return found

    def draw_from_best(
        self, board: chess.Board, limit: chess.engine.Limit, *, timeout_s: float, lines: int, spread_cp: int,
        draw: random.Random,
    ) -> str:  # fmt: skip
        """One of the engine's `lines` best moves: each as likely that is at most `spread_cp` behind the best.

        The engine forgets what it searched before, so that the same position and draw give the same move in every
        process. An engine that shows only one line gives that one. Raises PlayerFailed.
        """
        engine = self._running()
        if "MultiPV" not in engine.protocol.options:
            return self.play(board, limit, timeout_s=timeout_s, game=object())
        # a new game object makes python-chess send `ucinewgame`, which empties the hash table
        search = engine.protocol.analyse(board, limit, multipv=lines, game=object(), info=chess.engine.INFO_ALL)
        infos: list[chess.engine.InfoDict] = self._call(search, timeout_s, f"for {board.fen()}")
        ranked = [
            (info["pv"][0], info["score"].pov(board.turn).score(mate_score=100_000))
            for info in infos
            if info.get("pv") and "score" in info
        ]
        if not ranked:
            return self._legal(board, None)
        best = max(score for _, score in ranked)
        near = [move for move, score in ranked if best - score <= spread_cp]
        return self._legal(board, near[draw.randrange(len(near))])

    def close(self) -> None:
        """Asks the engine to quit and kills it where it does not. Never raises; safe at any time, also twice."""
        with self._lock:
            self._abandoned = True
            engine, self._engine = self._engine, None
        if engine is None:
            return
        try:
            future = asyncio.run_coroutine_threadsafe(engine.protocol.quit(), engine.protocol.loop)
            future.result(QUIT_TIMEOUT_S)
        except (chess.engine.EngineError, concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            pass  # it is killed below, which is what its silence means
        except RuntimeError:
            return  # its loop has ended, and with it the process
        self._shut(engine)

    def kill(self) -> None:
        """Ends the process at once, also from another thread while a call is waiting for it. Never waits or raises."""
        with self._lock:
            self._abandoned = True
            engine, self._engine = self._engine, None
        if engine is not None:
            self._end(engine)

    def _end(self, engine: chess.engine.SimpleEngine) -> bool:
        try:
            engine.close()  # closing the transport kills the process; the loop's watcher reaps it
        except RuntimeError:
            return False  # its loop has ended, and with it the process
        return True

    def _shut(self, engine: chess.engine.SimpleEngine) -> None:
        if not self._end(engine):
            return
        try:
            engine.returncode.result(QUIT_TIMEOUT_S)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            return  # SIGKILL is on its way; the kernel, not we, decides when

    def _running(self) -> chess.engine.SimpleEngine:
        engine = self._engine
        if engine is None:
            raise PlayerFailed(f"{self.name} is not running")
        return engine

    def _call(self, work: Coroutine[Any, Any, T], timeout_s: float, purpose: str) -> T:
        engine = self._running()
        try:
            future = asyncio.run_coroutine_threadsafe(work, engine.protocol.loop)
        except RuntimeError as error:  # the loop ended because the process did
            work.close()
            self.kill()
            raise PlayerFailed(f"{self.name} has died") from error
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError as error:
            future.cancel()
            self.kill()
            raise PlayerFailed(f"{self.name} did not answer within {timeout_s:.3g} s {purpose}") from error
        except concurrent.futures.CancelledError as error:
            self.kill()
            raise PlayerFailed(f"{self.name} was closed while it was asked") from error
        except chess.engine.EngineTerminatedError as error:
            self.kill()
            raise PlayerFailed(f"{self.name} has died: {error}") from error
        except chess.engine.EngineError as error:
            self.kill()
            raise PlayerFailed(f"{self.name} broke the protocol: {error}") from error

    def _legal(self, board: chess.Board, move: chess.Move | None) -> str:
        if move is None or move not in board.legal_moves:
            said = "no move" if move is None else move.uci()
            self.kill()
            raise PlayerFailed(f"{self.name} answered {said} in {board.fen()}, which is not legal")
        return move.uci()
