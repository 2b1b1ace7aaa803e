"""Local topics: who hears what, and whether the memory of routes is ever wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgechess_nucleus.flavour import JAVA, LITE
from edgechess_nucleus.pubsub import LocalMessage, LocalSubscription, LocalTopics
from edgechess_nucleus.refusal import Refused
from edgechess_nucleus.topic_filter import levels, matches


def message(topic: str, source: str = "one") -> LocalMessage:
    return LocalMessage(topic, b"{}", True, source)


def test_the_event_is_made_once_and_is_json() -> None:
    said = LocalMessage('a/"b"', b'{"n": 1}', True, "one")
    assert said.event == b'{"jsonMessage":{"message":{"n": 1},"context":{"topic":"a/\\"b\\""}}}'
    assert said.event is said.event
    assert LocalMessage("a", b"\x00\xff", False, "one").event == (
        b'{"binaryMessage":{"message":"AP8=","context":{"topic":"a"}}}'
    )


def test_a_part_of_the_runtime_never_hears_itself_and_does_not_count() -> None:
    topics, heard = LocalTopics(LITE), list[LocalMessage]()
    attached = topics.attach("a/#", "bridge", heard.append)
    topics.publish(message("a/b", "bridge"))
    topics.publish(message("a/b", "one"))
    assert [one.source for one in heard] == ["one"]
    assert len(topics) == 0
    topics.unsubscribe(attached)
    topics.publish(message("a/b", "one"))
    assert len(heard) == 1


def test_the_limit() -> None:
    topics = LocalTopics(LITE)
    made = [topics.subscribe("a", "one", lambda _: None) for _ in range(99)]
    with pytest.raises(Refused, match="99 subscriptions"):
        topics.subscribe("a", "one", lambda _: None)
    topics.unsubscribe(made[0])
    topics.subscribe("a", "one", lambda _: None)


def test_more_topics_than_are_remembered() -> None:
    topics, heard = LocalTopics(JAVA), list[str]()
    topics.subscribe("#", "one", lambda said: heard.append(said.topic), "RECEIVE_ALL_MESSAGES")
    for number in range(3000):
        topics.publish(message(f"t/{number}"))
    assert heard == [f"t/{number}" for number in range(3000)]


FILTERS = st.sampled_from(["a", "a/b", "a/+", "+/b", "#", "a/#", "b"])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("subscribe"), FILTERS),
        st.tuples(st.just("unsubscribe"), st.integers(0, 5)),
        st.tuples(st.just("publish"), st.sampled_from(["a", "b", "a/b", "a/c", "x/b"])),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(ACTS)
def test_each_message_goes_to_those_who_match_now(acts: list[tuple[str, object]]) -> None:
    topics = LocalTopics(JAVA)
    live: list[tuple[str, list[str], LocalSubscription]] = []
    for act, what in acts:
        if act == "subscribe":
            heard: list[str] = []
            made = topics.subscribe(
                str(what),
                "two",
                lambda said, heard=heard: heard.append(said.topic),
                "RECEIVE_ALL_MESSAGES",  # type: ignore[misc]
            )
            live.append((str(what), heard, made))
        elif act == "unsubscribe" and live:
            topics.unsubscribe(live.pop(int(str(what)) % len(live))[2])
        elif act == "publish":
            before = [len(heard) for _, heard, _ in live]
            topics.publish(message(str(what)))
            for (name, heard, _), count in zip(live, before, strict=True):
                hit = matches(levels(name, JAVA), levels(str(what), JAVA), JAVA)
                assert len(heard) == count + hit
