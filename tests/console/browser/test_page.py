"""The page in a real Chromium, over a console whose bus the test speaks on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import chess
import pytest

from edgechess_kit.messages import ArmState, ArmStatus, EdgeEvent, SessionState, SquareDifference

from .conftest import PATIENCE_MS, Rig, looking, rigged, until, wired

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

CASTLING = "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1"
KNOCKED = "rnbqkbnr/pppppppp/8/8/4p3/8/PPPP1PPP/RNBQKBNR"
WRONG = (SquareDifference(square="e2", expected="P"), SquareDifference(square="e4", found="p"))
PROMOTION = "8/P6k/8/8/8/8/7K/8 w - - 0 1"
MENACE = "<img src=x onerror=alert(1)>"
OPERATOR, VIEWER = "operator-token-0123456789", "viewer-token-0123456789"
WEIGHT_LIMIT = 500_000
LOST_WITHIN_MS = 3000
SIZES = [(390, 844), (1440, 900), (3840, 2160)]


async def entered(rig: Rig, count: int) -> list[str]:
    await rig.said(count)
    return rig.entered


async def middle(page: Any, square: str) -> tuple[float, float]:
    box = await page.locator(f"[data-square={square}]").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


async def drag(page: Any, origin: str, target: str) -> None:
    await page.mouse.move(*await middle(page, origin))
    await page.mouse.down()
    await page.mouse.move(*await middle(page, target), steps=4)
    await page.mouse.up()


async def test_a_person_moves_by_drag_by_click_and_by_key(browser: Any, rig: Rig) -> None:
    await rig.person_to_move("hands")
    async with looking(browser, rig.address) as page:
        await page.wait_for_selector("[data-square=e2].movable")
        assert await page.get_attribute("[data-square=g1]", "aria-label") == "g1, white knight"
        await drag(page, "e2", "e4")
        assert await entered(rig, 1) == ["e2e4"]
        await drag(page, "e2", "e5")  # not legal: nothing is sent, the piece is where it was
        await page.click("[data-square=g1]")
        await page.wait_for_selector("[data-square=f3].target")
        await page.click("[data-square=f3]")
        assert await entered(rig, 2) == ["e2e4", "g1f3"]
        await page.focus("[data-square=d2]")
        for key in ("Enter", "ArrowUp", "ArrowUp", "Enter"):
            await page.keyboard.press(key)
        assert await entered(rig, 3) == ["e2e4", "g1f3", "d2d4"]


async def test_castling_and_the_choice_of_a_promotion(browser: Any, rig: Rig) -> None:
    await rig.person_to_move("castling", CASTLING)
    async with looking(browser, rig.address) as page:
        await page.wait_for_selector("[data-square=e1].movable")
        await drag(page, "e1", "g1")
        assert await entered(rig, 1) == ["e1g1"]
        await rig.person_to_move("promotion", PROMOTION)
        await page.wait_for_selector("[data-square=a7].movable")
        await drag(page, "a7", "a8")
        await page.get_by_role("button", name="white knight").click()
        assert await entered(rig, 1) == ["a7a8n"]
        await page.focus("[data-square=a7]")
        for key in ("Enter", "ArrowUp", "Enter", "Enter"):  # the last one takes the queen, which is offered first
            await page.keyboard.press(key)
        assert await entered(rig, 2) == ["a7a8n", "a7a8q"]


async def test_what_the_board_feels_is_drawn_over_what_is_expected(browser: Any, rig: Rig) -> None:
    await rig.person_to_move("felt")
    async with looking(browser, rig.address) as page:
        await page.wait_for_selector("[data-square=e2].movable")
        await rig.board(KNOCKED, *WRONG)
        await page.wait_for_selector("[data-square=e2].missing")
        await page.wait_for_selector("[data-square=e4].extra")
        assert await page.text_content("[data-square=e2] .sign") == "?"
        assert await page.text_content("[data-square=e4] .sign") == "×"
        assert await page.get_attribute("[data-square=e4]", "aria-label") == "e4, empty; the board feels black pawn"
        await rig.board(chess.STARTING_FEN)
        await page.wait_for_selector("[data-square=e2]:not(.missing)")
        await page.wait_for_selector("[data-square=e4]:not(.extra)")


async def test_a_script_in_a_name_is_text_and_nothing_is_asked_of_others(browser: Any, rig: Rig) -> None:
    await rig.person_to_move("names", white=MENACE, black=MENACE * 40)
    await rig.event("player-failed", "names", color="w", reason=MENACE, san=MENACE)
    async with looking(browser, rig.address) as page:
        await until(page, "document.querySelector('#white .name').title.startsWith('<img')")
        assert "<img" in await page.text_content("#white .name")
        assert await page.locator("main img").count() == 0
        assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        for path in ("stage", "history", "login"):
            await page.goto(rig.address + path)
            await page.wait_for_load_state("load")
            assert await page.evaluate("window.violations") == []


async def test_a_draw_is_offered_and_taken_and_the_next_match_follows_the_one_that_is_seen(
    browser: Any, rig: Rig
) -> None:
    await rig.person_to_move("drawn")
    async with looking(browser, rig.address) as page:
        await page.click("#draw")
        await page.click("#ask >> text=White offers")
        offer = await rig.said(1)
        assert (offer.command, offer.color, offer.session_id) == ("draw", "w", "drawn")
        await rig.event("draw-offered", "drawn", color="w")
        await page.wait_for_selector("#white .doing:has-text('offers a draw')")
        await page.click("#draw")
        assert await page.locator("#ask button").all_inner_texts() == ["Black accepts", "Cancel"]
        await page.click("#ask >> text=Black accepts")
        assert (await rig.said(2)).color == "b"
        await rig.event("summary", "drawn", result="1/2-1/2", termination="agreement")
        await page.click("#next")
        following = await rig.said(3)
        assert (following.command, following.setup, following.white) == ("next", True, "human")


async def test_what_was_asked_of_one_match_is_not_said_of_the_next(browser: Any, rig: Rig) -> None:
    await rig.person_to_move("first")
    async with looking(browser, rig.address) as page:
        await page.click("#resign")
        await rig.person_to_move("second")
        await until(page, "document.querySelector('#moves').dataset.key.startsWith('second/')")
        await page.click("#ask >> text=White")
        resigned = await rig.said(1)
        assert (resigned.command, resigned.session_id) == ("resign", "first"), "the director refuses that"


async def test_a_table_that_is_not_set_up_offers_the_arms(browser: Any, rig: Rig) -> None:
    await rig.say(rig.topics.session_state, SessionState(status="idle"))
    await rig.created("unset", CASTLING)
    await rig.say(rig.topics.arm_state, ArmState(arms=(ArmStatus(name="white", kind="dobot", mode="parked"),), at=1.0))
    await rig.board(chess.STARTING_FEN)
    rig.requests.clear()
    async with looking(browser, rig.address) as page:
        await page.click(".trouble[data-code=set-up] >> text=Let the arms set up")
        with anyio.fail_after(PATIENCE_MS / 1000):
            while not rig.requests:  # noqa: ASYNC110 - a list that another task fills
                await anyio.sleep(0.02)
        assert (rig.requests[0].action, rig.requests[0].before) == ("setup", CASTLING)
        await page.wait_for_selector("#answer:has-text('the arms set the table up')")
        await rig.board(CASTLING)
        await page.wait_for_selector(".trouble[data-code=set-up]", state="detached")


async def test_ten_thousand_events_in_a_burst_leave_a_page_that_answers(browser: Any, rig: Rig) -> None:
    await rig.person_to_move("burst")
    async with looking(browser, rig.address) as page:
        await page.wait_for_selector("[data-square=e2].movable")
        topic = rig.topics.events
        for number in range(10_000):
            event = EdgeEvent(component="match-director", kind="confirmed", seq=number, at=100.0, data={"san": MENACE})
            rig.broker.inject("foreign", topic.name, topic.encode(event))
        await rig.event("player-failed", "burst", color="w", player="human", reason="the last of them")
        await page.wait_for_selector("#events >> text=the last of them")
        assert await page.locator("#events li").count() <= 200
        await drag(page, "e2", "e4")
        assert await entered(rig, 1) == ["e2e4"]
        assert await page.text_content("#link .word") == "live"


async def test_two_operators_see_what_either_does_and_a_page_that_is_loaded_again_sees_the_move(
    browser: Any, rig: Rig
) -> None:
    await rig.person_to_move("two")
    async with looking(browser, rig.address) as one, looking(browser, rig.address) as other:
        await one.click("#pause")
        await rig.said(1)
        await rig.event("paused", "two")
        for page in (one, other):
            await page.wait_for_selector("#resume:not([hidden])")
        await other.click("#resume")
        await rig.said(2)
        await rig.event("resumed", "two")
        await one.wait_for_selector("#pause:not([hidden])")
        playing = SessionState(
            status="running", session_id="two", start_fen=chess.STARTING_FEN, fen=chess.STARTING_FEN, phase="arm",
            expecting="arm", lan="e2e4",
        )  # fmt: skip
        await rig.say(rig.topics.session_state, playing)
        for page in (one, other):
            await page.wait_for_selector("#situation:has-text('White plays e4')")
        await one.reload()
        await one.wait_for_selector("#situation:has-text('White plays e4')")
        assert await one.locator(".arrows path").count() == 1
        assert await one.locator(".movable").count() == 0


async def test_the_page_is_light(browser: Any, rig: Rig) -> None:
    await rig.person_to_move("weight")
    async with looking(browser, rig.address) as page:
        await page.wait_for_selector("[data-square=e2].movable")
        weight = await page.evaluate("""performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
            .reduce((sum, one) => sum + one.encodedBodySize, 0)""")
        assert 20_000 < weight < WEIGHT_LIMIT


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_overflows_or_overlaps(browser: Any, rig: Rig, scheme: str) -> None:
    await rig.person_to_move("layout", white="pgn:/a/very/long/path/" + "x" * 90 + ".pgn", black="W" * 200)
    await rig.board(KNOCKED, *WRONG)
    async with looking(browser, rig.address, color_scheme=scheme) as page:
        for size in SIZES:
            await page.set_viewport_size({"width": size[0], "height": size[1]})
            for path in ("", "stage"):
                await page.goto(rig.address + path)
                await page.wait_for_selector("[data-square=e2].missing")
                assert await page.evaluate(FAULTS_OF_LAYOUT) == [], (size, path)


FAULTS_OF_LAYOUT = """() => {
  const faults = [];
  if (document.documentElement.scrollWidth > window.innerWidth) faults.push(`scrolls sideways: ${document.documentElement.scrollWidth}`);
  const box = (node) => node.getBoundingClientRect();
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const inside = ["#board", "#white", "#black", ".side .card:not([hidden])", ".people > *"].flatMap((name) => [...document.querySelectorAll(name)]);
  for (const node of inside) if (box(node).right > window.innerWidth + 1 || box(node).left < -1) faults.push(`outside: ${node.id || node.className}`);
  const apart = inside.filter((node) => !node.closest(".panels") || getComputedStyle(document.querySelector(".panels")).overflowY !== "auto");
  apart.forEach((a, index) => apart.slice(index + 1).forEach((b) => { if (!a.contains(b) && !b.contains(a) && over(box(a), box(b))) faults.push(`${a.id || a.className} over ${b.id || b.className}`); }));
  const stop = document.querySelector("#stop");
  if (stop) {
    const at = box(stop);
    if (at.top < 0 || at.bottom > window.innerHeight + 1 || at.right > window.innerWidth) faults.push("the stop is out of sight");
    if (document.elementFromPoint((at.left + at.right) / 2, (at.top + at.bottom) / 2) !== stop) faults.push("the stop is covered");
    if (document.querySelector("#board").getBoundingClientRect().width < Math.min(window.innerWidth * 0.9, window.innerHeight * 0.7)) faults.push("the board is small");
  }
  return faults;
}"""


async def test_a_link_that_hangs_is_said_within_three_seconds_and_comes_back(browser: Any, rig: Rig) -> None:
    await rig.person_to_move("link")
    async with wired(rig.address) as wire, looking(browser, f"http://127.0.0.1:{wire.port}/") as page:
        await page.wait_for_selector("#link.live")
        await page.evaluate("""() => {
          const beats = new EventSource('/api/stream');
          for (const kind of ['beat', 'patch', 'view']) beats.addEventListener(kind, () => { window.heard = performance.now(); });
          new MutationObserver(() => { if (!document.querySelector('#lost').hidden) window.lostAfter ??= performance.now() - window.heard; })
            .observe(document.querySelector('#lost'), { attributes: true });
        }""")
        await until(page, "window.heard > 0")
        wire.hold()
        await page.wait_for_selector("#lost:not([hidden])")
        assert await page.evaluate("window.lostAfter") <= LOST_WITHIN_MS
        assert await page.is_disabled("#more")
        wire.release()
        await page.wait_for_selector("#lost", state="hidden")
        await page.wait_for_selector("#link.live")


async def test_a_viewer_sees_all_and_can_do_nothing(browser: Any, tmp_path: Path) -> None:
    for name, token in (("operator", OPERATOR), ("viewer", VIEWER)):
        (tmp_path / name).write_text(token + "\n", encoding="utf-8")
    tokens = {"operator_token_file": str(tmp_path / "operator"), "viewer_token_file": str(tmp_path / "viewer")}
    async with rigged(tmp_path, **tokens) as rig, looking(browser, rig.address) as page:
        await rig.person_to_move("watched")
        await page.fill("#token", "no such token")
        await page.press("#token", "Enter")
        await page.wait_for_selector("#failed:not([hidden])")
        await page.fill("#token", VIEWER)
        await page.press("#token", "Enter")
        await page.wait_for_selector("[data-square=e2] .piece")
        await page.wait_for_selector("#logout:not([hidden])")
        assert await page.is_hidden("#controls")
        assert await page.is_hidden("#stop")
        assert await page.locator(".movable").count() == 0
        await page.keyboard.press("F9")
        status = await page.evaluate("""async () => {
          const me = await (await fetch('/api/me')).json();
          const asked = await Promise.all(['/api/stop', '/api/session/pause', '/api/arms/recover'].map((path) =>
            fetch(path, { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json', 'X-Edgechess-Csrf': me.csrf } })));
          return asked.map((answer) => answer.status);
        }""")
        assert status == [403, 403, 403]
        assert (rig.stops, rig.entered) == ([], [])
