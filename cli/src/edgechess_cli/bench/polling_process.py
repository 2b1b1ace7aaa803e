"""A game manager that waits as the AWS sample's does, written anew from its behaviour. Only for comparison.

    python -m edgechess_cli.bench.polling_process --broker mqtt://127.0.0.1:1883 --prefix bench-polling

Reference "aws-sample-wire", "Behaviour of the sample": raise a flag, publish, and while the flag is up sleep 3 s, 30 s at
most, three attempts; the answer of the device takes the flag down. Phases: board validates, arm moves, board says that
it processed the move. No rules, no journal, no shadow: what is left is the waiting.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import anyio
from anyio.abc import TaskStatus

from edgechess_kit import messages as m
from edgechess_kit.bus import Bus
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topic, Topics

POLL_S = 3.0
PHASE_LIMIT_S = 30.0
ATTEMPTS = 3
CLIENT_ID = "bench-polling-manager"


class PollingManager:
    """Starts and moves, one after the other, until cancelled."""

    def __init__(self, bus: Bus, topics: Topics) -> None:
        self._bus = bus
        self._topics = topics
        self._flags: dict[str, bool] = {}
        self._granted: dict[str, bool] = {}

    async def run(self) -> None:
        async with (
            self._bus.subscribe(self._topics.cloud_request) as requests,
            anyio.create_task_group() as tasks,
        ):
            await tasks.start(self._listen, name="answers")
            async for delivery in requests:
                request = delivery.decode(self._topics.cloud_request)
                status = await self._process(request)
                response = m.GameResponse(status=status, task_token=request.task_token)
                await self._bus.publish(self._topics.cloud_response, response)

    async def _listen(self, *, task_status: TaskStatus[None]) -> None:
        topics = self._topics
        answers: tuple[Topic[Any], ...] = (
            topics.board_start_response,
            topics.board_validate_response,
            topics.arm_move_response,
            topics.board_processed,
        )
        kinds: dict[str, Topic[Any]] = {topic.name: topic for topic in answers}
        async with self._bus.subscribe(*answers) as deliveries:
            task_status.started()
            async for delivery in deliveries:
                self._granted[delivery.topic] = delivery.decode(kinds[delivery.topic]).status == 200
                self._flags[delivery.topic] = False

    async def _process(self, request: m.GameRequest) -> Literal[200, 500]:
        topics, bus = self._topics, self._bus
        if request.action == "start":
            started = await self._phase(
                topics.board_start_response.name, lambda: bus.publish(topics.board_start, request)
            )
            return 200 if started else 500
        question = m.BoardValidateRequest(**{name: getattr(request, name) for name in request.__struct_fields__})
        for answer, ask in (
            (topics.board_validate_response.name, lambda: bus.publish(topics.board_validate, question)),
            (topics.arm_move_response.name, lambda: bus.publish(topics.arm_move, request)),
            (topics.board_processed.name, None),
        ):
            if not await self._phase(answer, ask):
                return 500
        return 200

    async def _phase(self, answer: str, ask: Callable[[], Awaitable[None]] | None) -> bool:
        for _ in range(ATTEMPTS):
            self._granted[answer], self._flags[answer] = False, True
            if ask is not None:
                await ask()
            waited_s = 0.0
            while (
                self._flags[answer] and waited_s < PHASE_LIMIT_S
            ):  # that it looks and does not wait is what is measured
                await anyio.sleep(POLL_S)
                waited_s += POLL_S
            if self._granted[answer]:
                return True
        return False


async def serve(broker: str, prefix: str) -> None:
    """Until it is cancelled or killed."""
    async with MqttBus(BusSettings(broker=broker, prefix=prefix), CLIENT_ID) as bus:
        await PollingManager(bus, Topics(prefix)).run()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A manager that looks at its flags every 3 s, for comparison.")
    parser.add_argument("--broker", required=True)
    parser.add_argument("--prefix", required=True)
    arguments = parser.parse_args(argv)
    anyio.run(serve, arguments.broker, arguments.prefix)
    return 0


if __name__ == "__main__":
    sys.exit(main())
