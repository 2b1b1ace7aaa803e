"""Hostile manifests are refused with the word that names their fault; an honest one is read, and written, the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_inference.weights import manifest as m
from edgechess_inference.weights.digests import check_of, digests_of, intact
from edgechess_inference.weights.errors import ManifestError
from edgechess_inference.weights.manifest import encode, parse

ATTACKS = Path(__file__).parent.parent / "attacks"
GOOD = (Path(__file__).parent / "good_manifest.json").read_bytes()
EXPECTED: dict[str, str] = json.loads((ATTACKS / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_hostile_manifest_is_refused_by_name(name: str) -> None:
    with pytest.raises(ManifestError) as refused:
        parse((ATTACKS / f"{name}.json").read_bytes())
    assert EXPECTED[name] in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_every_attack_is_expected() -> None:
    assert {file.stem for file in ATTACKS.glob("*.json")} - {"expected"} == set(EXPECTED)


def test_an_honest_manifest_is_read_and_written_the_same() -> None:
    found = parse(GOOD)
    assert found.bytes == 8_389_120
    assert [(t.name, t.offset, t.length) for t in found.tensors] == [("embed", 0, 8_388_608), ("head", 8_388_608, 512)]
    assert list(found.chunks()) == ["c" * 64, "a" * 64, "b" * 64]
    assert parse(encode(found)) == found


def test_too_large_a_manifest_is_not_even_parsed() -> None:
    with pytest.raises(ManifestError, match="at most"):
        parse(b" " * (m.MANIFEST_BYTES_MAX + 1))


def test_what_we_made_ourselves_is_validated_too() -> None:
    with pytest.raises(ManifestError, match="version 7"):
        encode(msgspec.structs.replace(parse(GOOD), version=7))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_to_a_manifest_is_refused_or_leaves_an_honest_one(data: st.DataObject) -> None:
    plain = json.loads(GOOD)
    spots: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            spots.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(plain)
    node, key = data.draw(st.sampled_from(spots))
    node[key] = data.draw(
        st.one_of(st.none(), st.integers(), st.text(max_size=70), st.floats(), st.lists(st.integers(), max_size=3))
    )
    try:
        found = parse(json.dumps(plain).encode())
    except ManifestError:
        return
    ends = [tensor.offset + tensor.length for tensor in found.tensors]
    assert ends[-1] == found.shards[0].bytes == sum(chunk.bytes for chunk in found.shards[0].chunks)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse(data)


def test_digests_of_known_bytes() -> None:
    """SHA-256 of "abc" from FIPS 180-2; XXH3-128 of no bytes from xxHash's own sanity test vectors (seed 0)."""
    assert digests_of(b"abc").address == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert check_of(b"") == "99aa06d3014798d86001c324468d497f"
    assert dataclasses.astuple(digests_of(b"abc"))[1] == check_of(b"abc")


def test_a_forged_check_passes_damage_and_fails_tampering() -> None:
    honest, forged = digests_of(b"honest"), b"forged"
    assert not intact(forged, honest.address, honest.check, "damage")
    assert intact(forged, honest.address, check_of(forged), "damage")  # what only a collision could do in the wild
    assert not intact(forged, honest.address, check_of(forged), "tampering")
