"""A software table run from the page: a dropped piece, the stop, and a whole match, watched in a real Chromium."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgechess_twin.control import ControlClient

from .conftest import PATIENCE_MS, looking

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

MATCH_MS = 120_000  # seven plies and the arms' way home, on a busy machine
RECORD = """[Event "Scholar's mate"]
[Result "1-0"]

1. e4 e5 2. Bc4 Nc6 3. Qh5 Nf6 4. Qxf7# 1-0
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Where everything is, as `edgechess console --table --json` tells it."""
    state = tmp_path_factory.mktemp("table")
    command = [str(Path(sys.executable).with_name("edgechess")), "console", "--table", "--alone", "--json"]
    process = subprocess.Popen(
        [*command, "--speed", "100", "--seed", "5"],
        env={**os.environ, "EDGECHESS_STATE": str(state)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            try:
                process.wait(60.0)
            except subprocess.TimeoutExpired:
                process.kill()


async def begun(page: Any, white: str, black: str, free: str = "", *, setup: bool = False) -> None:
    """A new match, by its form. A director that answers late on a busy machine closes it all the same."""
    await page.click("#new")
    for side, name in (("white", white), ("black", black)):
        await page.select_option(f"[data-side={side}] select", name)
        if free:
            await page.fill(f"[data-side={side}] [data-free]", free)
    if setup:
        await page.check("#new-form [name=setup]")
    await page.click("#new-form [type=submit]")
    await page.wait_for_selector("#new-match", state="hidden", timeout=MATCH_MS)


async def recovered(page: Any) -> None:
    await page.wait_for_selector(".trouble[data-code=arms-stopped]")
    await page.get_by_role("button", name="The arms may move again").first.click()
    await page.fill("#ask [name=who]", "Ada")
    await page.press("#ask [name=who]", "Enter")
    await page.wait_for_selector(".trouble[data-code=arms-stopped]", state="detached")


async def test_a_table_is_run_from_the_page(browser: Any, table: dict[str, Any], tmp_path: Path) -> None:
    async with looking(browser, table["page"]) as page, ControlClient(table["control"]) as hand:
        await begun(page, "human", "human")
        await page.wait_for_selector("[data-square=e2].movable")

        # a dropped piece is named, shown on its square, and forgotten once it stands again
        await hand.lift("d2")
        await page.wait_for_selector("[data-square=d2].missing")
        told = page.locator(".trouble", has_text="d2")
        await told.wait_for()
        assert "white pawn" in await told.text_content()
        await hand.place("d2")
        await page.wait_for_selector("[data-square=d2]:not(.missing)")
        await told.wait_for(state="detached")

        # stopped by mouse and by key; nothing moves before a person has said so by name
        await page.click("#stop")
        await recovered(page)
        await page.keyboard.press("F9")
        await recovered(page)

        await page.click("#resign")
        await page.click("#ask >> text=White")
        await page.wait_for_selector("#next:not([hidden])")

        # a whole match from its first move to its end
        record = tmp_path / "mate.pgn"
        record.write_text(RECORD, encoding="utf-8")
        await begun(page, "pgn", "pgn", str(record))
        await page.wait_for_selector("#moves button:has-text('Qxf7')", timeout=MATCH_MS)
        await page.get_by_role("status").filter(has_text="1-0 checkmate").wait_for(timeout=PATIENCE_MS)
        assert await page.locator("#moves button").all_inner_texts() == [
            "e4",
            "e5",
            "Bc4",
            "Nc6",
            "Qh5",
            "Nf6",
            "Qxf7#",
        ]
        assert await page.get_attribute("[data-square=f7]", "aria-label") == "f7, white queen"
        assert await page.locator("#black .captured .piece").count() == 0
        assert await page.locator("#white .captured .piece").count() == 1

        # the arms set the table up for another one, which both agree is a draw, and so does the next
        await begun(page, "human", "human", setup=True)
        await page.wait_for_selector("#events >> text=the arms have set the table up", timeout=MATCH_MS)
        await page.wait_for_selector("[data-square=e2].movable", timeout=MATCH_MS)
        await page.click("#draw")
        await page.click("#ask >> text=White offers")
        await page.wait_for_selector("#white .doing:has-text('offers a draw')")
        await page.click("#draw")
        await page.click("#ask >> text=Black accepts")
        await page.get_by_role("status").filter(has_text="1/2-1/2 agreement").wait_for()
        await page.click("#next")
        await page.wait_for_selector("[data-square=e2].movable", timeout=MATCH_MS)

        # the table is set up under a match, which that ends
        await page.click("#more")
        await page.click("[data-act=setup]")
        await page.click("#ask >> text=End it and set up")
        await page.wait_for_selector("#events >> text=the table is set up", timeout=MATCH_MS)
