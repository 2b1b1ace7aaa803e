"""Scripted engines: small Python programs that speak UCI and misbehave as they are told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgechess_inference.stockfish import find_stockfish

ENGINE = """#!{python} -IS
import sys, time
fault = {fault!r}
count = {count!r}
try:
    starts = int(open(count).read())
except OSError:
    starts = 0
open(count, "w").write(str(starts + 1))
board = []
for line in sys.stdin:
    words = line.split()
    if not words:
        continue
    if words[0] == "uci":
        if fault == "mute":
            time.sleep(3600)
        if fault == "garbage":
            print("\\x00\\xff hello, I speak xboard")
            sys.exit(3)
        print("id name Scripted 1")
        print("option name UCI_LimitStrength type check default false")
        print("option name UCI_Elo type spin default 1500 min 1234 max 2345")
        print("option name Threads type spin default 1 min 1 max 4")
        if fault == "many lines":
            print("option name MultiPV type spin default 1 min 1 max 9")
        print("uciok")
    elif words[0] == "isready":
        print("readyok")
    elif words[0] == "go":
        if fault == "dies" or (fault == "dies once" and starts == 0):
            sys.exit(1)
        if fault == "hangs" or (fault == "hangs once" and starts == 0):
            time.sleep(3600)
        if fault == "illegal":
            print("bestmove e2e5")
        elif fault == "null":
            print("bestmove 0000")
        elif fault == "none":
            print("bestmove (none)")
        elif fault == "rubbish":
            print("bestmove hello")
        elif fault == "many lines":
            for number, (score, move) in enumerate([(30, "e2e4"), (25, "d2d4"), (-400, "g2g4")], 1):
                print(f"info depth 1 multipv {{number}} score cp {{score}} nodes 1 pv {{move}}")
            print("bestmove e2e4")
        else:
            print("info depth 1 score cp 10 nodes 1 pv e2e4")
            print("bestmove e2e4")
    elif words[0] == "quit":
        if fault == "stays":
            time.sleep(3600)
        sys.exit(0)
    sys.stdout.flush()
"""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts an engine with this fault where `stockfish` is looked for; returns the file that counts its starts."""

    def install(fault: str) -> Path:
        path, count = tmp_path / "engine", tmp_path / "starts"
        path.write_text(ENGINE.format(python=sys.executable, fault=fault, count=str(count)))
        path.chmod(0o755)
        monkeypatch.setenv("EDGECHESS_STOCKFISH", str(path))
        return count

    return install


@pytest.fixture
def real_stockfish(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("EDGECHESS_STOCKFISH", raising=False)
    path = find_stockfish()
    if path is None:
        pytest.skip("Stockfish is not installed")
    return path
