"""Where the two nuclei differ, as one table: the Java nucleus ("java") and Greengrass nucleus lite ("lite").

Components are run against both. Every row is from the references "greengrass-ipc" and "greengrass-nucleus-lite";
where they measured something that is a defect (lite's unary replies that leave their streams open), it is imitated,
because a component has to live with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

LITE_OPERATIONS = frozenset(
    {
        "PublishToTopic",
        "SubscribeToTopic",
        "PublishToIoTCore",
        "SubscribeToIoTCore",
        "GetConfiguration",
        "UpdateConfiguration",
        "SubscribeToConfigurationUpdate",
        "UpdateState",
    }
)
JAVA_OPERATIONS = LITE_OPERATIONS | {
    "GetThingShadow",
    "UpdateThingShadow",
    "DeleteThingShadow",
    "ListNamedShadowsForThing",
    "GetSecretValue",
    "SubscribeToComponentUpdates",
    "DeferComponentUpdate",
    "PutComponentMetric",
}
CRT_FRAME_BYTES = 24 * 1024 * 1024  # aws-c-event-stream's own limit, 24 MiB


@dataclasses.dataclass(frozen=True, slots=True)
class Flavour:
    """One nucleus's ways."""

    name: str
    operations: frozenset[str]
    frame_limit_bytes: int
    """A longer frame closes the connection."""
    clients_limit: int
    subscriptions_limit: int
    """Local topics, all components together."""
    topic_limit_bytes: int
    policy_limit_bytes: int | None
    """JSON text of accessControl, per service."""
    fold_case: bool
    """Configuration keys are compared without regard to case."""
    speaks_on_stream_0: bool
    """PING is answered, a bad token gets CONNECT_ACK without the accepted flag and a violation an error message before
    the close. Otherwise each of them just closes."""
    ends_unary_streams: bool
    """A unary reply carries TERMINATE_STREAM."""
    full_errors: bool
    """Errors carry `message`, and the service or resource; otherwise `_message` and `_errorCode` alone."""
    honours_receive_mode: bool
    """And wildcard subscriptions do not hear their own connection unless asked to."""
    checks_publish: bool
    """A wildcard in a published topic, and IoT Core publishes without payload or QoS, are InvalidArgumentsError."""
    refuses_stale_updates: bool
    """An UpdateConfiguration older than the key is FailedUpdateConditionCheckError, not silence."""
    hash_matches_parent: bool
    """The filter "a/#" matches the topic "a"."""
    keeps_empty_levels: bool
    """Trailing empty levels of topics and filters count: "a/+" matches "a/"."""
    policy_hash_matches_parent: bool
    """The mqttproxy policy "n/#" allows "n"."""
    interpolates_policies: bool
    """{iot:thingName} in resources, without an option."""
    mqtt5_members: bool
    """IoT Core messages carry MQTT 5 properties and publishes honour `retain`."""
    spools: bool
    """A publish to IoT Core is kept while the broker is away, not refused."""
    yaml_scalars_are_text: bool
    """`true`, `3` and `1.5` in a YAML recipe arrive as strings."""


JAVA = Flavour(
    name="java",
    operations=JAVA_OPERATIONS,
    frame_limit_bytes=CRT_FRAME_BYTES,
    clients_limit=1000,  # ours: Java has none, but a runaway component must not eat the machine's descriptors
    subscriptions_limit=10_000,  # ours, for the same reason
    topic_limit_bytes=65_535,  # MQTT's own
    policy_limit_bytes=None,
    fold_case=True,
    speaks_on_stream_0=True,
    ends_unary_streams=True,
    full_errors=True,
    honours_receive_mode=True,
    checks_publish=True,
    refuses_stale_updates=True,
    hash_matches_parent=False,
    keeps_empty_levels=False,
    policy_hash_matches_parent=True,
    interpolates_policies=False,
    mqtt5_members=True,
    spools=True,
    yaml_scalars_are_text=False,
)
LITE = Flavour(
    name="lite",
    operations=LITE_OPERATIONS,
    frame_limit_bytes=10_000,
    clients_limit=50,
    subscriptions_limit=99,
    topic_limit_bytes=256,
    policy_limit_bytes=4096,
    fold_case=False,
    speaks_on_stream_0=False,
    ends_unary_streams=False,
    full_errors=False,
    honours_receive_mode=False,
    checks_publish=False,
    refuses_stale_updates=False,
    hash_matches_parent=True,
    keeps_empty_levels=True,
    policy_hash_matches_parent=False,
    interpolates_policies=True,
    mqtt5_members=False,
    spools=False,
    yaml_scalars_are_text=True,
)
FLAVOURS: Mapping[str, Flavour] = {flavour.name: flavour for flavour in (JAVA, LITE)}
