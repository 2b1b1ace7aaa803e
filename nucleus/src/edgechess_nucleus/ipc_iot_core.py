"""PublishToIoTCore and SubscribeToIoTCore, served from a broker near by."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from edgechess_nucleus.authority import Authority
from edgechess_nucleus.authorization import MQTT_PROXY
from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.iot_core import IotCore, IotCoreUnavailable, IotMessage, QoS
from edgechess_nucleus.ipc_call import EMPTY, Call, Operation, Request
from edgechess_nucleus.ipc_protocol import event
from edgechess_nucleus.refusal import Refused
from edgechess_nucleus.topic_filter import is_filter, is_topic

EVENT = event("IoTCoreMessage")
PAYLOAD_LIMIT_BYTES = 128 * 1024  # AWS IoT Core's own for a message
QosName = Literal["0", "1"]
USER_PROPERTIES_LIMIT = 64  # ours: MQTT 5 has none, the broker's packet has
# What an MQTT 5 packet can hold: a seconds field of four bytes, texts and data with a length of two.
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
TWO_BYTE_LENGTH = 65_535


class UserProperty(Request, frozen=True):
    key: str
    value: str


class PublishToIoTCore(Request, frozen=True):
    topic_name: str
    qos: QosName | None = None
    payload: bytes | None = None
    retain: bool | None = None
    user_properties: tuple[UserProperty, ...] | None = None
    message_expiry_interval_seconds: Seconds | None = None
    correlation_data: bytes | None = None
    response_topic: str | None = None
    payload_format: QosName | None = None
    content_type: str | None = None


class SubscribeToIoTCore(Request, frozen=True):
    topic_name: str
    qos: QosName | None = None


class IotCoreOperations:
    """`broker` None: the runtime was started without one, and every call is a ServiceError that says so."""

    def __init__(self, broker: IotCore | None, authority: Authority, flavour: Flavour) -> None:
        self._broker = broker
        self._authority = authority
        self._flavour = flavour

    def rows(self) -> tuple[Operation, ...]:
        return (
            Operation("PublishToIoTCore", PublishToIoTCore, self._publish),
            Operation("SubscribeToIoTCore", SubscribeToIoTCore, self._subscribe, streaming=True),
        )

    def _publish(self, call: Call, request: PublishToIoTCore) -> bytes:
        topic = request.topic_name
        self._authority.require(call.component, MQTT_PROXY, "PublishToIoTCore", topic)
        if self._flavour.checks_publish and request.payload is None:
            raise Refused("InvalidArgumentsError", "Payload must not be null")
        qos = self._qos(request.qos)
        if not is_topic(topic):
            raise Refused("InvalidArgumentsError", "topicName is no MQTT topic, or has a wildcard")
        if len(request.payload or b"") > PAYLOAD_LIMIT_BYTES:
            raise Refused("InvalidArgumentsError", f"The payload exceeds {PAYLOAD_LIMIT_BYTES} bytes")
        _check_mqtt5(request)
        try:
            self._there().publish(self._message(request, qos))
        except IotCoreUnavailable as error:
            raise Refused("ServiceError", f"Publish to topic {topic} failed: {error}") from error
        return EMPTY

    async def _subscribe(self, call: Call, request: SubscribeToIoTCore) -> bytes:
        topic = request.topic_name
        self._authority.require(call.component, MQTT_PROXY, "SubscribeToIoTCore", topic)
        qos = self._qos(request.qos)
        if not is_filter(topic):
            raise Refused("InvalidArgumentsError", "topicName is no MQTT topic filter")

        def receive(message: IotMessage) -> None:
            call.emit(EVENT, self._event(message))

        try:
            made = await self._there().subscribe(topic, qos, receive)
        except IotCoreUnavailable as error:
            raise Refused("ServiceError", f"Subscribe to topic {topic} failed with error {error}") from error
        call.at_end(made.end)
        return EMPTY

    def _there(self) -> IotCore:
        if self._broker is None:
            raise IotCoreUnavailable("this runtime has no broker that stands for IoT Core")
        return self._broker

    def _qos(self, name: QosName | None) -> QoS:
        if name is None and self._flavour.checks_publish:
            raise Refused("InvalidArgumentsError", "QoS must not be null")
        return 1 if name == "1" else 0

    def _message(self, request: PublishToIoTCore, qos: QoS) -> IotMessage:
        if not self._flavour.mqtt5_members:
            return IotMessage(request.topic_name, request.payload or b"", qos)
        return IotMessage(
            request.topic_name,
            request.payload or b"",
            qos,
            retain=bool(request.retain),
            user_properties=tuple((one.key, one.value) for one in request.user_properties or ()),
            message_expiry_interval_s=request.message_expiry_interval_seconds,
            correlation_data=request.correlation_data,
            response_topic=request.response_topic,
            payload_format=None if request.payload_format is None else int(request.payload_format),
            # contentType is not passed on: the Java nucleus's handler does not either
        )

    def _event(self, message: IotMessage) -> bytes:
        said: dict[str, Any] = {"topicName": message.topic, "payload": message.payload}
        if self._flavour.mqtt5_members:
            said |= _mqtt5_members(message)
        return msgspec.json.encode({"message": said})


def _check_mqtt5(request: PublishToIoTCore) -> None:
    """Raises Refused for what no MQTT packet can carry."""
    if request.response_topic is not None and not is_topic(request.response_topic):
        raise Refused("InvalidArgumentsError", "responseTopic is no MQTT topic, or has a wildcard")
    if len(request.correlation_data or b"") > TWO_BYTE_LENGTH:
        raise Refused("InvalidArgumentsError", f"correlationData exceeds {TWO_BYTE_LENGTH} bytes")
    properties = request.user_properties or ()
    if len(properties) > USER_PROPERTIES_LIMIT:
        raise Refused("InvalidArgumentsError", f"more than {USER_PROPERTIES_LIMIT} userProperties")
    if any(len(text.encode()) > TWO_BYTE_LENGTH for one in properties for text in (one.key, one.value)):
        raise Refused("InvalidArgumentsError", f"a user property exceeds {TWO_BYTE_LENGTH} bytes")


def _mqtt5_members(message: IotMessage) -> dict[str, Any]:
    members = {
        "retain": message.retain or None,
        "userProperties": [{"key": key, "value": value} for key, value in message.user_properties] or None,
        "messageExpiryIntervalSeconds": message.message_expiry_interval_s,
        "correlationData": message.correlation_data,
        "responseTopic": message.response_topic,
        "payloadFormat": None if message.payload_format is None else str(message.payload_format),
        "contentType": message.content_type,
    }
    return {name: value for name, value in members.items() if value is not None}
