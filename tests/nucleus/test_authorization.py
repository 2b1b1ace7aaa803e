"""What policies allow, as the reference measured and read it (greengrass-ipc, section 6)."""

from __future__ import annotations

from typing import Any

import pytest

from edgechess_nucleus.authorization import MQTT_PROXY, PUBSUB, SHADOWS, read_policies
from edgechess_nucleus.flavour import JAVA, LITE, Flavour


def allows(resource: str, asked: str, service: str = PUBSUB, flavour: Flavour = JAVA) -> bool:
    tree = {service: {"p": {"operations": ["aws.greengrass#Do"], "resources": [resource]}}}
    policies, problems = read_policies(tree, flavour, "core-1")
    assert problems == []
    return policies.allow(service, "Do", asked)


@pytest.mark.parametrize(
    ("resource", "asked", "expected"),
    [
        ("robo-chess/cloud/request", "robo-chess/cloud/request", True),
        ("robo-chess/cloud/request", "robo-chess/cloud/requests", False),
        ("robo-chess/cloud/request", "x/robo-chess/cloud/request", False),
        ("robo-chess/*", "robo-chess/a/b", True),
        ("robo-chess/*", "robo-chess/", True),
        ("robo-chess/*", "robo-chess", False),
        ("*", "anything/at/all", True),
        ("a/*/z", "a/b/c/z", True),
        ("robo/#", "robo/#", True),
        ("robo/#", "robo/a", False),
        ("robo/+", "robo/+", True),
        ("robo/+", "robo/a", False),
        ("lit/${*}", "lit/*", True),
        ("lit/${*}", "lit/a", False),
        ("q/${?}/${$}", "q/?/$", True),
        ("a.c", "abc", False),
        ("a\nb/*", "a\nb/c\nd", True),
        ("cost/$5", "cost/$5", True),
    ],
)
@pytest.mark.parametrize("flavour", [JAVA, LITE])
def test_local_topics_are_text_with_stars(resource: str, asked: str, expected: bool, flavour: Flavour) -> None:
    assert allows(resource, asked, PUBSUB, flavour) is expected


@pytest.mark.parametrize(
    ("resource", "asked", "java", "lite"),
    [
        ("m/+/x", "m/1/x", True, True),
        ("m/+/x", "m/1/2/x", False, False),
        ("m/+/x", "m/+/x", True, True),
        ("m/+", "m/#", False, False),
        ("n/#", "n/a/b", True, True),
        ("n/#", "n/#", True, True),
        ("n/#", "n/+/c", True, True),
        ("n/#", "n", True, False),
        ("n/#", "nn", False, False),
        ("#", "a/b", True, True),
        ("s/*", "s/a/b", True, True),
        ("s+/x", "s+/x", True, True),
        ("s+/x", "s1/x", False, False),
        ("a/#/b", "a/x/b", False, False),
    ],
)
def test_iot_core_topics_know_mqtt(resource: str, asked: str, java: bool, lite: bool) -> None:
    assert allows(resource, asked, MQTT_PROXY, JAVA) is java
    assert allows(resource, asked, MQTT_PROXY, LITE) is lite


def test_the_thing_name() -> None:
    assert allows("th/{iot:thingName}/*", "th/core-1/a", PUBSUB, LITE)
    assert not allows("th/{iot:thingName}/*", "th/core-1/a", PUBSUB, JAVA)


def test_operations_and_services_are_their_own() -> None:
    tree = {PUBSUB: {"p": {"operations": ["aws.greengrass#PublishToTopic"], "resources": ["*"]}}}
    policies, _ = read_policies(tree, JAVA, "t")
    assert policies.allow(PUBSUB, "PublishToTopic", "a")
    assert policies.allow(PUBSUB, "PublishToTopic", "a")  # from memory
    assert not policies.allow(PUBSUB, "SubscribeToTopic", "a")
    assert not policies.allow(SHADOWS, "PublishToTopic", "a")
    anything, _ = read_policies({PUBSUB: {"p": {"operations": ["*"], "resources": ["a"]}}}, JAVA, "t")
    assert anything.allow(PUBSUB, "Whatever", "a")


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ({"operations": [], "resources": ["*"]}, "operations is missing"),
        ({"operation": ["*"], "resources": ["*"]}, "operations is missing"),
        ({"operations": ["*"]}, "resources is missing"),
        ({"operations": ["*"], "resources": "a"}, "resources is missing"),
        ({"operations": ["*"], "resources": [3]}, "resources is missing"),
        ({"operations": ["*"], "resources": ["a?b"]}, r"\? in the resource"),
        ({"operations": ["*"], "resources": ["a/${x}"]}, r"\$\{x\} in the resource"),
        ("*", "an object"),
    ],
)
def test_a_policy_that_cannot_be_read_says_nothing_and_is_named(policy: Any, problem: str) -> None:
    good = {"operations": ["*"], "resources": ["good"]}
    policies, problems = read_policies({PUBSUB: {"bad": policy, "good": good}}, JAVA, "t")
    assert not policies.allow(PUBSUB, "Do", "a")
    assert policies.allow(PUBSUB, "Do", "good")
    (said,) = problems
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(said)
    assert said.startswith("accessControl.aws.greengrass.ipc.pubsub.bad: ")


@pytest.mark.parametrize("tree", [None, "", [], 3, {PUBSUB: []}])
def test_no_policies_allow_nothing(tree: Any) -> None:
    policies, _ = read_policies(tree, JAVA, "t")
    assert not policies.allow(PUBSUB, "Do", "a")


def test_lite_reads_4096_bytes_for_a_service() -> None:
    tree = {PUBSUB: {"p": {"operations": ["*"], "resources": ["x" * 4096, "a"]}}}
    lite, problems = read_policies(tree, LITE, "t")
    assert not lite.allow(PUBSUB, "Do", "a")
    assert "bytes of policies" in problems[0]
    java, problems = read_policies(tree, JAVA, "t")
    assert java.allow(PUBSUB, "Do", "a")
    assert problems == []
