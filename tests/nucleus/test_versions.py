"""Versions and npm's ranges. Expected results are npm's own (node-semver's documentation of ranges)."""

from __future__ import annotations

import pytest

from edgechess_nucleus.versions import Range, Version


def test_versions_are_ordered_as_semantic_versioning_says() -> None:
    """The example of semver.org, section 11."""
    order = [
        "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
        "1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0", "2.1.1", "10.0.0",
    ]  # fmt: skip
    assert [str(version) for version in sorted(map(Version.parse, reversed(order)))] == order


@pytest.mark.parametrize("text", ["1.0", "01.0.0", "1.0.0-", "1000000.0.0", "1.0.0+" + "b" * 60, "v1.0.0", ""])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match=r"version|larger"):
        Version.parse(text)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.2.3", "1.2.3", "1.2.4"),
        (">=1.2.7 <1.3.0", "1.2.8 1.2.99", "1.2.6 1.3.0 1.1.0"),
        ("1.2.7 || >=1.2.9 <2.0.0", "1.2.7 1.2.9 1.4.6", "1.2.8 2.0.0"),
        ("1.2.3 - 2.3.4", "1.2.3 2.3.4", "1.2.2 2.3.5"),
        ("1.2.3 - 2.3", "2.3.9", "2.4.0"),
        ("1.2 - 2", "1.2.0 2.9.9", "1.1.9 3.0.0"),
        ("*", "0.0.1 9.9.9", "1.0.0-pre"),
        ("", "0.0.1", ""),
        ("1.x", "1.0.0 1.9.9", "2.0.0 0.9.9"),
        ("1.2.x", "1.2.0", "1.3.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.3.0"),
        ("~1.2", "1.2.0", "1.3.0"),
        ("~1", "1.9.9", "2.0.0"),
        ("^1.2.3", "1.2.3 1.9.0", "2.0.0 1.2.2"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^1.2.x", "1.2.0 1.9.9", "2.0.0"),
        ("^0.0.x", "0.0.9", "0.1.0"),
        ("^0.x", "0.9.9", "1.0.0"),
        (">1.2", "1.3.0", "1.2.9"),
        ("<=1.2", "1.2.9", "1.3.0"),
        (">= 1.0.0", "1.0.0", "0.9.9"),
        (">1.2.3-alpha.3", "1.2.3-alpha.7 3.4.5", "3.4.5-alpha.9 1.2.3-alpha.3"),
        ("^1.2.3-beta.2", "1.2.3-beta.4 1.9.0", "1.2.4-beta.2 2.0.0-alpha"),
    ],
)
def test_npm_ranges(text: str, inside: str, outside: str) -> None:
    wanted = Range.parse(text)
    assert [v for v in inside.split() if not wanted.allows(Version.parse(v))] == []
    assert [v for v in outside.split() if wanted.allows(Version.parse(v))] == []


@pytest.mark.parametrize("text", ["abc", ">=1.0.0 <", "1.2.3.4", "^", "1 - "])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="is no version requirement"):
        Range.parse(text)
