"""Packing and unpacking bit for bit; cutting; sharing; and what is no safetensors file."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgechess_inference.weights import manifest as m
from edgechess_inference.weights.cutting import DEFAULT_RULES, axis_of, parse_rule, pieces
from edgechess_inference.weights.element_types import BITS
from edgechess_inference.weights.errors import ManifestError
from edgechess_inference.weights.model import open_model
from edgechess_inference.weights.packing import pack
from edgechess_inference.weights.safetensors_file import Checkpoint
from edgechess_inference.weights.tensor_order import in_order
from edgechess_inference.weights.unpacking import unpack

Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]


def contents(path: Path) -> Tensors:
    with Checkpoint([path]) as found:
        return {
            name: (found.entry(name).dtype, found.entry(name).shape, bytes(found.data(name))) for name in found.names
        }


def unpacked(address: Path, target: Path) -> Tensors:
    async def work() -> None:
        await unpack(await open_model(str(address)), target)

    anyio.run(work)
    return contents(target)


def test_a_model_comes_back_bit_for_bit(packed: Path, tensors: Tensors, tmp_path: Path) -> None:
    assert unpacked(packed, tmp_path / "back.safetensors") == tensors
    assert (tmp_path / "tokenizer.json").read_text() == '{"a": 1}'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.safetensors", "tokenizer.json"]


def test_every_element_type_comes_back(workshop: Any, tmp_path: Path) -> None:
    draw = random.Random(3)
    tensors: Tensors = {
        f"t.{dtype}": (dtype, (8, 3), draw.randbytes(8 * 3 * bits // 8)) for dtype, bits in BITS.items()
    }
    pack(workshop.write_checkpoint(tmp_path / "all.safetensors", tensors), tmp_path / "s" / "all.json", workshop.card)
    assert unpacked(tmp_path / "s" / "all.json", tmp_path / "back.safetensors") == tensors


def test_safetensors_own_library_reads_what_we_write_and_we_read_what_it_writes(workshop: Any, tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    library = pytest.importorskip("safetensors.numpy")
    import numpy as np

    arrays = {"b": np.arange(12, dtype=np.float32).reshape(3, 4), "a": np.array([1, -2], dtype=np.int64)}
    library.save_file(arrays, tmp_path / "theirs.safetensors", metadata={"format": "np"})
    pack(tmp_path / "theirs.safetensors", tmp_path / "s" / "x.json", workshop.card)
    unpacked(tmp_path / "s" / "x.json", tmp_path / "ours.safetensors")
    back = library.load_file(tmp_path / "ours.safetensors")
    assert all(np.array_equal(back[name], array) for name, array in arrays.items())


def test_tensors_stand_in_the_order_of_need(packed: Path) -> None:
    names = [tensor.name for tensor in m.parse(packed.read_bytes()).tensors]
    assert names[0] == "model.embed_tokens.weight"
    assert names[1].startswith("model.layers.0.")
    assert names.index("model.layers.1.norm.weight") < names.index("model.layers.3.norm.weight")
    assert in_order(["lm_head.weight", "h.10.w", "h.9.w", "norm.weight", "wte.weight", "odd"]) == [
        "wte.weight", "h.9.w", "h.10.w", "odd", "lm_head.weight", "norm.weight",
    ]  # fmt: skip


def test_chunks_are_named_by_their_content(packed: Path) -> None:
    manifest = m.parse(packed.read_bytes())
    assert len(manifest.shards[0].chunks) == 4
    for address, chunk in manifest.chunks().items():
        data = (packed.parent / "chunks" / address[:2] / address).read_bytes()
        assert hashlib.sha256(data).hexdigest() == address
        assert len(data) == chunk.bytes


def test_two_versions_share_what_they_share(workshop: Any, packed: Path, tensors: Tensors, tmp_path: Path) -> None:
    changed = dict(tensors)
    dtype, shape, data = changed["model.layers.3.up_proj.weight"]
    changed["model.layers.3.up_proj.weight"] = (dtype, shape, data[:-1] + bytes([data[-1] ^ 1]))
    pack(workshop.write_checkpoint(tmp_path / "1.safetensors", tensors), tmp_path / "s" / "one.json", workshop.card)
    second = pack(
        workshop.write_checkpoint(tmp_path / "2.safetensors", changed), tmp_path / "s" / "two.json", workshop.card
    )
    assert second.new_chunks == 1
    again = pack(tmp_path / "2.safetensors", tmp_path / "s" / "three.json", workshop.card)
    assert (again.new_chunks, again.new_bytes) == (0, 0)


def test_an_index_of_several_files_is_one_model(workshop: Any, tensors: Tensors, packed: Path, tmp_path: Path) -> None:
    names = list(tensors)
    for number in range(2):
        part = {name: tensors[name] for name in names[number::2]}
        workshop.write_checkpoint(tmp_path / f"model-{number}.safetensors", part)
    table = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(names)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    pack(tmp_path, tmp_path / "s" / "x.json", workshop.card)
    assert unpacked(tmp_path / "s" / "x.json", tmp_path / "back.safetensors") == tensors


@pytest.mark.parametrize("shards", [2, 4])
def test_cut_for_several_accelerators_and_put_together_again(workshop: Any, shards: int, tmp_path: Path) -> None:
    draw = random.Random(5)
    tensors: Tensors = {
        "model.embed_tokens.weight": ("BF16", (64, 8), draw.randbytes(1024)),
        "model.layers.0.self_attn.q_proj.weight": ("BF16", (8, 12), draw.randbytes(192)),
        "model.layers.0.self_attn.o_proj.weight": ("I8", (6, 8), draw.randbytes(48)),
        "model.layers.0.mlp.down_proj.weight": ("F32", (3000, 1000), draw.randbytes(12_000_000)),
        "model.norm.weight": ("F32", (5,), draw.randbytes(20)),
    }
    made = pack(
        workshop.write_checkpoint(tmp_path / "x.safetensors", tensors),
        tmp_path / "s" / "x.json",
        workshop.card,
        shards=shards,
    )
    parts = {tensor.name: tensor for tensor in made.manifest.of_shard(1)}
    assert parts["model.embed_tokens.weight"].shape == (64 // shards, 8)
    assert parts["model.layers.0.self_attn.o_proj.weight"].shape == (6, 8 // shards)
    assert parts["model.norm.weight"].axis is None
    assert unpacked(tmp_path / "s" / "x.json", tmp_path / "back.safetensors") == tensors


def test_a_cut_is_what_slicing_would_give() -> None:
    """Literal bytes: a 2 x 4 matrix of bytes, its right half."""
    data = memoryview(bytes([0, 1, 2, 3, 10, 11, 12, 13]))
    assert b"".join(pieces(data, "U8", (2, 4), 1, 1, 2)) == bytes([2, 3, 12, 13])
    assert b"".join(pieces(data, "U8", (2, 4), 0, 1, 2)) == bytes([10, 11, 12, 13])
    assert b"".join(pieces(data, "U8", (2, 4), None, 1, 2)) == bytes(data)


def test_what_cannot_be_cut_says_so() -> None:
    with pytest.raises(ManifestError, match="cannot be cut into 3 along axis 0"):
        axis_of("model.embed_tokens.weight", (64, 8), 3, DEFAULT_RULES)
    assert axis_of("scale", (1,), 3, DEFAULT_RULES) is None
    assert axis_of("x.special", (4, 6), 3, (parse_rule("special=1"),)) == 1
    for word in ("no sign", "x=-1", "x=first", "(=1"):
        with pytest.raises(ManifestError, match="cut"):
            parse_rule(word)


BAD_FILES = {
    "empty": b"",
    "short": b"\x08\x00\x00\x00",
    "huge header": (1 << 40).to_bytes(8, "little") + b"{}",
    "no json": (4).to_bytes(8, "little") + b"nope",
    "no table": (2).to_bytes(8, "little") + b"[]",
}


def entry(**row: object) -> bytes:
    text = json.dumps({"t": row}).encode()
    return len(text).to_bytes(8, "little") + text


BAD_FILES |= {
    "hole": entry(dtype="U8", shape=[2], data_offsets=[1, 3]) + b"abc",
    "trailing": entry(dtype="U8", shape=[2], data_offsets=[0, 2]) + b"abc",
    "truncated": entry(dtype="U8", shape=[2], data_offsets=[0, 2]) + b"a",
    "wrong size": entry(dtype="U16", shape=[2], data_offsets=[0, 2]) + b"ab",
    "unknown type": entry(dtype="X9", shape=[2], data_offsets=[0, 2]) + b"ab",
    "negative": entry(dtype="U8", shape=[-2], data_offsets=[0, -2]),
    "fraction": entry(dtype="U8", shape=[2.0], data_offsets=[0, 2]) + b"ab",
    "no offsets": entry(dtype="U8", shape=[2]) + b"ab",
    "odd row": (len(b'{"t": 7}')).to_bytes(8, "little") + b'{"t": 7}',
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_safetensors_file_is_refused_and_leaves_nothing(workshop: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(BAD_FILES[name])
    with pytest.raises(ManifestError):
        pack(tmp_path / "bad.safetensors", tmp_path / "s" / "x.json", workshop.card)
    assert not (tmp_path / "s" / "x.json").exists()


def test_an_index_cannot_name_files_elsewhere(workshop: Any, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))
    with pytest.raises(ManifestError, match="outside of its folder"):
        pack(tmp_path, tmp_path / "s" / "x.json", workshop.card)


def test_packing_again_after_a_torn_write_repairs(workshop: Any, tmp_path: Path) -> None:
    source = workshop.write_checkpoint(tmp_path / "x.safetensors", workshop.model_tensors(layers=1))
    made = pack(source, tmp_path / "s" / "x.json", workshop.card)
    torn = (
        tmp_path
        / "s"
        / "chunks"
        / made.manifest.shards[0].chunks[0].address[:2]
        / made.manifest.shards[0].chunks[0].address
    )
    torn.write_bytes(torn.read_bytes()[:1000])
    assert pack(source, tmp_path / "s" / "x.json", workshop.card).new_chunks == 1
