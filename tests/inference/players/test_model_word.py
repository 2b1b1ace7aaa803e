"""`model:` words as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechess_inference import model_word
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
    assert [parse_model_word(f"tiny:lookahead={said}").lookahead for said in ("yes", "1", "no")] == [True, True, False]


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("@karpov", "which model"),
        ("tiny:lookahead=maybe", "lookahead=maybe: say yes or no"),
        ("tiny:lookahead=yes,temperature=0.5", "lookahead chooses the best move"),
        ("tiny:attempts=0", "attempts=0 is out of range; it goes from 1 to 10"),
        ("tiny:attempts=x", "not a whole number"),
        ("tiny:temperature=9", "goes from 0 to 2"),
        ("tiny:temperature=nan", "goes from 0 to 2"),
        ("tiny:warmth=1", "'warmth' is unknown; model takes ladder=general"),
        ("tiny:prompt=general-9", "there are concise-1, general-1, history-1, tuned-1"),
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
    monkeypatch.setattr(model_word, "SHIPPED_FOLDER", tmp_path / "empty")
    with pytest.raises(
        PlayerWordError,
        match=r"\(none in this installation\) has tiny\.json; bring it there with `edgechess model pull",
    ):
        check_word("model:tiny")
    (tmp_path / "tiny.json").write_text("{}")
    assert address_of("tiny") == str(tmp_path / "tiny.json")
    with pytest.raises(PlayerWordError, match=r"there is no file nowhere/tiny\.json"):
        check_word("model:nowhere/tiny.json")
    assert address_of("s3://bucket/tiny.json") == "s3://bucket/tiny.json"


def test_what_is_shipped_needs_no_folder_and_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, ours = tmp_path / "own", tmp_path / "shipped"
    monkeypatch.setenv("EDGECHESS_MODELS", str(own))
    monkeypatch.setattr(model_word, "SHIPPED_FOLDER", ours)
    for folder, names in ((own, ["tal"]), (ours, ["carlsen", "edgechess", "tal"])):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.json").write_text("{}")
    assert list(model_word.shipped()) == ["edgechess", "carlsen", "tal"]
    assert parse_model_word("").name == "edgechess"
    assert address_of("edgechess") == str(ours / "edgechess.json")
    assert address_of("tal") == str(own / "tal.json")  # one's own goes first
    check_word("model")
    check_word("model:edgechess@carlsen:lookahead=yes")


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
