"""The director as a process of its own: what it cannot work with is one line and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from edgechess_kit.broker import running_broker

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("key", "word", "said"),
    [
        ("white", "nobody", "match-director: white: nobody: there is no player 'nobody'"),
        ("black", "stockfish:elo=soon", "match-director: black: stockfish: elo=soon is not a whole number"),
    ],
)
async def test_a_word_that_names_no_player_ends_it_at_once(tmp_path: Path, key: str, word: str, said: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGECHESS_")}
    async with running_broker() as url:
        flags = [f"bus.broker={url}", f"journal.path={tmp_path}/d.journal", "autostart=true", f"{key}={word}"]
        command = [sys.executable, "-m", "edgechess_match_director", "--log-level", "ERROR"]
        for flag in flags:
            command += ["--set", flag]
        with anyio.fail_after(60):
            answer = await anyio.run_process(command, check=False, stderr=subprocess.PIPE, env=environment)
    lines = answer.stderr.decode().strip().split("\n")
    assert (answer.returncode, len(lines)) == (2, 1), lines
    assert lines[0].startswith(said)
