"""The evaluation bar: an engine of our own, weak in its claims on the machine, asked only while somebody watches."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from edgechess_console.errors import EngineFailed
from edgechess_console.hub import Hub
from edgechess_console.position import board_of
from edgechess_console.settings import Settings
from edgechess_console.uci_protocol import Judgement, read_info, read_name
from edgechess_console.view import EvaluationPart
from edgechess_kit.messages import SessionState

LOG = logging.getLogger(__name__)

USUAL_PLACES = ("/usr/games/stockfish", "/usr/local/bin/stockfish", "/opt/homebrew/bin/stockfish")
ANSWER_TIMEOUT_S = (
    60.0  # 100,000 nodes take a third of a second, and 20 s behind everybody else on a busy small machine
)
LINE_LIMIT = 65_536
FIRST_DEPTH = 6  # what is shallower jumps about
LINGER_S = 60.0  # after the last page is gone
LOOK_S = 0.3  # how soon a new position is noticed
RETRY_S = 60.0  # an engine that failed
NICENESS = 10  # a move, an arm and a broker come first


def engine_path(settings: Settings) -> str | None:
    """None: there is none, and no bar."""
    if settings.engine:
        return settings.engine
    return shutil.which("stockfish") or next((path for path in USUAL_PLACES if Path(path).is_file()), None)


async def evaluate(hub: Hub, settings: Settings) -> None:
    """Until cancelled. Whatever goes wrong here is logged, and nothing else is affected."""
    path = engine_path(settings) if settings.evaluation else None
    if path is None:
        return
    while True:
        await hub.until_watched()
        try:
            async with _started(path) as engine:
                await _judge_while_watched(hub, engine, settings.engine_nodes)
        except (EngineFailed, OSError) as error:
            LOG.warning("no evaluation: %s: %s", path, error)
            await anyio.sleep(RETRY_S)


async def _judge_while_watched(hub: Hub, engine: _Engine, nodes: int) -> None:
    """Pages that are loaded anew come back within seconds: an engine that has its network in memory waits for them."""
    judged: str | None = None
    until = math.inf
    while anyio.current_time() < until:
        until = math.inf if hub.watched else min(until, anyio.current_time() + LINGER_S)
        session = hub.state.session
        board = board_of(session.fen) if session is not None and hub.watched else None
        if session is None or session.fen == judged or board is None or not board.is_valid() or board.is_game_over():
            await anyio.sleep(LOOK_S)
            continue
        judged = session.fen
        tell = functools.partial(_tell, hub, session, engine.name)
        await engine.judge(board.fen(), nodes, tell, functools.partial(_is_past, hub, session))


def _is_past(hub: Hub, session: SessionState) -> bool:
    """There is a newer position to be judged."""
    return hub.state.session is None or hub.state.session.fen != session.fen


def _tell(hub: Hub, session: SessionState, engine: str, found: Judgement) -> None:
    """From the first depth that means something, and of this game: in a fast one the bar may be a move behind."""
    now = hub.state.session
    if found.depth >= FIRST_DEPTH and now is not None and now.session_id == session.session_id:
        hub.judged(_part(session, found, engine))


def _part(session: SessionState, found: Judgement, engine: str) -> EvaluationPart:
    assert session.fen is not None  # it was judged
    sign = 1 if session.fen.split(" ")[1] == "w" else -1
    return EvaluationPart(
        fen=session.fen,
        ply=session.ply,
        cp=None if found.cp is None else sign * found.cp,
        mate=None if found.mate is None else sign * found.mate,
        depth=found.depth,
        best=found.best,
        engine=engine,
    )


class _Engine:
    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin = process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)
        self.name = "engine"

    async def begin(self) -> None:
        await self._say("uci")
        await self._until(lambda line: line == "uciok", self._hear_name)
        await self._say("setoption name Hash value 16\nsetoption name Threads value 1\nisready")
        await self._until(lambda line: line == "readyok")

    def _hear_name(self, line: str) -> None:
        self.name = read_name(line) or self.name

    async def judge(self, fen: str, nodes: int, tell: Callable[[Judgement], None], is_past: Callable[[], bool]) -> None:
        """Tells every better judgement, until there is something newer to be judged. Raises EngineFailed."""

        def hear(line: str) -> None:
            judgement = read_info(line)
            if judgement is not None:
                tell(judgement)

        told = False

        async def look() -> None:
            nonlocal told
            if not told and is_past():
                told = True
                await self._say("stop")

        await self._say(f"position fen {fen}\ngo nodes {nodes}")
        await self._until(lambda line: line.startswith("bestmove"), hear, look)

    async def _say(self, text: str) -> None:
        try:
            await self._stdin.send(text.encode() + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise EngineFailed("it has ended") from error

    async def _until(
        self,
        last: Callable[[str], bool],
        hear: Callable[[str], None] = lambda _: None,
        look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Up to the `last` line. `look` is called now and then meanwhile."""
        try:
            with anyio.fail_after(ANSWER_TIMEOUT_S):
                while True:
                    line = await self._line()
                    if line is not None:
                        hear(line)
                        if last(line):
                            return
                    if look is not None:
                        await look()
        except TimeoutError as error:
            raise EngineFailed(f"no answer within {ANSWER_TIMEOUT_S:g} s") from error
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound) as error:
            raise EngineFailed("it has ended, or speaks no UCI") from error

    async def _line(self) -> str | None:
        """None where none came for a while."""
        with anyio.move_on_after(LOOK_S):
            return (await self._lines.receive_until(b"\n", LINE_LIMIT)).decode(errors="replace").strip()
        return None


@contextlib.asynccontextmanager
async def _started(path: str) -> AsyncIterator[_Engine]:
    """Raises EngineFailed, OSError."""
    process = await anyio.open_process([path], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        engine = _Engine(process)
        await engine.begin()
        yield engine
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()
