"""What watching costs: moves through the game manager with pages attached to a console and without, turn by turn.

The console runs all the time; in every other turn 50 pages and one that never reads are attached to it, from a process
of their own. Both turns see the same machine in the same minute. Beside it the page's weight and its first paint in
Chromium, where that is installed.
"""

from __future__ import annotations

import dataclasses
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import httpx
from anyio.streams.buffered import BufferedByteReceiveStream

from edgechess_cli.bench.figures import Distribution, Ratio, Report, Table, Target
from edgechess_cli.bench.manager import WARM_UP, BenchError, brokers_here, side
from edgechess_cli.child_process import ChildProcess, interpreter
from edgechess_cli.chromium_adapter import NoBrowser, chromium
from edgechess_cli.console_page import CONSOLE, open_page
from edgechess_cli.match_folder import write_toml

VIEWERS = 50
STALLED = 1
TURN_MOVES = 10  # with pages, then without; short, so that both meet the same neighbours on the machine
READY_S = 60.0
PAINTS = 5
LINE_BYTES = 200
LIMIT_RATIO = 1.05
LIMIT_PAINT_MS = 500.0
LIMIT_PAGE_KB = 500.0

PAINTED = "performance.getEntriesByName('first-contentful-paint').map((one) => one.startTime)[0] ?? null"
WEIGHT = """performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
  .reduce((sum, one) => sum + one.encodedBodySize, 0)"""


async def measure(turns: int, seed: int, scratch: Path) -> Report:
    """Raises BenchError, or BrokerError where no broker is installed."""
    watched: list[list[float]] = []
    alone: list[list[float]] = []
    busy_watched: list[float] = []
    busy_alone: list[float] = []
    least_bytes: list[int] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="console-", dir=scratch)))
        moves, broker = await stack.enter_async_context(side(brokers_here()[0], folder, seed))
        address, console = await stack.enter_async_context(_console(broker, folder))
        viewers = await stack.enter_async_context(_viewers(address))
        for _ in range(WARM_UP):
            await moves.move()
        for turn in range(turns):
            for attach in (True, False) if turn % 2 else (False, True):
                if attach:
                    await viewers.turn()
                began = Spent.of(console)
                (watched if attach else alone).append([await moves.move() for _ in range(TURN_MOVES)])
                (busy_watched if attach else busy_alone).append(Spent.of(console).since(began))
                if attach:
                    least_bytes.append(int((await viewers.turn()).split()[1]))
        page = await _page(address)
    busy = statistics.median(busy_alone), statistics.median(busy_watched)
    return _report(watched, alone, busy, least_bytes, page, random.Random(seed))


@asynccontextmanager
async def _console(broker: str, folder: Path) -> AsyncIterator[tuple[str, ChildProcess]]:
    """The page's address, and whose it is."""
    config, own = folder / "console.toml", {"history_file": str(folder / "history.sqlite"), "match_folders": ""}
    arguments = ["-m", "edgechess_console", "--tied", "--config", str(config), "--log-level", "WARNING"]
    journal = {"path": str(folder / "console-journal.sqlite")}
    with open_page(ports=(0,), evaluation=False, **own) as page:
        write_toml(config, {"bus": {"broker": broker}, "journal": journal, CONSOLE: page.settings})
        async with anyio.create_task_group() as tasks:
            child = ChildProcess(CONSOLE, arguments, folder / "console.log", inherits=(page.descriptor,))
            await tasks.start(child.run)
            await _served(page.address)
            yield page.address, child
            tasks.cancel_scope.cancel()


async def _served(address: str) -> None:
    with anyio.move_on_after(READY_S):
        async with httpx.AsyncClient() as client:
            while True:
                try:
                    await client.get(f"{address}api/me")
                    return
                except httpx.TransportError:
                    await anyio.sleep(0.1)
    raise BenchError("the console does not answer")


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """Processor time of a process, and when that was, in seconds."""

    busy_s: float
    at_s: float

    @classmethod
    def of(cls, child: ChildProcess) -> Spent:
        """As Linux counts it: user and system, the fields 14 and 15 of proc(5)'s stat, behind the name in brackets."""
        assert child.process is not None
        fields = Path(f"/proc/{child.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return cls((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), anyio.current_time())

    def since(self, earlier: Spent) -> float:
        """Its share of a core meanwhile."""
        return (self.busy_s - earlier.busy_s) / (self.at_s - earlier.at_s)


class _Viewers:
    def __init__(self, process: anyio.abc.Process) -> None:
        self._process = process
        assert process.stdout is not None
        self._told = BufferedByteReceiveStream(process.stdout)

    async def turn(self) -> str:
        """Attaches them all, or detaches them all; what they said."""
        assert self._process.stdin is not None
        await self._process.stdin.send(b"\n")
        with anyio.move_on_after(READY_S):
            try:
                return (await self._told.receive_until(b"\n", LINE_BYTES)).decode()
            except anyio.IncompleteRead:
                pass
        raise BenchError(f"the {VIEWERS} pages could not watch")


@asynccontextmanager
async def _viewers(address: str) -> AsyncIterator[_Viewers]:
    arguments = ["-m", "edgechess_cli.bench.viewers_process"]
    options = ["--address", address, "--count", str(VIEWERS), "--stalled", str(STALLED)]
    async with await anyio.open_process(interpreter([*arguments, *options]), stderr=subprocess.DEVNULL) as process:
        yield _Viewers(process)
        process.kill()


async def _page(address: str) -> dict[str, Any]:
    """First paints in ms and bytes on the wire, each load with an empty cache; empty without a browser."""
    paints: list[float] = []
    weight = 0
    try:
        async with chromium() as browser:
            for _ in range(PAINTS):
                context = await browser.new_context(viewport={"width": 1440, "height": 900})
                page = await context.new_page()
                await page.goto(address, wait_until="load")
                await page.wait_for_selector(".square")
                with anyio.move_on_after(10.0):
                    while (painted := await page.evaluate(PAINTED)) is None:  # noqa: ASYNC110 - of another process
                        await anyio.sleep(0.05)
                    paints.append(float(painted))
                weight = int(await page.evaluate(WEIGHT))
                await context.close()
    except NoBrowser as missing:
        print(f"no first paint: {missing}", file=sys.stderr)
    return {"first_paint_ms": [round(value, 1) for value in paints], "page_bytes": weight} if paints else {}


def _report(
    watched: list[list[float]],
    alone: list[list[float]],
    busy: tuple[float, float],
    least_bytes: list[int],
    page: dict[str, Any],
    chance: random.Random,
) -> Report:
    with_pages, without = Distribution.of([*chain(*watched)]), Distribution.of([*chain(*alone)])
    ratio = Ratio.of(watched, alone, chance)
    rows = [
        ("nobody watches", *_told(without)),
        (f"{VIEWERS} pages watch, {STALLED} more never reads", *_told(with_pages)),
    ]
    targets = [Target(f"p50 of a move with {VIEWERS} pages over that without", ratio.value, LIMIT_RATIO, "x")]
    remarks = [
        f"95 % interval of that ratio: {ratio.low:.3f} to {ratio.high:.3f}; --turns narrows it",
        f"the console's share of a core: {busy[0]:.1%} with nobody, {busy[1]:.1%} with {VIEWERS} pages",
        f"each page read at least {min(least_bytes) // 1000} kB in a turn of {TURN_MOVES} moves",
    ]
    if page:
        paint = statistics.median(page["first_paint_ms"])
        targets.append(Target("first paint, median, with an empty cache", paint, LIMIT_PAINT_MS, "ms"))
        targets.append(Target("the page's weight", page["page_bytes"] / 1000, LIMIT_PAGE_KB, "kB"))
    figures = {
        "watched": with_pages.as_figures("ms"),
        "alone": without.as_figures("ms"),
        "ratio_p50": round(ratio.value, 4),
        "ratio_p50_interval": [round(ratio.low, 4), round(ratio.high, 4)],
        "console_core_share": [round(share, 4) for share in busy],
        "least_bytes": min(least_bytes),
        **page,
    }
    table = Table("A move, request to answer", ("", "moves", "p50 ms", "p95 ms", "p99 ms", "max ms"), tuple(rows))
    return Report("console", figures, (table,), tuple(targets), tuple(remarks))


def _told(values: Distribution) -> tuple[str, ...]:
    return (str(values.n), *(f"{value:.1f}" for value in (values.p50, values.p95, values.p99, values.largest)))
