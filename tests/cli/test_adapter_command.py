"""`edgechess adapter` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

np = pytest.importorskip("numpy")

from edgechess_cli.adapter_command import app  # noqa: E402
from edgechess_inference.policy.architecture import Architecture, weights_of  # noqa: E402
from edgechess_inference.policy.checkpoint import pack_policy  # noqa: E402
from edgechess_inference.weights.safetensors_file import header_bytes  # noqa: E402

SMALL = Architecture(trunk="residual", width=8, blocks=1)
RUNNER = CliRunner()


def base(folder: Path, seed: int) -> Path:
    draw = np.random.default_rng(seed)
    weights = {name: draw.normal(size=shape).astype(np.float32) for name, shape in weights_of(SMALL).items()}
    pack_policy(folder / f"base-{seed}.json", SMALL, weights)
    return folder / f"base-{seed}.json"


@pytest.fixture
def peft(tmp_path: Path) -> Path:
    folder = tmp_path / "peft"
    folder.mkdir()
    rows = [("policy_head.key.lora_A.weight", "F32", (2, 8)), ("policy_head.key.lora_B.weight", "F32", (32, 2))]
    (folder / "adapter_model.safetensors").write_bytes(header_bytes(rows, {}) + bytes(4 * (16 + 64)))
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 4, "r": 2}))
    return folder


def run(*words: Any) -> Any:
    return RUNNER.invoke(app, [str(word) for word in words])


def test_packed_inspected_and_held_against_a_base(peft: Path, tmp_path: Path) -> None:
    one, two = base(tmp_path, 1), base(tmp_path, 2)
    packed = run("pack", peft, tmp_path / "style.json", "--base", one, "--licence", "MIT")
    assert packed.exit_code == 0, packed.output
    assert "rank 2, 1 layers" in packed.output
    shown = run("inspect", tmp_path / "style.json", "--base", one)
    assert shown.exit_code == 0
    assert "policy_head.key" in shown.output
    assert "fits this base" in shown.output
    other = run("inspect", tmp_path / "style.json", "--base", two, "--json")
    assert other.exit_code == 1
    assert json.loads(other.output)["fits"] is False


def test_mistakes_are_one_line_and_exit_code_two(peft: Path, tmp_path: Path) -> None:
    one = base(tmp_path, 1)
    for words, named in (
        (("pack", peft, tmp_path / "style", "--base", one), "STORE/NAME.json"),
        (("pack", tmp_path / "none", tmp_path / "style.json", "--base", one), "adapter_config.json"),
        (("pack", peft, tmp_path / "style.json", "--base", tmp_path / "absent.json"), "absent.json"),
        (("inspect", one), "not an adapter"),
    ):
        result = run(*words)
        assert result.exit_code == 2
        assert named in result.output
        assert result.output.count("\n") == 1
