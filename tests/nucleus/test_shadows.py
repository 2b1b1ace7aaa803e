"""Shadow documents: what merges, what differs, and that versions never go back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_nucleus.rate_limit import RateLimit
from edgechess_nucleus.refusal import Refused
from edgechess_nucleus.shadows import ShadowName, Shadows, parse_topic

NAME = ShadowName("thing", "game")


class Published:
    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def __call__(self, topic: str, payload: bytes) -> None:
        self.said.append((topic, json.loads(payload)))


def put(shadows: Shadows, at_s: float = 100.7, **content: Any) -> Any:
    return json.loads(shadows.update(NAME, json.dumps(content).encode(), at_s))


def test_merging_null_deletes_and_arrays_replace() -> None:
    shadows = Shadows(Published())
    put(shadows, state={"desired": {"a": {"b": 1, "c": [1, 2]}, "d": 1}})
    put(shadows, state={"desired": {"a": {"b": None, "c": [3]}, "d": {"now": "an object"}}})
    got = json.loads(shadows.get(NAME, b"", 101.0))
    assert got["state"]["desired"] == {"a": {"c": [3]}, "d": {"now": "an object"}}
    assert got["version"] == 2
    put(shadows, state={"desired": None, "reported": {"x": 1}})
    assert json.loads(shadows.get(NAME, b"", 101.0))["state"] == {"reported": {"x": 1}}


def test_metadata_has_the_shape_of_the_document() -> None:
    shadows = Shadows(Published())
    put(shadows, 100, state={"desired": {"a": {"b": 1}, "list": [1, {"x": 2}], "timestamp": 5}})
    put(shadows, 200, state={"desired": {"a": {"c": 1}, "timestamp": {"inner": 1}}})
    metadata = json.loads(shadows.get(NAME, b"", 201))["metadata"]["desired"]
    assert metadata == {
        "a": {"b": {"timestamp": 100}, "c": {"timestamp": 200}},
        "list": [{"timestamp": 100}, {"x": {"timestamp": 100}}],
        "timestamp": {"inner": {"timestamp": 200}},
    }


def test_the_delta() -> None:
    published = Published()
    shadows = Shadows(published)
    put(shadows, state={"desired": {"same": 1, "other": 1, "deep": {"same": 1, "other": [1]}, "missing": {"x": 1}}})
    published.said.clear()
    put(shadows, state={"reported": {"same": 1, "other": 2, "deep": {"same": 1, "other": [2]}, "more": 1}})
    said = dict(published.said)
    delta = said["$aws/things/thing/shadow/name/game/update/delta"]
    assert delta["state"] == {"other": 1, "deep": {"other": [1]}, "missing": {"x": 1}}
    assert delta["metadata"]["deep"]["other"] == [{"timestamp": 100}]
    put(shadows, state={"desired": None})
    assert "$aws/things/thing/shadow/name/game/update/delta" not in dict(published.said[-2:])


def test_a_rejection_says_why_on_its_topic() -> None:
    published = Published()
    shadows = Shadows(published)
    payload = b'{"state": {"desired": {}}, "version": 7, "clientToken": "t"}'
    with pytest.raises(Refused) as refused:
        shadows.update(NAME, payload, 1.0)
    shadows.reject(NAME, "update", refused.value, payload, 1.0)
    assert published.said == [
        (
            "$aws/things/thing/shadow/name/game/update/rejected",
            {"code": 409, "message": "Version conflict", "timestamp": 1, "clientToken": "t"},
        )
    ]
    shadows.reject(NAME, "get", refused.value, b"no json", 1.0)
    assert "clientToken" not in published.said[-1][1]


def test_what_is_stored_is_read_again_with_the_versions_of_the_dead() -> None:
    shadows = Shadows(Published())
    put(shadows, state={"desired": {"a": 1}})
    shadows.delete(NAME, b"", 2.0)
    again = Shadows(Published(), json.loads(json.dumps(shadows.stored())))
    with pytest.raises(Refused, match="No shadow found"):
        again.get(NAME, b"", 3.0)
    assert put(again, state={"desired": {"a": 1}})["version"] == 3


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("$aws/things/t/shadow/update", (ShadowName("t"), "update")),
        ("$aws/things/t/shadow/name/s/get", (ShadowName("t", "s"), "get")),
        ("$aws/things/t/shadow/name/s/delete", (ShadowName("t", "s"), "delete")),
        ("$aws/things/t/shadow/update/accepted", None),
        ("$aws/things/t/shadow/name/s/update/delta", None),
        ("$aws/things/t/shadow/name//get", None),
        ("$aws/things/no spaces/shadow/get", None),
        ("elsewhere", None),
    ],
)
def test_topics_of_requests(topic: str, expected: object) -> None:
    assert parse_topic(topic) == expected


CONTENT = st.recursive(
    st.one_of(st.none(), st.integers(0, 3), st.lists(st.integers(0, 2), max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "timestamp"]), inner, max_size=2),
    max_leaves=6,
)
STATES = st.dictionaries(
    st.sampled_from(["desired", "reported"]), st.dictionaries(st.sampled_from(["a", "b"]), CONTENT, max_size=2)
)


@settings(max_examples=60)
@given(st.lists(st.one_of(STATES, st.just("delete")), max_size=8))
def test_versions_only_rise_and_there_is_a_delta_where_they_differ(acts: list[Any]) -> None:
    published = Published()
    shadows = Shadows(published)
    version = 0
    refusals: list[str] = []
    for act in acts:
        published.said.clear()
        try:
            if act == "delete":
                shadows.delete(NAME, b"", 1.0)
                version += 1
                continue
            now = put(shadows, state=act)["version"]
        except Refused as refused:
            refusals.append(refused.kind)
            continue
        assert now > version
        version = now
        state = json.loads(shadows.get(NAME, b"", 1.0))["state"]
        assert ("delta" in state) == any(topic.endswith("/delta") for topic, _ in published.said)
        if state.get("desired", {}) == state.get("reported", {}):
            assert "delta" not in state
    assert set(refusals) <= {"ResourceNotFoundError", "InvalidArgumentsError"}


def test_a_rate() -> None:
    limit = RateLimit(3)
    assert [limit.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert [limit.take(10.34), limit.take(10.35)] == [True, False]
    assert [limit.take(99.0) for _ in range(4)] == [True, True, True, False]
