"""`edgechess train policy|style` as a user meets them: whole in small, and every mistake one line."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from edgechess_cli.train_command import app  # noqa: E402
from edgechess_cli.train_options import stopping  # noqa: E402

SMALL = ["--preset", "tiny", "--positions", "192", "--device", "cpu", "--threads", "1"]


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, ["policy", *words])
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def test_a_run_from_data_to_a_packed_model(tmp_path: Path, dataset: Path) -> None:
    out, store = tmp_path / "run", tmp_path / "store" / "tiny.json"
    result = CliRunner().invoke(
        app, ["policy", "--data", str(dataset), "--out", str(out), *SMALL, "--pack", str(store)]
    )
    assert result.exit_code == 0, result.output
    assert "192 positions" in result.output
    assert "top-1" in result.output
    assert store.exists()
    assert "is done" in refused("--out", str(out), "--resume")
    assert "holds a run already" in refused("--data", str(dataset), "--out", str(out), *SMALL)


def test_mistakes_are_one_line(tmp_path: Path, dataset: Path) -> None:
    out = str(tmp_path / "run")
    data = ["--data", str(dataset), "--out", out]
    assert "there are tiny, cpu, gpu" in refused(*data, "--preset", "huge")
    assert "--data" in refused("--out", out)
    assert "edgechess dataset build" in refused("--data", str(tmp_path), "--out", out)
    assert "FOLDER:SHARE" in refused(*data, "--mix", "puzzles")
    assert "add --resume" in refused(*data, "--decay-from-here", "100")
    assert "leave out seed" in refused("--out", out, "--resume", "--seed", "3")
    assert "is no run" in refused("--out", out, "--resume")
    assert "no device 'tpu'" in refused(*data, "--device", "tpu")
    assert "STORE/NAME.json" in refused(*data, "--pack", str(tmp_path / "model"))
    assert "nowhere.json" in refused(*data, "--init", str(tmp_path / "nowhere.json"))
    assert not (tmp_path / "run").exists()


def test_without_torch_the_extra_is_named(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    text = refused("--data", str(dataset), "--out", str(tmp_path / "run"))
    assert "pip install 'edgechess-training[torch]'" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_is_asked_for_once_and_then_ends_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT)
    with stopping() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_styles_name_their_mistakes(tmp_path: Path) -> None:
    for name in ("One.pgn", "Two.pgn"):
        (tmp_path / name).write_text('[White "A"]\n\n1. e4 *\n')
    files = [str(tmp_path), "--out", str(tmp_path / "styles"), "--device", "cpu"]
    for words, text in (
        (["--player", "Tal"], "--player goes with one file of games, not 2"),
        (["--only", "Three"], "no file of games is named 'Three'; there are one, two"),
        (["--base", str(tmp_path / "no.json")], "no.json"),
    ):
        result = CliRunner().invoke(app, ["style", *files, *words])
        assert result.exit_code == 2
        assert text in result.output
