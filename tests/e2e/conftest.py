"""Whole processes as a user starts them: the command, its children, a broker, a pseudo-terminal, sockets.

Nothing here is tight: a deadline that a busy machine misses proves nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings

ROOT = Path(__file__).resolve().parents[2]
SHOWCASE = ROOT.parent / "shared" / "data" / "showcase"
LIMIT_S = 300.0  # of one command, and of whatever is waited for: starting all components alone took 90 s on a machine ten times overloaded
CONNECT_S = 60.0


class Command:
    """The `edgechess` command with its matches in a folder of the test's own."""

    def __init__(self, state: Path) -> None:
        # sockets are not in pytest's folder: the path of a Unix socket has room for 107 bytes
        runtime = tempfile.mkdtemp(prefix="edgechess-")
        weakref.finalize(self, shutil.rmtree, runtime, ignore_errors=True)
        self.environment = os.environ | {"EDGECHESS_STATE": str(state), "XDG_RUNTIME_DIR": runtime}

    def line(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "edgechess_cli.main", *words]

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.line(*words), env=self.environment | environment, capture_output=True, text=True,
            timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    @contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """A running command; it is told to end and waited for when the block is left."""
        process = subprocess.Popen(
            self.line(*words), env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(60.0)
                    except subprocess.TimeoutExpired:
                        process.kill()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def edgechess(tmp_path: Path) -> Command:
    return Command(tmp_path)


def events(output: str) -> list[dict[str, Any]]:
    """Every line of `--json` is one JSON object, and nothing else is there."""
    return [json.loads(line) for line in output.splitlines()]


def moves_made(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the director saw confirmed."""
    return [line for line in lines if line["event"] == "confirmed" and line.get("component") == "match-director"]


@asynccontextmanager
async def connected(broker: str, name: str) -> AsyncIterator[MqttBus]:
    async with MqttBus(BusSettings(broker=broker), name) as bus:
        with anyio.fail_after(CONNECT_S):
            while not bus.connected:  # noqa: ASYNC110 - the bus port tells a state, not an event
                await anyio.sleep(0.02)
        yield bus
