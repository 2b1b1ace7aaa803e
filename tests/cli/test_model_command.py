"""`edgechess model`: what a user types, sees, and is told when it is wrong."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from edgechess_inference.weights.safetensors_file import Checkpoint, header_bytes


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "hf"
    folder.mkdir()
    data = bytes(range(256)) * 4
    rows = [("lm_head.weight", "BF16", (16, 16)), ("model.embed_tokens.weight", "BF16", (16, 16))]
    (folder / "model.safetensors").write_bytes(header_bytes(rows, {}) + data)
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def packed(checkpoint: Path, tmp_path: Path, edgechess: Any) -> Path:
    done = edgechess("model", "pack", str(checkpoint), str(tmp_path / "store" / "tiny.json"), "--licence", "MIT")
    assert done.code == 0, done.err
    assert "3 new chunks" in done.out
    return tmp_path / "store" / "tiny.json"


def test_pack_inspect_verify_stream_unpack(packed: Path, checkpoint: Path, tmp_path: Path, edgechess: Any) -> None:
    shown = edgechess("model", "inspect", str(packed), "--tensors")
    assert "tiny  LlamaForCausalLM  licence MIT" in shown.out
    assert "tokenizer: tokenizer.json" in shown.out
    assert shown.out.index("embed_tokens") < shown.out.index("lm_head")
    assert "3 chunks" in edgechess("model", "verify", str(packed)).out
    streamed = edgechess("model", "stream", str(packed), "--json")
    assert json.loads(streamed.out)["bytes"] == 1024
    assert edgechess("model", "unpack", str(packed), str(tmp_path / "back.safetensors")).code == 0
    with Checkpoint([checkpoint / "model.safetensors"]) as one, Checkpoint([tmp_path / "back.safetensors"]) as two:
        assert {name: bytes(one.data(name)) for name in one.names} == {
            name: bytes(two.data(name)) for name in two.names
        }


def test_packing_twice_stores_nothing_new(packed: Path, checkpoint: Path, edgechess: Any) -> None:
    again = edgechess("model", "pack", str(checkpoint), str(packed.with_name("again.json")), "--json")
    assert json.loads(again.out)["newChunks"] == 0


def test_verify_names_the_damaged_chunk_and_whom_it_hurts(packed: Path, edgechess: Any) -> None:
    victim = max(packed.parent.glob("chunks/??/*"), key=lambda path: path.stat().st_size)
    victim.write_bytes(b"x" * victim.stat().st_size)
    found = edgechess("model", "verify", str(packed))
    assert found.code == 1
    assert victim.name in found.out
    assert "model.embed_tokens.weight" in found.out
    victim.unlink()
    assert "does not exist" in edgechess("model", "verify", str(packed)).out
    streamed = edgechess("model", "stream", str(packed))
    assert streamed.code == 2
    assert streamed.err.count("\n") == 1


def test_signed_and_trusted(checkpoint: Path, tmp_path: Path, edgechess: Any) -> None:
    pytest.importorskip("cryptography")
    made = edgechess("model", "key", str(tmp_path / "key"))
    public = made.out.strip()
    assert stat.S_IMODE(os.stat(tmp_path / "key").st_mode) == 0o600
    address = tmp_path / "s" / "tiny.json"
    assert edgechess("model", "pack", str(checkpoint), str(address), "--sign", str(tmp_path / "key")).code == 0
    assert edgechess("model", "stream", str(address), "--trust", public).code == 0
    stranger = edgechess("model", "stream", str(address), "--trust", "ab" * 32)
    assert (stranger.code, "whom nobody told us to trust" in stranger.err) == (2, True)
    address.write_bytes(address.read_bytes().replace(b"LlamaForCausalLM", b"LlamaForCausalLN"))
    changed = edgechess("model", "stream", str(address), "--trust", public)
    assert "does not belong to this manifest" in changed.err
    assert edgechess("model", "stream", str(address)).code == 0  # who trusts the store asks for no signature
    (address.parent / "tiny.json.sig").unlink()
    assert "the signature" in edgechess("model", "stream", str(address), "--trust", public).err


def test_pull_copies_and_goes_on(packed: Path, tmp_path: Path, edgechess: Any) -> None:
    target = tmp_path / "here" / "tiny.json"
    assert json.loads(edgechess("model", "pull", str(packed), str(target), "--json").out)["fetchedBytes"] > 1024
    assert json.loads(edgechess("model", "pull", str(packed), str(target), "--json").out)["fetchedBytes"] == 0
    assert edgechess("model", "verify", str(target)).code == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("stream", "nowhere.json"), "nowhere.json does not exist"),
        (("stream", "ftp://x/y.json"), "not 'ftp'"),
        (("stream", "models/"), "ends in NAME.json"),
        (("stream", "http://127.0.0.1:1/x.json"), "Connection refused"),
        (("pack", "nowhere", "x.json"), "nowhere"),
        (("pack", ".", "x.bin"), "a packed model is STORE/NAME.json"),
        (("push", "nowhere.json", "s3://b/x.json"), "nowhere.json"),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...], text: str, edgechess: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = edgechess("model", *words)
    assert told.code == 2
    assert text in told.err
    assert told.err.count("\n") == 1


def test_what_pack_needs_to_know(checkpoint: Path, tmp_path: Path, edgechess: Any) -> None:
    (checkpoint / "config.json").unlink()
    target = str(tmp_path / "s" / "x.json")
    assert "say it with --architecture" in edgechess("model", "pack", str(checkpoint), target).err
    done = edgechess(
        "model", "pack", str(checkpoint), target, "--architecture", "A", "--extra", "base=tiny", "--shards", "2"
    )
    assert done.code == 0, done.err
    assert "shard 1" in edgechess("model", "inspect", target).out
    assert "KEY=VALUE" in edgechess("model", "pack", str(checkpoint), target, "--architecture", "A", "--extra", "x").err
    assert (
        "cannot be cut into 3"
        in edgechess("model", "pack", str(checkpoint), target, "--architecture", "A", "--shards", "3").err
    )


def test_a_run_is_packed_as_it_says_itself(tmp_path: Path, edgechess: Any) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text("{}")
    for option in (("--name", "mine"), ("--shards", "2"), ("--extra", "a=b")):
        told = edgechess("model", "pack", str(run), str(tmp_path / "x.json"), *option)
        assert (told.code, told.err.count("\n")) == (2, 1)
        assert f"{option[0]}: the folder of a training run says that itself" in told.err
