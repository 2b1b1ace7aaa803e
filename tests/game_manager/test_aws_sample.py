"""The AWS sample's own payloads, literally, and its board and arms instead of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest

pytestmark = pytest.mark.anyio

Rig = Callable[..., Any]

START = (
    b'{"sessionId":"a1b2","action":"start","before":"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",'
    b'"after":"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1","color":"w","piece":"","from":"","to":"",'
    b'"san":"","lan":"","flags":"b","taskToken":"AQCsTart"}'
)
MOVE = (
    b'{"color":"w","from":"e2","to":"e4","piece":"p","flags":"b","san":"e4","lan":"e2e4",'
    b'"before":"rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",'
    b'"after":"rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1",'
    b'"action":"move","sessionId":"a1b2","taskToken":"AQCmOve"}'
)


async def test_its_requests_on_our_table(rig: Rig) -> None:
    async with rig() as r:
        r.cloud.send_raw(START)
        await anyio.sleep(5)
        r.cloud.send_raw(MOVE)
        await anyio.sleep(20)
        answers = [msgspec.json.decode(raw) for raw in r.cloud.raw]
        assert [(a["taskToken"], a["status"]) for a in answers] == [("AQCsTart", 200), ("AQCmOve", 200)]
        r.cloud.send_raw(MOVE.replace(b"AQCmOve", b"AQCsecond"))
        await anyio.sleep(1)
        late = msgspec.json.decode(r.cloud.raw[-1])
        assert (late["taskToken"], late["status"]) == ("AQCsecond", 400)
        assert isinstance(late["reason"], str)


class SampleDevices:
    """A board and an arm that know nothing but the sample's fields."""

    def __init__(self, r: Any) -> None:
        self.r = r
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.arm_status = 200
        self.arm_answers = True
        self.processed = 200
        self.board_first = 200

    def say(self, topic: Any, payload: bytes) -> None:
        self.r.broker.inject("devices", topic.name, payload)

    async def run(self) -> None:
        t = self.r.topics
        async with self.r.broker.client("devices").subscribe(t.board_start, t.board_validate, t.arm_move) as deliveries:
            async for delivery in deliveries:
                request = msgspec.json.decode(delivery.payload)
                self.heard.append((delivery.topic.split("/", 2)[2], request))
                await anyio.sleep(0.5)
                if delivery.topic == t.board_start.name:
                    self.say(t.board_start_response, b'{"status":200}')
                elif delivery.topic == t.board_validate.name:
                    body = b'{"status":%d,"move":"e2e4","reason":"no"}' % self.board_first
                    self.board_first = 200
                    self.say(t.board_validate_response, body)
                else:
                    await self.move()

    async def move(self) -> None:
        t = self.r.topics
        await anyio.sleep(3)
        if self.processed:
            self.say(t.board_processed, b'{"status":%d,"lan":"e2e4","reason":"seen"}' % self.processed)
        await anyio.sleep(1)
        if self.arm_answers:
            self.say(t.arm_move_response, b'{"status":%d,"lan":"e2e4","reason":"arm"}' % self.arm_status)


@pytest.fixture
def sample(rig: Rig) -> Callable[..., Any]:
    def open_it(**settings: Any) -> Any:
        return rig(devices=False, board_protocol="sample", arm_protocol="sample", **settings)

    return open_it


async def play(r: Any, devices: SampleDevices, wait_s: float = 20.0) -> dict[str, Any]:
    r.group.start_soon(devices.run)
    await anyio.sleep(0.1)
    r.cloud.send_raw(START)
    await anyio.sleep(5)
    r.cloud.send_raw(MOVE)
    await anyio.sleep(wait_s)
    answers = [msgspec.json.decode(raw) for raw in r.cloud.raw]
    assert [a["taskToken"] for a in answers] == ["AQCsTart", "AQCmOve"]
    last: dict[str, Any] = answers[-1]
    return last


async def test_its_board_and_arms_under_our_manager(sample: Rig) -> None:
    async with sample() as r:
        devices = SampleDevices(r)
        devices.board_first = 500
        answer = await play(r, devices)
        assert answer["status"] == 200
        names = [name for name, _ in devices.heard]
        assert names == ["board/start", "board/validate", "board/validate", "arm/move"]
        assert "move_type" not in devices.heard[1][1]
        assert devices.heard[2][1]["move_type"] == "RETRY"
        assert devices.heard[3][1] == msgspec.json.decode(MOVE)  # passed on as it came


async def test_its_arm_is_never_told_twice(sample: Rig) -> None:
    async with sample() as r:
        devices = SampleDevices(r)
        devices.arm_answers, devices.processed = False, 0
        answer = await play(r, devices, wait_s=400)
        assert answer["status"] == 500
        assert [name for name, _ in devices.heard].count("arm/move") == 1


async def test_its_arm_is_not_told_again_after_a_restart(sample: Rig) -> None:
    async with sample() as r:
        devices = SampleDevices(r)
        r.group.start_soon(devices.run)
        await anyio.sleep(0.1)
        r.cloud.send_raw(START)
        await anyio.sleep(5)
        r.cloud.send_raw(MOVE)
        await anyio.sleep(1.5)
        r.scope.cancel()
        await anyio.sleep(0.1)
        r.group.start_soon(r.manage)
        await anyio.sleep(30)
        assert [name for name, _ in devices.heard].count("arm/move") == 1
        assert msgspec.json.decode(r.cloud.raw[-1])["status"] == 200


async def test_its_board_decides_not_its_arm(sample: Rig) -> None:
    async with sample() as r:
        devices = SampleDevices(r)
        devices.processed = 500
        answer = await play(r, devices)
        assert (answer["status"], answer["detail"]["code"]) == (500, "after-mismatch")
        assert "seen" in answer["reason"]


async def test_a_person_instead_of_its_arm(sample: Rig) -> None:
    async with sample(robot_enabled=False) as r:
        devices = SampleDevices(r)
        r.group.start_soon(devices.run)
        await anyio.sleep(0.1)
        r.cloud.send_raw(START)
        await anyio.sleep(5)
        r.cloud.send_raw(MOVE)
        await anyio.sleep(30)
        assert len(r.cloud.raw) == 1
        devices.say(r.topics.board_processed, b'{"status":200,"lan":"e2e4"}')
        await anyio.sleep(1)
        assert msgspec.json.decode(r.cloud.raw[-1])["status"] == 200
        assert [name for name, _ in devices.heard].count("arm/move") == 0
