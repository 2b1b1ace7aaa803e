"""The command in this process, with a home of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgechess_cli import bus_connection
from edgechess_cli.main import app

Edgechess = Callable[..., "Outcome"]


class Outcome:
    """Exit code and both outputs of one command line."""

    def __init__(self, words: tuple[str, ...]) -> None:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        self.code, self.out, self.err = result.exit_code, result.stdout, result.stderr


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def edgechess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edgechess:
    """`edgechess("play", "--white", "nobody").code`."""
    monkeypatch.setenv("EDGECHESS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.delenv("EDGECHESS_STOCKFISH", raising=False)

    def run(*words: str) -> Outcome:
        return Outcome(words)

    return run


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers, a command gives up at once instead of after seconds."""
    monkeypatch.setattr(bus_connection, "CONNECT_TIMEOUT_S", 0.2)
