"""Descriptions of networks: what torch builds from one, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from edgechess_inference.policy.architecture import (  # noqa: E402
    Architecture,
    ArchitectureError,
    adaptable,
    parameters,
    parse,
    text_of,
    weights_of,
)
from edgechess_inference.policy.checkpoint import check_weights, load, quantised, save  # noqa: E402
from edgechess_inference.weights.tensor_order import in_order  # noqa: E402

RESIDUAL = Architecture(trunk="residual", width=8, blocks=12, squeeze=4)
ENCODER = Architecture(trunk="encoder", width=8, blocks=3, heads=2, generated=4, value_bins=16)


@pytest.mark.parametrize("a", [RESIDUAL, ENCODER, Architecture(trunk="encoder", width=8, blocks=1, heads=4)])
def test_torch_builds_exactly_the_described_weights_in_their_order(a: Architecture) -> None:
    pytest.importorskip("torch")
    from edgechess_inference.policy.network import fresh

    state = fresh(a, seed=1).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == weights_of(a)
    assert sum(value.numel() for value in state.values()) == parameters(a)
    assert all((fresh(a, seed=1).state_dict()[name] == value).all() for name, value in state.items())


@pytest.mark.parametrize("a", [RESIDUAL, ENCODER])
def test_a_pack_keeps_the_order_of_the_computation(a: Architecture) -> None:
    assert in_order(weights_of(a)) == list(weights_of(a))


def test_the_shape_for_processors_has_half_a_million_numbers() -> None:
    assert parameters(Architecture(trunk="residual", width=64, blocks=6)) == 476_548


def test_a_description_comes_back_from_its_text() -> None:
    for a in (RESIDUAL, ENCODER):
        assert parse(text_of(a)) == a


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"trunk":"encoder","width":10,"blocks":1,"heads":4}', "4 heads do not divide"),
        ('{"trunk":"encoder","width":8}', "blocks"),
        ('{"trunk":"mixer","width":8,"blocks":1}', "trunk"),
        ('{"trunk":"residual","width":100000,"blocks":1}', "width is 100000"),
        ('{"trunk":"residual","width":8,"blocks":0}', "blocks is 0"),
        ('{"trunk":"residual","width":8,"blocks":1,"depth":2}', "depth"),
        ("", "description"),
    ],
)
def test_a_malformed_description_is_refused_by_field(text: str, named: str) -> None:
    with pytest.raises(ArchitectureError, match=named):
        parse(text)


def test_adapters_may_change_convolutions_projections_and_heads() -> None:
    assert "blocks.0.conv1" in adaptable(RESIDUAL)
    assert "blocks.2.qkv" in adaptable(ENCODER)
    assert "policy_head.query" in adaptable(ENCODER)
    assert not [layer for layer in adaptable(ENCODER) if "norm" in layer or "geometry" in layer]


def weights(a: Architecture) -> dict[str, Any]:
    draw = np.random.default_rng(4)
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in weights_of(a).items()}


def test_a_file_gives_the_weights_back_bit_for_bit(tmp_path: Path) -> None:
    kept = weights(ENCODER)
    save(tmp_path / "a.safetensors", ENCODER, kept)
    found = load(tmp_path / "a.safetensors", ENCODER)
    assert all(np.array_equal(found[name], kept[name]) for name in kept)
    numpy = pytest.importorskip("safetensors.numpy")
    theirs = numpy.load_file(tmp_path / "a.safetensors")
    assert all(np.array_equal(theirs[name], kept[name]) for name in kept)


def test_eight_bits_are_off_by_no_more_than_half_a_step_of_their_row(tmp_path: Path) -> None:
    kept = weights(RESIDUAL)
    save(tmp_path / "a.safetensors", RESIDUAL, quantised(kept))
    found = load(tmp_path / "a.safetensors", RESIDUAL)
    for name, exact in kept.items():
        if exact.ndim != 2 or "geometry" in name:
            assert np.array_equal(found[name], exact)
            continue
        step = np.abs(exact).max(axis=1, keepdims=True) / 127
        assert (np.abs(found[name] - exact) <= step * 0.5001).all()


def test_other_weights_than_described_are_refused() -> None:
    right = {name: ("F32", shape) for name, shape in weights_of(RESIDUAL).items()}
    check_weights(RESIDUAL, right)
    for name, wrong, named in (
        ("norm.weight", None, "lack 'norm.weight'"),
        ("norm.weight", ("F32", (9,)), "needs"),
        ("embed.pieces", ("I8", (16, 8)), "one factor per row"),
        ("stranger", ("F32", (1,)), "stranger"),
    ):
        found = {**right, name: wrong} if wrong else {key: row for key, row in right.items() if key != name}
        with pytest.raises(ArchitectureError, match=named):
            check_weights(RESIDUAL, found)
