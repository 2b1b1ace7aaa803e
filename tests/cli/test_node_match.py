"""`edgechess play --node`: words and weights of a match as a node gets them; and commands to a node that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgechess_cli.match_options import MatchOptions
from edgechess_cli.node_control import absolute, model_line
from edgechess_cli.node_match import with_node
from edgechess_inference.errors import PlayerWordError
from edgechess_kit.messages import ModelState


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for name in ("tiny.json", "lora.json", "other/tiny.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    return tmp_path


def test_models_become_names_and_the_node_learns_their_addresses(store: Path) -> None:
    match = with_node(MatchOptions(f"model:{store}/tiny.json@{store}/lora.json:temperature=1", "random"))
    assert (match.white, match.black) == ("model:tiny@lora:temperature=1", "random")
    assert match.node_players == ("model",)
    assert match.node == {"models": (f"tiny={store}/tiny.json",), "adapters": (f"lora={store}/lora.json",)}


def test_two_weights_of_one_name_are_refused_and_the_same_twice_is_fine(store: Path) -> None:
    with pytest.raises(PlayerWordError, match="two different weights are called 'tiny'"):
        with_node(MatchOptions(f"model:{store}/tiny.json", f"model:{store}/other/tiny.json"))
    match = with_node(MatchOptions(f"model:{store}/tiny.json", f"model:{store}/tiny.json:attempts=1"))
    assert match.node["models"] == (f"tiny={store}/tiny.json",)
    with pytest.raises(PlayerWordError, match="nothing for a node to serve"):
        with_node(MatchOptions("random", "random"))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "words",
    [
        ("node", "status"),
        ("node", "swap", "chess", "x.json"),
        ("adapter", "add", "karpov", "x.json"),
        ("adapter", "list"),
    ],
)
def test_without_a_broker_it_is_one_line_and_code_6(edgechess: Any, words: tuple[str, ...]) -> None:
    done = edgechess(*words, "--broker", "mqtt://127.0.0.1:1")
    assert done.code == 6
    assert "no broker answers at mqtt://127.0.0.1:1" in done.err
    assert len(done.err.strip().split("\n")) == 1


def test_a_source_on_this_machine_is_told_to_the_node_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("m/one.json") == str(tmp_path / "m/one.json")
    assert absolute("s3://bucket/one.json") == "s3://bucket/one.json"


def test_a_models_line_says_what_serves_and_what_comes() -> None:
    state = ModelState(
        model="chess", state="swapping", name="one", weights="ab" * 32, loading="two", landed_bytes=43, total_bytes=100,
        rate_bytes_s=1.2e9, swaps=1,
    )  # fmt: skip
    assert model_line(state) == "chess: swapping one (abababababab); 1 swap; on its way: two, 43 % at 1200 MB/s"
