"""PublishToTopic and SubscribeToTopic."""

from __future__ import annotations

import msgspec

from edgechess_nucleus.authority import Authority
from edgechess_nucleus.authorization import PUBSUB
from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.ipc_call import EMPTY, Call, Operation, Request
from edgechess_nucleus.ipc_protocol import event
from edgechess_nucleus.pubsub import LocalMessage, LocalTopics, ReceiveMode
from edgechess_nucleus.refusal import Refused

EVENT = event("SubscriptionResponseMessage")


class JsonMessage(Request, frozen=True):
    message: msgspec.Raw


class BinaryMessage(Request, frozen=True):
    message: bytes


class PublishMessage(Request, frozen=True):
    """A union: one of the two."""

    json_message: JsonMessage | None = None
    binary_message: BinaryMessage | None = None


class PublishToTopic(Request, frozen=True):
    topic: str
    publish_message: PublishMessage


class SubscribeToTopic(Request, frozen=True):
    topic: str
    receive_mode: ReceiveMode | None = None


class TopicOperations:
    """Local publish and subscribe for components."""

    def __init__(self, topics: LocalTopics, authority: Authority, flavour: Flavour) -> None:
        self._topics = topics
        self._authority = authority
        self._flavour = flavour

    def rows(self) -> tuple[Operation, ...]:
        return (
            Operation("PublishToTopic", PublishToTopic, self._publish),
            Operation("SubscribeToTopic", SubscribeToTopic, self._subscribe, streaming=True),
        )

    def _publish(self, call: Call, request: PublishToTopic) -> bytes:
        topic = request.topic
        self._authority.require(call.component, PUBSUB, "PublishToTopic", topic)
        if self._flavour.checks_publish and any(wildcard in topic for wildcard in "+#*"):
            raise Refused("InvalidArgumentsError", "Publish topic must not contain a wildcard.")
        self._check_length(topic)
        match request.publish_message:
            case PublishMessage(json_message=JsonMessage(message=raw), binary_message=None):
                self._topics.publish(LocalMessage(topic, _checked(raw), True, call.component))
            case PublishMessage(json_message=None, binary_message=BinaryMessage(message=payload)):
                self._topics.publish(LocalMessage(topic, payload, False, call.component))
            case _:
                raise Refused("InvalidArgumentsError", "publishMessage must be one of jsonMessage and binaryMessage")
        return EMPTY

    def _subscribe(self, call: Call, request: SubscribeToTopic) -> bytes:
        self._authority.require(call.component, PUBSUB, "SubscribeToTopic", request.topic)
        if not request.topic:
            raise Refused("InvalidArgumentsError", "Subscribe topic must not be empty")
        self._check_length(request.topic)

        def receive(message: LocalMessage) -> None:
            call.emit(EVENT, message.event)

        made = self._topics.subscribe(request.topic, call.component, receive, request.receive_mode)
        call.at_end(lambda: self._topics.unsubscribe(made))
        return EMPTY

    def _check_length(self, topic: str) -> None:
        size = len(topic.encode())
        if size > self._flavour.topic_limit_bytes:
            limit = self._flavour.topic_limit_bytes
            raise Refused("InvalidArgumentsError", f"The topic has {size} bytes, at most {limit} are taken")


def _checked(raw: msgspec.Raw) -> bytes:
    """The JSON text of an object. It goes to subscribers as it came; the decoder has checked its syntax, not its
    letters. Raises Refused."""
    payload = bytes(raw)
    if not payload.startswith(b"{"):
        raise Refused("InvalidArgumentsError", "jsonMessage.message must be an object")
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise Refused("InvalidArgumentsError", "jsonMessage.message is not UTF-8") from error
    return payload
