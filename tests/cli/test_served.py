"""What is served ends in order at the first signal, and at once at the second or before it was ready."""

from __future__ import annotations

import os
import signal
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import typer

from edgechess_cli import served as module
from edgechess_cli.child_process import ComponentDied
from edgechess_cli.served import EXIT_FAILED, Served, Voice, serve

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


async def run(begin: list[str], told: list[str]) -> None:
    """`begin`: what happens before the signal; `told` becomes what was done."""
    served = Served()

    async def table() -> None:
        try:
            if "ready" in begin:
                served.ready()
            interrupt()
            await served.is_told()
            told.append("told")
            if "again" in begin:
                interrupt()
            if "park" in begin:
                await anyio.lowlevel.checkpoint()
            else:
                await anyio.sleep_forever()
            told.append("parked")
        finally:
            told.append("closed")

    with anyio.fail_after(10):
        await served.run(table)


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        (["ready", "park"], ["told", "parked", "closed"]),
        (["ready", "again"], ["told", "closed"]),
        ([], ["closed"]),
    ],
)
async def test_signals(begin: list[str], expected: list[str]) -> None:
    told: list[str] = []
    await run(begin, told)
    assert told == expected


async def test_what_ends_by_itself_is_ended_at_once_by_the_next_signal() -> None:
    served, told = Served(), []

    async def match() -> None:
        served.ready()
        served.end()
        await served.is_told()
        told.append("over")
        interrupt()
        await anyio.sleep_forever()

    with anyio.fail_after(10):
        await served.run(match)
    assert told == ["over"]


def test_what_cannot_be_served_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def fail(*_: object) -> None:
        async with anyio.create_task_group():
            raise ComponentDied("the console ended with code 1")

    with pytest.raises(typer.Exit) as ended:
        serve("console", fail)
    assert ended.value.exit_code == EXIT_FAILED
    assert capsys.readouterr().err == "edgechess console: the console ended with code 1\n"


def test_prose_has_no_place_among_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        voice = Voice(as_json)
        voice.say("starting")
        voice.where({"page": "http://here/"}, "the page: http://here/")
    assert capsys.readouterr().out == 'starting\nthe page: http://here/\n{"page": "http://here/"}\n'


async def test_arms_that_do_not_park_are_told_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> bool:
        return False

    monkeypatch.setattr(module, "park", refuse)
    await module.park_in_the_end(None)  # type: ignore[arg-type]
    assert capsys.readouterr().err == "the arms are not parked: look at them\n"
