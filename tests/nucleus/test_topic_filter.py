"""Comparing topics: MQTT's rules, and where the Java nucleus's are others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_nucleus.flavour import JAVA, LITE
from edgechess_nucleus.topic_filter import covers, has_wildcard, is_filter, is_topic, levels, matches


@pytest.mark.parametrize(
    ("topic_filter", "topic", "java", "lite"),
    [
        ("a/b", "a/b", True, True),
        ("a/b", "a/B", False, False),
        ("a/+", "a/b", True, True),
        ("a/+", "a/b/c", False, False),
        ("+/+", "/a", True, True),
        ("#", "a/b/c", True, True),
        ("a/#", "a/b/c", True, True),
        ("a/#", "a", False, True),
        ("a/#", "ab", False, False),
        ("a/+", "a/", False, True),
        ("a/b/", "a/b", True, False),
        ("a/+/c", "a//c", True, True),
        ("a/b+", "a/bc", False, False),
        ("a/#/b", "a/x/b", False, False),
    ],
)
def test_matching(topic_filter: str, topic: str, java: bool, lite: bool) -> None:
    assert matches(levels(topic_filter, JAVA), levels(topic, JAVA), JAVA) is java
    assert matches(levels(topic_filter, LITE), levels(topic, LITE), LITE) is lite


def test_wildcards_are_whole_levels() -> None:
    assert [has_wildcard(levels(text, JAVA)) for text in ("a/+", "#", "a/b+", "a#")] == [True, True, False, False]


@pytest.mark.parametrize(("text", "topic", "name"), [
    ("a/b", True, True), ("", False, False), ("a/+", False, True), ("a/#", False, True), ("#", False, True),
    ("a/#/b", False, False), ("a+", False, False), ("a/b#", False, False), ("a\0", False, False), ("x" * 65_536, False, False),
])  # fmt: skip
def test_what_mqtt_takes(text: str, topic: bool, name: bool) -> None:
    assert is_topic(text) is topic
    assert is_filter(text) is name


@pytest.mark.parametrize(("wide", "narrow", "expected"), [
    ("#", "a/b", True), ("a/#", "a/+/c", True), ("a/#", "a", True), ("a/+", "a/b", True), ("a/+", "a/#", False),
    ("a/+", "a/b/c", False), ("+/b", "a/+", False), ("a/b", "a/b", True), ("a/b", "a/+", False), ("+/#", "#", False),
])  # fmt: skip
def test_covering(wide: str, narrow: str, expected: bool) -> None:
    assert covers(levels(wide, LITE), levels(narrow, LITE)) is expected


PARTS = st.lists(st.sampled_from(["a", "b", "", "+"]), min_size=1, max_size=4)


@settings(max_examples=60)
@given(PARTS, st.booleans(), PARTS, st.booleans(), st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=5))
def test_what_a_filter_covers_it_matches(
    wide: list[str], wide_hash: bool, narrow: list[str], narrow_hash: bool, topic: list[str]
) -> None:
    first, second = (*wide, *["#"] * wide_hash), (*narrow, *["#"] * narrow_hash)
    if covers(first, second) and matches(second, tuple(topic), LITE):
        assert matches(first, tuple(topic), LITE)
