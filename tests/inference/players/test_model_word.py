"""`model:` words as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.ladder.options import split_settings
from edgechess_inference.model_word import address_of, parse_model_word
from edgechess_inference.registry import check_word


@pytest.mark.parametrize(
    ("rest", "name", "adapter"),
    [
        ("tiny", "tiny", None),
        ("tiny@karpov", "tiny", "karpov"),
        ("models/tiny.json", "models/tiny.json", None),
        ("/a/tiny.json@/b/lora.json", "/a/tiny.json", "/b/lora.json"),
        ("https://host:8443/m/tiny.json@karpov", "https://host:8443/m/tiny.json", "karpov"),
        ("https://user@host/tiny.json", "https://user@host/tiny.json", None),
        ("s3://bucket/m/tiny.json:attempts=2", "s3://bucket/m/tiny.json", None),
        ("tiny@karpov:temperature=0.5,constrained=no", "tiny", "karpov"),
    ],
)
def test_where_the_weights_are_and_which_adapter(rest: str, name: str, adapter: str | None) -> None:
    word = parse_model_word(rest)
    assert (word.name, word.adapter) == (name, adapter)


def test_the_ladders_options() -> None:
    word = parse_model_word("tiny:ladder=tuned,temperature=0.5,top_p=0.9,wait=yes,device=cuda,engine=builtin")
    assert (word.ladder.tuned, word.ladder.attempts, word.ladder.prompt) == (True, 5, "tuned-1")
    assert (word.ladder.temperature, word.ladder.top_p, word.ladder.engine) == (0.5, 0.9, "builtin")
    assert (word.wait, word.device) == (True, "cuda")
    assert parse_model_word("tiny").ladder.attempts == 3


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("", "which model"),
        ("tiny:attempts=0", "attempts=0 is out of range; it goes from 1 to 10"),
        ("tiny:attempts=x", "not a whole number"),
        ("tiny:temperature=9", "goes from 0 to 2"),
        ("tiny:temperature=nan", "goes from 0 to 2"),
        ("tiny:warmth=1", "'warmth' is unknown; model takes ladder=general"),
        ("tiny:prompt=general-9", "there are general-1, tuned-1"),
        ("tiny:engine=fritz", "there are stockfish, builtin"),
        ("tiny:ladder=steep", "there are general and tuned"),
        ("tiny:constrained=maybe", "say yes or no"),
        ("tiny:backend=jax", "there are auto, torch, onnxruntime"),
    ],
)
def test_what_cannot_be_says_what_would(rest: str, text: str) -> None:
    with pytest.raises(PlayerWordError, match=text):
        parse_model_word(rest)


def test_a_plain_name_lies_in_the_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECHESS_MODELS", str(tmp_path))
    with pytest.raises(PlayerWordError, match=r"has no tiny\.json; bring it there with `edgechess model pull"):
        check_word("model:tiny")
    (tmp_path / "tiny.json").write_text("{}")
    assert address_of("tiny") == str(tmp_path / "tiny.json")
    with pytest.raises(PlayerWordError, match=r"there is no file nowhere/tiny\.json"):
        check_word("model:nowhere/tiny.json")
    assert address_of("s3://bucket/tiny.json") == "s3://bucket/tiny.json"


@pytest.mark.parametrize(
    ("rest", "parts"),
    [
        ("llama3:8b", ("llama3:8b", "")),
        ("llama3:8b:attempts=2", ("llama3:8b", "attempts=2")),
        ("http://h:1/v1#m", ("http://h:1/v1#m", "")),
        ("amazon.nova-pro-v1:0:region=us-east-1,attempts=1", ("amazon.nova-pro-v1:0", "region=us-east-1,attempts=1")),
    ],
)
def test_settings_are_what_follows_the_last_colon_and_looks_like_settings(rest: str, parts: tuple[str, str]) -> None:
    assert split_settings(rest) == parts
