"""The person's hand on the command line: what each word asks of the running table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgechess_cli import twin_command


class Recorder:
    """Stands where the client of the control socket stands."""

    asked: list[tuple[str, tuple[Any, ...]]] = []

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    async def __aenter__(self) -> Recorder:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        async def ask(*given: Any) -> None:
            self.asked.append((name, given))

        return ask


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("estop", "white"), ("press_estop", ("white",))),
        (("release", "black"), ("release_estop", ("black",))),
        (("take", "black"), ("take_from", ("black",))),
        (("slide", "e2", "e4"), ("slide", ("e2", "e4"))),
        (("guide", "white", "a1"), ("guide", ("white", (-192.5, -192.5, 0.0)))),
    ],
)
def test_a_word_is_an_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], asked: tuple[str, tuple[str, ...]]
) -> None:
    monkeypatch.setattr(twin_command, "ControlClient", Recorder)
    monkeypatch.setattr(Recorder, "asked", [])
    result = CliRunner().invoke(twin_command.app, ["hand", *words, "--control", str(tmp_path / "control.sock")])
    assert result.exit_code == 0, result.output
    assert Recorder.asked == [asked]


def test_a_square_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(twin_command, "ControlClient", Recorder)
    result = CliRunner().invoke(
        twin_command.app, ["hand", "guide", "white", "i9", "--control", str(tmp_path / "control.sock")]
    )
    assert result.exit_code == 2
    assert "i9" in result.output
    assert len(result.output.strip().splitlines()) == 1
