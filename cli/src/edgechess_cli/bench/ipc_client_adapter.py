"""The stock Greengrass client (awsiotsdk) as the IPC benchmark uses it: it publishes to a topic that it hears itself.

Handlers run on the client's own network thread, so that no pool of threads is measured with it.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from awsiot.greengrasscoreipc import connect, model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from edgechess_cli.bench.ipc_wire import MESSAGE, TOKEN, TOPIC
from edgechess_cli.bench.manager import BenchError

ANSWER_TIMEOUT_S = 30.0  # of a message, and of a whole burst's last one


class StockClient:
    """One connection. Blocking calls: run them in a thread. Raises BenchError when the server is silent."""

    def __init__(self, path: Path) -> None:
        inner = connect(ipc_socket=str(path), authtoken=TOKEN, timeout=ANSWER_TIMEOUT_S)
        self._client: Any = GreengrassCoreIPCClientV2(inner, executor=None)
        self._message = model.PublishMessage(json_message=model.JsonMessage(message=MESSAGE))
        self._missing = 0
        self._all_came = threading.Event()
        self._came_s = 0.0
        self._client.subscribe_to_topic(topic=TOPIC, on_stream_event=self._on_event)

    def _on_event(self, event: Any) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._came_s = time.perf_counter()
            self._all_came.set()

    def round_trips_ms(self, count: int) -> list[float]:
        """One after another: each from the call to the message's arrival; the call's own answer is awaited as well, but
        not counted."""
        return [self._round_trip_ms() for _ in range(count)]

    def _round_trip_ms(self) -> float:
        self._expect(1)
        started_s = time.perf_counter()
        answer = self._publish()
        self._await_all()
        answer.result(ANSWER_TIMEOUT_S)
        return 1000.0 * (self._came_s - started_s)

    def burst_per_s(self, count: int, window: int) -> float:
        """Messages a second, `window` of them unanswered at once, until the last has come and is answered."""
        self._expect(count)
        room = threading.Semaphore(window)
        started_s = time.perf_counter()
        for _ in range(count):
            if not room.acquire(timeout=ANSWER_TIMEOUT_S):
                raise BenchError("no answer to a publish")
            answer = self._publish()
            answer.add_done_callback(lambda _: room.release())
        self._await_all()
        answer.result(ANSWER_TIMEOUT_S)
        return count / (time.perf_counter() - started_s)

    def _publish(self) -> Any:
        return self._client.publish_to_topic_async(topic=TOPIC, publish_message=self._message)

    def _expect(self, count: int) -> None:
        self._missing = count
        self._all_came.clear()

    def _await_all(self) -> None:
        if not self._all_came.wait(ANSWER_TIMEOUT_S):
            raise BenchError(f"{self._missing} messages did not come back within {ANSWER_TIMEOUT_S:g} s")

    def close(self) -> None:
        self._client.close().result(ANSWER_TIMEOUT_S)
