"""The process around a component: exit codes, one clear line, signals. Real processes without a broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMPONENT = """
import sys, anyio, msgspec
from edgechess_kit.entry import run_component
from edgechess_kit.errors import SettingsError
from edgechess_kit.events import journal_event
from edgechess_kit.health import Health

class Settings(msgspec.Struct, frozen=True, kw_only=True):
    mode: str = "wait"
    timeout_s: float = 1.0

async def unfit():
    raise SettingsError("demo.mode: there is no calibration for it")

async def run(context):
    async with Health(context):
        await journal_event(context, "started", {"mode": context.settings.mode})
        if context.settings.mode == "end":
            return
        if context.settings.mode == "unfit":
            raise SettingsError("demo.mode: there is no calibration for it")
        if context.settings.mode == "unfit in a task":
            async with anyio.create_task_group() as group:
                group.start_soon(unfit)
                await anyio.sleep_forever()
        if context.settings.mode == "fail":
            context.journal.close()
            await journal_event(context, "never", {})
        print("ready", flush=True)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.3)  # parking the arm
                await journal_event(context, "parked", {})

sys.exit(run_component("demo", Settings, run))
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    file = tmp_path / "demo.py"
    file.write_text(COMPONENT)
    return [sys.executable, str(file), "--set", f"journal.path={tmp_path}/demo.journal"]


def run(program: list[str], *flags: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGECHESS_")}
    return subprocess.run([*program, *flags], capture_output=True, text=True, timeout=60, env=environment)


def kinds(folder: Path) -> list[str]:
    from edgechess_kit.clock import SystemClock
    from edgechess_kit.journal import SqliteJournal

    journal = SqliteJournal.read_only(folder / "demo.journal", SystemClock())
    try:
        return [entry.kind for entry in journal.entries()]
    finally:
        journal.close()


def test_it_ends_with_its_component(program: list[str], tmp_path: Path) -> None:
    assert run(program, "--set", "mode=end").returncode == 0
    assert kinds(tmp_path) == ["started"]


def test_help_lists_every_setting(program: list[str]) -> None:
    answer = run(program, "--help")
    assert answer.returncode == 0
    assert "demo.timeout_s: float [s], default 1.0" in answer.stdout
    assert "bus.broker: str, default 'mqtt://127.0.0.1:1883'" in answer.stdout
    assert "journal.path" in answer.stdout


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("timeout_s=soon", "demo: demo.timeout_s (from --set timeout_s): Expected `float`, got `str`"),
        ("nonsense", "demo: --set nonsense: expected key=value"),
        ("other.x=1", "demo: --set other.x=1: no section other; known are demo, bus, journal"),
        ("bus.broker=mqtt://example.com", "plain mqtt is for loopback only"),
        ("bus.broker=mqtts://127.0.0.1:1 ", "bus.broker"),
        ("journal.path=/proc/none/x", "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(program: list[str], flag: str, said: str) -> None:
    answer = run(program, "--set", flag)
    assert answer.returncode == 2
    assert len(answer.stderr.strip().split("\n")) == 1
    assert said in answer.stderr
    assert answer.stdout == ""


def test_an_unknown_flag_is_exit_2(program: list[str]) -> None:
    assert run(program, "--nonsense").returncode == 2


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("unfit", "demo: demo.mode: there is no calibration for it"),
        ("unfit in a task", "demo: demo.mode: there is no calibration for it"),
        ("fail", "demo: journal "),
    ],
)
def test_what_turns_out_to_be_unfit_while_it_runs_is_one_line_and_exit_2(
    program: list[str], tmp_path: Path, mode: str, said: str
) -> None:
    answer = run(program, "--set", f"mode={mode}", "--log-level", "ERROR")
    assert answer.returncode == 2
    assert len(answer.stderr.strip().split("\n")) == 1
    assert answer.stderr.startswith(said)
    assert kinds(tmp_path) == ["started"], "it is not tried again"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_park_and_a_second_one_does_not_hurry_it(
    program: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    child = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    assert child.stderr is not None
    while "stopping" not in child.stderr.readline():
        pass
    child.send_signal(number)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 0
    assert "already stopping" in errors
    assert "Traceback" not in errors
    assert kinds(tmp_path) == ["started", "parked"]


def test_settings_come_from_file_environment_and_flag(program: list[str], tmp_path: Path) -> None:
    config = tmp_path / "demo.toml"
    config.write_text(f'[demo]\nmode = "end"\n[journal]\npath = {json.dumps(str(tmp_path / "other.journal"))}\n')
    answer = subprocess.run(
        [*program[:2], "--config", str(config)], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert answer.returncode == 0
    assert (tmp_path / "other.journal").exists()
