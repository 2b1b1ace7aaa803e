"""`edgechess console screenshots`: pictures of the page's main states, of a real match on the software table."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import chess
import typer

from edgechess_cli.chromium_adapter import NoBrowser, chromium
from edgechess_cli.console_page import open_page
from edgechess_cli.failures import FAILURES, told
from edgechess_cli.match_folder import COMPONENTS, MatchFolder
from edgechess_cli.real_table import RealTable, ServedTable, TableSetup, park
from edgechess_kit.topics import Topics
from edgechess_twin.control import ControlClient

EXIT_FAILED = 1
EXIT_USAGE = 2

SPEED = 4.0  # a move of some four seconds: an arm is seen on its way
JUDGED_S = 20.0  # the engine steps back behind everything else
PATIENCE_S = 300.0  # of one state, on a busy machine

# Morphy against Duke Karl and Count Isouard, Paris 1858.
RECORD = """[Event "Paris"]
[Result "1-0"]

1. e4 e5 2. Nf3 d6 3. d4 Bg4 4. dxe5 Bxf3 5. Qxf3 dxe5 6. Bc4 Nf6 7. Qb3 Qe7 8. Nc3 c6 9. Bg5 b5 10. Nxb5 cxb5
11. Bxb5+ Nbd7 12. O-O-O Rd8 13. Rxd7 Rxd7 14. Rd1 Qe6 15. Bxd7+ Nxd7 16. Qb8+ Nxb8 17. Rd8# 1-0
"""
PICTURED_PLY = 20  # enough was taken to fill a tray, and much is still on the board

LAPTOP, HALL, PHONE = (1440, 900), (1920, 1080), (390, 844)

POST = """async ([path, body]) => {
  const me = await (await fetch('/api/me')).json();
  const answer = await fetch(path, { method: 'POST', body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', 'X-Edgechess-Csrf': me.csrf } });
  return answer.json();
}"""
VIEW = "async () => (await fetch('/api/view')).json()"


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures; those of the same name are replaced.")],
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is left to chance.")] = 0,
) -> None:
    """Play on a software table and picture the page's main states, in Chromium without a window (some minutes).

    Exit code: 0 all were made, 1 something went wrong on the way, 2 Chromium or Playwright is missing.
    """
    failure: BaseExceptionGroup | None = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        anyio.run(_all, out, seed)
    except* NoBrowser as missing:
        typer.echo(f"edgechess console screenshots: {told(missing)}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    except* (*FAILURES, _Unexpected) as failed:
        failure = failed
    if failure is not None:
        typer.echo(f"edgechess console screenshots: {told(failure)}", err=True)
        raise typer.Exit(EXIT_FAILED)


class _Unexpected(RuntimeError):
    """A state that should be pictured did not come."""


async def _all(out: Path, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        own = {"history_file": str(Path(folder) / "history.sqlite"), "match_folders": ""}
        director = {"match-director": {"autostart": False, "node_players": []}}
        table = RealTable(TableSetup(seed=seed, motion_speed=SPEED), MatchFolder.create(), typer.echo)
        with open_page(ports=(0,), **own) as page:
            async with chromium() as browser, table.serving(COMPONENTS, director, person=False, page=page) as served:
                await _Photographer(browser, page.address, out, served, Path(folder)).all()
                await park(served.bus, Topics())


@dataclasses.dataclass(frozen=True, slots=True)
class _Photographer:
    browser: Any
    address: str
    out: Path
    served: ServedTable
    folder: Path

    async def all(self) -> None:
        async with self._page(LAPTOP) as page:
            await self._new_match(page)
            await self._a_match(page)
            await self._a_person(page)
            await self._history()

    @asynccontextmanager
    async def _page(
        self, size: tuple[int, int], path: str = "", *, scheme: str = "light", scale: float = 1.0
    ) -> AsyncIterator[Any]:
        context = await self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            device_scale_factor=scale,
            reduced_motion="reduce",
        )
        try:
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_S * 1000)
            await page.goto(self.address + path)
            yield page
        finally:
            await context.close()

    async def _shoot(self, page: Any, name: str) -> None:
        path = self.out / f"{name}.png"
        await page.screenshot(path=path)
        typer.echo(f"{path}  {path.stat().st_size // 1000} kB")

    async def _post(self, page: Any, path: str, **body: Any) -> None:
        answer = await page.evaluate(POST, [path, body])
        if answer["status"] != 200:
            raise _Unexpected(f"{path}: {answer['reason']}")

    async def _until(self, page: Any, what: str, holds: Any) -> None:
        """Raises _Unexpected when `holds(view)` does not become true."""
        with anyio.move_on_after(PATIENCE_S):
            while True:
                if holds(await page.evaluate(VIEW)):
                    return
                await anyio.sleep(0.1)
        raise _Unexpected(f"waited for {what} in vain")

    async def _judged(self, page: Any) -> None:
        """An engine's opinion of the position, where there is an engine and it has the time."""
        with anyio.move_on_after(JUDGED_S):
            await page.wait_for_selector("#evaluation:not([hidden])")

    # -- the states ------------------------------------------------------------------------------------------------

    async def _new_match(self, page: Any) -> None:
        await page.click("#new")
        await page.wait_for_selector(".pick select")
        await page.select_option("[data-side=white] select", "human")
        await self._shoot(page, "new-match")
        await page.keyboard.press("Escape")

    async def _a_match(self, page: Any) -> None:
        record = self.folder / "Paris 1858.pgn"
        record.write_text(RECORD, encoding="utf-8")
        await self._post(page, "/api/session/create", white=f"pgn:{record}", black=f"pgn:{record}")
        await self._post(page, "/api/session/start")
        await self._until(page, "the middle of the match", lambda view: len(view["moves"]) >= PICTURED_PLY)
        await self._post(page, "/api/session/pause")
        for name, size, path, scheme, scale in (
            ("playing", LAPTOP, "", "light", 1.0),
            ("dark", LAPTOP, "", "dark", 1.0),
            ("stage", HALL, "stage", "dark", 1.0),
            ("phone", PHONE, "", "light", 2.0),
        ):
            async with self._page(size, path, scheme=scheme, scale=scale) as other:
                await other.wait_for_selector("#link.live, .stage .square .piece")
                await self._judged(other)
                await self._post(page, "/api/session/resume")
                await self._until(page, "an arm above the board", lambda view: view["arms"]["leaseHolder"])
                await self._shoot(other, name)
            await self._post(page, "/api/session/pause")
        await self._post(page, "/api/session/resume")
        await self._until(page, "the end of the match", lambda view: view["session"]["status"] == "ended")

    async def _history(self) -> None:
        await anyio.sleep(1.5)  # the history is written once a second
        async with self._page(LAPTOP, "history") as past:
            await past.click("#games tr:last-child a")
            await past.wait_for_selector("#moves button")
            await past.click("#moves button >> nth=18")
            await self._shoot(past, "replay")
            for name in ("players", "reliability"):
                await past.click(f".tabs a[href='#{name}']")
                await past.wait_for_selector(f"#{name}-part tbody tr")
                await self._shoot(past, "leaderboard" if name == "players" else name)

    async def _a_person(self, page: Any) -> None:
        await self._person(lambda hand: hand.arrange(chess.Board().board_fen()))
        await self._post(page, "/api/table/refilled", confirmedBy="screenshots")
        await self._post(page, "/api/session/create", white="human", black="stockfish:elo=1350")
        await self._post(page, "/api/session/start")
        await page.wait_for_selector("[data-square=g1].movable")
        await self._judged(page)
        await page.click("[data-square=g1].movable")
        await self._shoot(page, "person-to-move")
        await page.keyboard.press("Escape")
        await self._person(lambda hand: hand.lift("d2"))
        await page.wait_for_selector("[data-square=d2].missing")
        await page.wait_for_selector(".trouble")
        await self._shoot(page, "trouble")
        await self._person(lambda hand: hand.place("d2"))
        await page.wait_for_selector("[data-square=d2]:not(.missing)")
        await page.click("#stop")
        await page.wait_for_selector(".trouble[data-code=arms-stopped]")
        await self._until(page, "a board at rest", lambda view: view["board"]["settled"])
        await self._shoot(page, "stopped")
        await self._post(page, "/api/arms/recover", confirmedBy="screenshots")
        await self._post(page, "/api/session/resign", color="w")
        await self._until(page, "the end by resignation", lambda view: view["session"]["status"] == "ended")

    async def _person(self, does: Any) -> None:
        async with ControlClient(str(self.served.devices.control)) as hand:
            await does(hand)
