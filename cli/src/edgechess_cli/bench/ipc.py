"""How fast local topics are through the runtime, with the stock client, beside a server that only echoes frames.

Both servers are processes of their own and live through the whole measurement; blocks of messages alternate between
them and MQTT, so that what the machine does besides meets all alike.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from edgechess_cli.bench.figures import Distribution, Report, Table, Target
from edgechess_cli.bench.ipc_client_adapter import StockClient
from edgechess_cli.bench.ipc_wire import MESSAGE, PAYLOAD_BYTES
from edgechess_cli.bench.manager import BenchError
from edgechess_cli.child_process import ChildProcess
from edgechess_kit.broker import running_broker
from edgechess_kit.bus import Subscription
from edgechess_kit.messages import Message
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topic

LIMIT_RATE_RATIO = 1 / 0.7  # the runtime is at least 0.7 times as fast as the floor
LIMIT_P99_RATIO = 2.0
WINDOW = 64  # publishes unanswered at once
MQTT_WINDOW = 8  # of these, what the client library takes without a warning for each message
BLOCKS = 10  # of each server, in turn
START_TIMEOUT_S = 20.0
POLL_S = 0.05


class Parcel(Message, frozen=True, kw_only=True):
    """The same JSON on the MQTT bus."""

    data: str


PARCEL = Parcel(data=MESSAGE["data"])


class MqttPair:
    """The kit's bus with the same two measures: it publishes to a topic that it hears itself."""

    def __init__(self, bus: MqttBus, topic: Topic[Parcel], heard: Subscription) -> None:
        self._bus = bus
        self._topic = topic
        self._heard = heard

    async def round_trips_ms(self, count: int) -> list[float]:
        return [await self._round_trip_ms() for _ in range(count)]

    async def _round_trip_ms(self) -> float:
        started_s = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._bus.publish, self._topic, PARCEL)
            await anext(self._heard)
            came_s = anyio.current_time()
        return 1000.0 * (came_s - started_s)

    async def burst_per_s(self, count: int) -> float:
        started_s = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for number in range(MQTT_WINDOW):
                tasks.start_soon(self._publish, count // MQTT_WINDOW + (number < count % MQTT_WINDOW))
            for _ in range(count):
                await anext(self._heard)
        return count / (anyio.current_time() - started_s)

    async def _publish(self, count: int) -> None:
        for _ in range(count):
            await self._bus.publish(self._topic, PARCEL)


class StockPair:
    """The stock client, asked from an event loop."""

    def __init__(self, client: StockClient) -> None:
        self._client = client

    async def round_trips_ms(self, count: int) -> list[float]:
        return await run_sync(self._client.round_trips_ms, count)

    async def burst_per_s(self, count: int) -> float:
        return await run_sync(self._client.burst_per_s, count, WINDOW)


@dataclasses.dataclass(slots=True)
class Side:
    """One way, and what was measured on it."""

    name: str
    pair: StockPair | MqttPair
    round_trips_ms: list[float] = dataclasses.field(default_factory=list)
    rates_per_s: list[float] = dataclasses.field(default_factory=list)

    async def block(self, round_trips: int, burst: int) -> None:
        self.round_trips_ms += await self.pair.round_trips_ms(round_trips)
        self.rates_per_s.append(await self.pair.burst_per_s(burst))


async def measure(messages: int) -> Report:
    """`messages` round trips, and as many in bursts, on each way. Raises BenchError, or BrokerError without a broker."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ipc-")))
        runtime = await stack.enter_async_context(_server("runtime", "ipc_server_process", folder))
        floor = await stack.enter_async_context(_server("floor", "ipc_null_process", folder))
        mqtt = await stack.enter_async_context(_mqtt())
        sides = (Side("runtime", runtime), Side("floor", floor), Side("mqtt", mqtt))
        each = max(WINDOW, messages // BLOCKS)
        for side in sides:
            await side.block(each // 4, each)  # warm
            side.round_trips_ms.clear()
            side.rates_per_s.clear()
        for _ in range(BLOCKS):
            for side in sides:
                await side.block(each, each)
        return report(sides)


@asynccontextmanager
async def _server(name: str, module: str, folder: Path) -> AsyncIterator[StockPair]:
    path = folder / f"{name}.socket"
    arguments = ["-m", f"edgechess_cli.bench.{module}", "--socket", str(path)]
    async with anyio.create_task_group() as tasks:
        await tasks.start(ChildProcess(name, arguments, folder / f"{name}.log").run)
        for _ in range(round(START_TIMEOUT_S / POLL_S)):
            if path.exists():
                break
            await anyio.sleep(POLL_S)
        else:
            raise BenchError(f"the server {module} does not start")
        client = await run_sync(StockClient, path)
        try:
            yield StockPair(client)
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(client.close)
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _mqtt() -> AsyncIterator[MqttPair]:
    topic = Topic("bench/ipc", Parcel)
    async with (
        running_broker() as url,
        MqttBus(BusSettings(broker=url), "bench-ipc") as bus,
        bus.subscribe(topic) as heard,
    ):
        yield MqttPair(bus, topic, heard)


def report(sides: Sequence[Side]) -> Report:
    by_name = {side.name: side for side in sides}
    names = {
        "runtime": "local topic through the runtime",
        "floor": "the same frames, echoed",
        "mqtt": "MQTT bus (QoS 1)",
    }
    trips = {side.name: Distribution.of(side.round_trips_ms) for side in sides}
    rates = {side.name: statistics.median(side.rates_per_s) for side in sides}
    rows = tuple(
        (names[name], str(trip.n), f"{trip.p50:.2f}", f"{trip.p95:.2f}", f"{trip.p99:.2f}", f"{rates[name]:.0f}")
        for name, trip in trips.items()
    )
    pairs = zip(by_name["floor"].rates_per_s, by_name["runtime"].rates_per_s, strict=True)
    paired = statistics.median(floor / runtime for floor, runtime in pairs)
    p99 = trips["runtime"].p99 / trips["floor"].p99
    figures = {name: {**trip.as_figures("ms"), "rate_per_s": round(rates[name], 1)} for name, trip in trips.items()} | {
        "rate_over_floor": round(1 / paired, 3),
        "p99_over_floor": round(p99, 3),
    }
    title = f"{PAYLOAD_BYTES}-byte messages to a topic of one's own, stock client; a rate has {WINDOW} under way (MQTT {MQTT_WINDOW})"
    table = Table(title, ("", "messages", "p50 ms", "p95 ms", "p99 ms", "per s"), rows)
    targets = (
        Target("the echo's rate over the runtime's, median of neighbours", paired, LIMIT_RATE_RATIO, "x"),
        Target("round trip: p99 over the echo's", p99, LIMIT_P99_RATIO, "x"),
    )
    remarks = (f"the runtime's rate is {1 / paired:.2f} of the echo's",)
    return Report("ipc", figures, (table,), targets, remarks)
