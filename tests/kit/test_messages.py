"""The wire: the AWS sample's literal payloads are read, broken ones are refused with the field's name, nothing else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgechess_kit import messages as m
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topic, Topics

TOPICS = Topics()
ALL_TOPICS: list[Topic[Any]] = [value for value in vars(TOPICS).values() if isinstance(value, Topic)]

START = (
    b'{"sessionId":"1bf2","action":"start","before":"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",'
    b'"after":"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1","color":"w","piece":"","from":"","to":"",'
    b'"san":"","lan":"","flags":"b","taskToken":"AQCEAAAAKgAAAAMAAAAAAAAAAe"}'
)
MOVE = (
    b'{"color":"w","from":"e2","to":"e4","piece":"p","flags":"b","san":"e4","lan":"e2e4",'
    b'"before":"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",'
    b'"after":"rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1",'
    b'"action":"move","sessionId":"1bf2","taskToken":"AQCEAAAAKgAAAAMAAAAAAAAAAe"}'
)
PROMOTION = (
    b'{"color":"w","from":"e7","to":"d8","piece":"p","captured":"r","promotion":"n","flags":"cp","san":"exd8=N",'
    b'"lan":"e7d8n","before":"3r1k2/4P3/8/8/8/8/8/4K3 w - - 0 1","after":"3N1k2/8/8/8/8/8/8/4K3 b - - 0 1",'
    b'"action":"move","sessionId":"1bf2","taskToken":"t"}'
)


def test_the_samples_start_is_read() -> None:
    request = TOPICS.cloud_request.decode(START)
    assert (request.action, request.session_id, request.flags) == ("start", "1bf2", "b")
    assert request.before == request.after == "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"


def test_the_samples_move_is_read() -> None:
    request = TOPICS.cloud_request.decode(MOVE)
    assert (request.from_, request.to, request.san, request.lan) == ("e2", "e4", "e4", "e2e4")
    assert request.task_token == "AQCEAAAAKgAAAAMAAAAAAAAAAe"
    assert request.executor is None


def test_a_capture_with_underpromotion_is_read() -> None:
    request = TOPICS.cloud_request.decode(PROMOTION)
    assert (request.captured, request.promotion, request.lan) == ("r", "n", "e7d8n")


def test_the_samples_move_travels_to_the_board_as_it_came() -> None:
    request = TOPICS.board_validate.decode(MOVE[:-1] + b',"move_type":"RETRY"}')
    assert (request.move_type, request.expect) == ("RETRY", "before")
    assert b'"move_type":"RETRY"' in TOPICS.board_validate.encode(request)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (TOPICS.cloud_response, b'{"taskToken":"t","status":200}'),
        (TOPICS.cloud_response, b'{"taskToken":"t","status":400,"reason":"Game Manager is currently busy"}'),
        (TOPICS.board_start_response, b'{"status":200,"taskToken":"t"}'),
        (TOPICS.board_validate_response, b'{"status":500,"move":"e2e4","reason":"no"}'),
        (TOPICS.arm_move_response, b'{"status":200,"lan":"e2e4"}'),
        (TOPICS.board_processed, b'{"status":200,"lan":"e2e4"}'),
    ],
)
def test_the_samples_answers_are_read_and_written_alike(topic: Topic[Any], payload: bytes) -> None:
    assert json.loads(topic.encode(topic.decode(payload))) == json.loads(payload)


def test_topic_names_are_the_samples() -> None:
    assert [
        TOPICS.cloud_request.name,
        TOPICS.cloud_response.name,
        TOPICS.board_start.name,
        TOPICS.board_start_response.name,
        TOPICS.board_validate.name,
        TOPICS.board_validate_response.name,
        TOPICS.arm_move.name,
        TOPICS.arm_move_response.name,
        TOPICS.board_processed.name,
    ] == [
        "robo-chess/cloud/request",
        "robo-chess/cloud/response",
        "robo-chess/devices/board/start",
        "robo-chess/devices/board/start/response",
        "robo-chess/devices/board/validate",
        "robo-chess/devices/board/validate/response",
        "robo-chess/devices/arm/move",
        "robo-chess/devices/arm/move/response",
        "robo-chess/devices/board/processed",
    ]
    assert Topics("table-2").status.name == "table-2/edge/status"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"action": "dance"}, "action"),
        ({"action": None}, "action"),
        ({"sessionId": 7}, "sessionId"),
        ({"sessionId": ""}, "sessionId"),
        ({"sessionId": "x" * 129}, "sessionId"),
        ({"taskToken": ""}, "taskToken"),
        ({"taskToken": "x" * 2049}, "taskToken"),
        ({"before": "x"}, "before"),
        ({"before": ["x"]}, "before"),
        ({"after": "8/8"}, "after"),
        ({"lan": "e9e4"}, "lan"),
        ({"lan": "e7e8k"}, "lan"),
        ({"lan": "e2e4\n"}, "lan"),
        ({"lan": ""}, "lan"),
        ({"color": "white"}, "color"),
        ({"piece": "pp"}, "piece"),
        ({"from": "e22"}, "from"),
        ({"deadline": "soon"}, "deadline"),
        ({"attempt": 1.5}, "attempt"),
        ({"executor": "robot"}, "executor"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(WireError) as caught:
        TOPICS.cloud_request.decode(json.dumps({**json.loads(MOVE), **change}).encode())
    assert named in caught.value.reason


@pytest.mark.parametrize("missing", ["action", "sessionId", "taskToken", "before", "after", "lan"])
def test_a_missing_field_is_named(missing: str) -> None:
    payload = {key: value for key, value in json.loads(MOVE).items() if key != missing}
    with pytest.raises(WireError, match=f"`{missing}`"):
        TOPICS.cloud_request.decode(json.dumps(payload).encode())


@pytest.mark.parametrize("payload", [b"", b"hello", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", MOVE + b"}", MOVE[:-1]])
def test_what_is_not_a_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        TOPICS.cloud_request.decode(payload)


def test_unknown_fields_are_ignored() -> None:
    assert TOPICS.cloud_request.decode(MOVE[:-1] + b',"weather":{"rain":[1,2]}}') == TOPICS.cloud_request.decode(MOVE)


def test_a_message_over_the_limit_is_refused_both_ways() -> None:
    padded = MOVE[:-1] + b',"pad":"' + b"x" * (m.SIZE_LIMIT_BYTES - len(MOVE) - 9) + b'"}'
    assert len(padded) == m.SIZE_LIMIT_BYTES
    TOPICS.cloud_request.decode(padded)
    with pytest.raises(WireError, match="7001 bytes"):
        TOPICS.cloud_request.decode(padded + b" ")
    with pytest.raises(WireError, match="limit is 7000"):
        TOPICS.events.encode(m.EdgeEvent(component="c", kind="k", seq=1, at=0.0, data={"x": "x" * 7000}))


def test_a_reason_is_short_enough_to_be_sent_back() -> None:
    payload = json.dumps({**json.loads(MOVE), "action": "x" * 5000}).encode()
    with pytest.raises(WireError) as caught:
        TOPICS.cloud_request.decode(payload)
    answer = m.GameResponse(status=400, task_token="t", reason=caught.value.reason)
    assert TOPICS.cloud_response.decode(TOPICS.cloud_response.encode(answer)) == answer


def test_messages_are_frozen() -> None:
    with pytest.raises(AttributeError):
        TOPICS.cloud_request.decode(MOVE).lan = "e2e3"  # type: ignore[misc]


def test_the_retained_topics_are_the_states() -> None:
    assert {topic.name.removeprefix("robo-chess/") for topic in ALL_TOPICS if topic.retain} == {
        "devices/board/state",
        "devices/arm/state",
        "edge/session/state",
        "inference/status",
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(payload=st.binary(max_size=200))
@example(payload=b'"\\ud800"')
@example(payload=b"[" * 6000)
@example(payload=b'{"deadline":1e999}')
@example(payload=b'{"seq":' + b"9" * 400 + b"}")
def test_no_bytes_raise_anything_but_wire_error(payload: bytes) -> None:
    for topic in ALL_TOPICS:
        with suppress(WireError):
            topic.decode(payload)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_json_raises_anything_but_wire_error(data: st.DataObject) -> None:
    topic = data.draw(st.sampled_from(ALL_TOPICS))
    names = [field.encode_name for field in msgspec.structs.fields(topic.type)]
    payload = data.draw(st.dictionaries(st.sampled_from(names), json_values, max_size=6))
    with suppress(WireError):
        message = topic.decode(json.dumps(payload).encode())
        assert topic.decode(topic.encode(message)) == message
