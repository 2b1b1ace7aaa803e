"""The stream: patches lead to the view, a viewer that stalls harms nobody, and a page can tell that the link is lost."""

from __future__ import annotations

import random
from typing import Any

import anyio
import chess
import msgspec
import pytest

from edgechess_console.hub import FRAMES_KEPT, Hub, TooManyViewers
from edgechess_console.settings import Settings
from edgechess_console.stream import EventStream
from edgechess_kit.clock import VirtualClock
from edgechess_kit.messages import ArmState, ArmStatus, EdgeEvent, EdgeStatus, Message, SessionState

pytestmark = pytest.mark.anyio


def hub(**changes: Any) -> Hub:
    return Hub(Settings(**changes), VirtualClock(), "epoch")


def event(seq: int, kind: str = "asking", **data: Any) -> EdgeEvent:
    return EdgeEvent(component="match-director", kind=kind, seq=seq, at=float(seq), session_id="s", data=data)


def read(frame: bytes) -> tuple[str, dict[str, Any]]:
    head, data = frame.decode().strip().split("\n", 1)
    return head.removeprefix("event: "), msgspec.json.decode(data.removeprefix("data: "))


def applied(page: dict[str, Any], frame: bytes) -> dict[str, Any]:
    """As the page does it."""
    kind, told = read(frame)
    if kind == "view":
        return told
    assert kind == "patch"
    assert told["seq"] == page["seq"] + 1
    page = {**page, **told["set"], "seq": told["seq"], "at": told["at"]}
    for name, more in told["append"].items():
        page[name] = [*page[name], *more]
    page["events"] = page["events"][-200:]
    return page


def messages(dice: random.Random) -> list[Message]:
    """A game with everything that changes sections, in any order."""
    board = chess.Board()
    found: list[Message] = [event(1, "session-created", session_id="s", white="a", black="b", start_fen=board.fen())]
    for ply in range(1, 30):
        move = dice.choice(list(board.legal_moves))
        san = board.san(move)
        color = "w" if board.turn else "b"
        found.append(event(ply * 10, "asking", ply=ply, color=color, seat="answers", since=1.0, attempt=1))
        found.append(event(ply * 10 + 1, "move-chosen", ply=ply, lan=move.uci(), san=san, by="a", think_s=0.5))
        board.push(move)
        found.append(event(ply * 10 + 2, "confirmed", ply=ply, lan=move.uci(), san=san, fen=board.fen(), at=1.0))
        found.append(
            SessionState(status="running", session_id="s", fen=board.fen(), ply=ply, moves=(move.uci(),), seq=ply)
        )
        found.append(
            ArmState(arms=(ArmStatus(name="white", kind="dobot", mode="moving"),), at=float(ply), lease_token=ply)
        )
        found.append(EdgeStatus(component=f"c{ply % 3}", status="ready"))
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_patches_lead_to_the_view_whatever_came_and_however_often_it_was_sent(seed: int) -> None:
    dice = random.Random(seed)
    table = hub()
    page: dict[str, Any] = {}
    with table.viewer() as viewer:
        page = applied(page, await viewer.next())
        for message in messages(dice):
            table.hear(message)
            if dice.random() < 0.4:
                before = table.view.seq
                table.flush()
                if table.view.seq != before:
                    page = applied(page, await viewer.next())
        table.flush()
        with anyio.move_on_after(0.01):
            page = applied(page, await viewer.next())
    whole = msgspec.json.decode(msgspec.json.encode(table.view))
    assert {**page, "at": 0} == {**whole, "at": 0}
    assert len(page["moves"]) == 29


async def test_a_viewer_that_stalls_is_brought_back_by_a_whole_view_and_holds_nobody_up() -> None:
    table = hub()
    with table.viewer() as stalled, table.viewer() as reader:
        await stalled.next()
        await reader.next()
        for number in range(5 * FRAMES_KEPT):
            table.hear(event(number))
            table.flush()
            kind, told = read(await reader.next())
            assert (kind, told["seq"]) == ("patch", table.view.seq)
        kind, told = read(await stalled.next())
        assert (kind, told["seq"], stalled.resyncs, reader.resyncs) == ("view", table.view.seq, 1, 0)
        table.hear(event(9999))
        table.flush()
        assert read(await stalled.next())[0] == "patch"


async def test_the_first_page_is_told_that_there_is_no_bus_yet() -> None:
    table = hub()
    with table.viewer() as viewer:
        _, told = read(await viewer.next())
    assert [trouble["code"] for trouble in told["troubles"]] == ["bus-lost"]


async def test_no_more_may_watch_than_the_settings_say() -> None:
    table = hub(viewers=2)
    with table.viewer(), table.viewer(), pytest.raises(TooManyViewers), table.viewer():
        pass
    with table.viewer(), table.viewer(), table.viewer(operator=True):
        assert table.watched
    assert not table.watched


async def test_everybody_who_waits_for_a_page_is_told_of_the_first() -> None:
    one, told = hub(), []

    async def wait(name: str) -> None:
        await one.until_watched()
        told.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, "flushes")
            tasks.start_soon(wait, "engine")
            await anyio.wait_all_tasks_blocked()
            with one.viewer():
                await anyio.wait_all_tasks_blocked()
    assert sorted(told) == ["engine", "flushes"]


async def test_nothing_new_is_nothing_sent() -> None:
    table = hub()
    table.hear(EdgeStatus(component="a", status="ready"))
    table.flush()
    seq = table.view.seq
    table.hear(EdgeStatus(component="a", status="ready"))
    table.flush()
    assert table.view.seq == seq


async def test_a_page_that_takes_no_byte_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgechess_console.stream.STALL_S", 0.01)
    table = hub()
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        await EventStream(table, lambda: True)({"type": "http"}, receive, send)
    assert (sent, table.watched) == (["http.response.start", "http.response.body"], False)


async def test_a_page_that_goes_is_forgotten_and_one_whose_session_is_over_is_told() -> None:
    table = hub()
    bodies: list[bytes] = []
    gone = anyio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        bodies.append(message.get("body", b""))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(EventStream(table, lambda: True), {"type": "http"}, receive, send)
        await anyio.sleep(0.01)
        assert table.watched
        gone.set()
    assert not table.watched
    gone = anyio.Event()
    await EventStream(table, lambda: False)({"type": "http"}, receive, send)
    assert b"event: bye" in bodies[-1]
