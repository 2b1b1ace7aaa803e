"""A component as a child: restarted, given up, stopped in time, and never left behind."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from edgechess_cli import child_process
from edgechess_cli.child_process import ChildProcess, ComponentDied

pytestmark = pytest.mark.anyio

PATIENT_S = 60.0  # interpreters start slowly on a busy machine
WAITS = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"
ENDS_WITH_US = "import sys; print('up', flush=True); sys.stdin.read(); print('alone', flush=True)"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "RESTART_AFTER_S", 0.01)
    monkeypatch.setattr(child_process, "STOP_TIMEOUT_S", 0.2)


def child(tmp_path: Path, program: str) -> ChildProcess:
    return ChildProcess("cook", ["-c", program], tmp_path / "cook.log")


async def said(one: ChildProcess, text: str, times: int = 1) -> None:
    with anyio.fail_after(PATIENT_S):
        while not one.log.exists() or one.log.read_text().count(text) < times:  # noqa: ASYNC110 - a file tells nobody
            await anyio.sleep(0.01)


async def test_what_is_killed_is_started_again(tmp_path: Path) -> None:
    one = child(tmp_path, WAITS)
    async with anyio.create_task_group() as tasks:
        await tasks.start(one.run)
        await said(one, "up")
        assert one.process is not None
        first = one.process.pid
        one.kill()
        await said(one, "up", times=2)
        assert one.restarts == 1
        assert one.process.pid != first
        tasks.cancel_scope.cancel()
    last: Process | None = one.process
    assert last is not None
    assert last.returncode is not None


async def test_what_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    one = child(tmp_path, "raise SystemExit('no flour')")
    with pytest.raises(ComponentDied, match=r"(?s)cook ended with code 1:.*no flour"):
        await one.run()
    assert one.log.read_text().count("no flour") == child_process.RESTARTS_IN_A_ROW


async def test_wrong_settings_are_not_tried_again(tmp_path: Path) -> None:
    one = child(tmp_path, "import sys; print('bad key', file=sys.stderr); sys.exit(2)")
    with pytest.raises(ComponentDied, match=r"(?s)code 2:.*bad key"):
        await one.run()
    assert one.log.read_text().count("bad key") == 1


async def test_a_long_life_forgives_earlier_deaths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "HEALTHY_AFTER_S", 0.0)
    one = child(tmp_path, "print('up', flush=True)")
    async with anyio.create_task_group() as tasks:
        await tasks.start(one.run)
        await said(one, "up", times=child_process.RESTARTS_IN_A_ROW + 2)
        tasks.cancel_scope.cancel()


async def test_whoever_does_not_hear_is_killed(tmp_path: Path) -> None:
    one = child(tmp_path, DEAF)
    async with anyio.create_task_group() as tasks:
        await tasks.start(one.run)
        await said(one, "up")
        tasks.cancel_scope.cancel()
    assert one.process is not None
    assert one.process.returncode == -9


async def test_its_standard_input_stays_open_while_we_live(tmp_path: Path) -> None:
    one = child(tmp_path, ENDS_WITH_US)
    async with anyio.create_task_group() as tasks:
        await tasks.start(one.run)
        await said(one, "up")
        assert one.process is not None
        assert one.process.returncode is None
        assert one.process.stdin is not None
        await one.process.stdin.aclose()
        await said(one, "alone")
        tasks.cancel_scope.cancel()
