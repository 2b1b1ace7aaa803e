"""One component's tree: merge by timestamps, reset, spelling, and what is kept on disk."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_nucleus.configuration import Configuration, ConfigurationError, parse_pointer


def test_defaults_never_overwrite() -> None:
    tree = Configuration({"a": 1, "b": {"c": 2}}, fold_case=True)
    tree.merge((), {"a": 5}, 100)
    assert tree.add_defaults({"a": 9, "b": {"c": 9, "d": 3}, "e": {}}) == [("b", "d"), ("e",)]
    assert tree.snapshot() == {"a": 5, "b": {"c": 2, "d": 3}, "e": {}}


def test_newer_leaves_stay_and_siblings_change() -> None:
    tree = Configuration(fold_case=False)
    tree.merge((), {"n": {"old": 1, "new": 1}}, 10)
    tree.merge(("n",), {"new": 2}, 30)
    assert tree.merge(("n",), {"old": 9, "new": 9}, 20) == [("n", "old")]
    assert tree.snapshot() == {"n": {"old": 9, "new": 2}}
    assert tree.timestamp_ms(("n",)) == 30
    assert tree.timestamp_ms(("n", "old")) == 20


def test_equally_old_is_new_enough_and_the_same_value_is_no_change() -> None:
    tree = Configuration({"a": 1}, fold_case=False)
    assert tree.merge((), {"a": 1}, 1) == []
    assert tree.merge((), {"a": 2}, 1) == [("a",)]
    assert tree.merge((), {"a": 2.0}, 1) == [("a",)]  # 2 and 2.0 are not one JSON value
    assert tree.merge((), {"a": True}, 1) == [("a",)]


def test_leaves_and_objects_replace_each_other() -> None:
    tree = Configuration({"a": 1, "o": {"x": 1}}, fold_case=False)
    assert tree.merge(("a",), {"b": 2}, 5) == [("a", "b")]
    assert tree.merge(("o",), [1], 5) == [("o",)]
    assert tree.snapshot() == {"a": {"b": 2}, "o": [1]}
    assert tree.merge((), {"a": 3}, 4) == []  # something below is newer
    assert tree.merge(("o", "deeper"), 1, 4) == []  # so is the leaf in the way
    assert tree.merge(("o", "deeper"), 1, 6) == [("o", "deeper")]
    with pytest.raises(ConfigurationError, match="without a key"):
        tree.merge((), 3, 9)


def test_case_is_folded_where_the_flavour_does() -> None:
    folded, exact = (Configuration({"Port": {"Main": 1}}, fold_case=fold) for fold in (True, False))
    assert folded.merge(("port", "MAIN"), 2, 5) == [("Port", "Main")]
    assert folded.snapshot() == {"Port": {"Main": 2}}
    assert folded.spelled(("PORT", "main")) == ("Port", "Main")
    assert exact.merge(("port", "MAIN"), 2, 5) == [("port", "MAIN")]
    assert exact.snapshot() == {"Port": {"Main": 1}, "port": {"MAIN": 2}}


@pytest.mark.parametrize("path", [("absent",), ("a", "below"), ("o", "absent")])
def test_what_is_not_there(path: tuple[str, ...]) -> None:
    tree = Configuration({"a": 1, "o": {}}, fold_case=True)
    for ask in (tree.get, tree.timestamp_ms, tree.spelled):
        with pytest.raises(KeyError):
            ask(path)


def test_a_reset_takes_the_default_or_removes() -> None:
    tree = Configuration({"a": 1, "b": {"c": 2, "d": 3}, "e/f": {"~": 1}}, fold_case=True)
    tree.merge((), {"a": 9, "b": {"c": 9, "extra": 9}, "own": 9}, 100)
    defaults = {"a": 1, "b": {"c": 7, "d": 3}}
    assert tree.reset(["/A", "/b/c", "/own", "/absent/below", "/e~1f/~0"], defaults) == [
        ("A",),
        ("b", "c"),
        ("own",),
        ("e/f", "~"),
    ]
    assert tree.snapshot() == {"a": 1, "b": {"d": 3, "extra": 9, "c": 7}, "e/f": {}}
    assert tree.timestamp_ms(("b", "c")) == 1  # a default again, so that a component's older word counts
    assert tree.reset([""], defaults) == [()]
    assert tree.snapshot() == defaults


def test_pointers() -> None:
    assert parse_pointer("") == ()
    assert parse_pointer("/") == ("",)
    assert parse_pointer("/a~1b/~01") == ("a/b", "~1")
    with pytest.raises(ConfigurationError, match='must be "" or begin with "/"'):
        parse_pointer("a/b")


@pytest.mark.parametrize("stored", [{"a": 1}, {"a": [1]}, {"a": [1, "late"]}, {"a": {"b": "x"}}])
def test_what_was_not_stored_by_us(stored: Any) -> None:
    with pytest.raises(ConfigurationError):
        Configuration.of_stamped(stored, fold_case=True)


TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=3), st.lists(st.integers(), max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


@settings(max_examples=60)
@given(OBJECTS, st.lists(st.tuples(OBJECTS, st.integers(0, 5)), max_size=4), st.booleans())
def test_what_is_stored_is_read_again(defaults: Any, merges: list[tuple[Any, int]], fold: bool) -> None:
    tree = Configuration(defaults, fold_case=fold)
    for value, at_ms in merges:
        before = tree.snapshot()
        changed = tree.merge((), value, at_ms)
        assert bool(changed) == (repr(tree.snapshot()) != repr(before))
        for path in changed:
            tree.get(path)
    again = Configuration.of_stamped(tree.stamped(), fold_case=fold)
    assert again.snapshot() == tree.snapshot()
    assert again.stamped() == tree.stamped()
