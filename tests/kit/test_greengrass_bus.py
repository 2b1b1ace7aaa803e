"""The buses over Greengrass IPC, with the stock client, against the runtime's IPC server in both flavours."""

from __future__ import annotations

import dataclasses
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest

from edgechess_kit import greengrass_adapter as ipc
from edgechess_kit.bus import Bus, Subscription
from edgechess_kit.errors import LinkLost, SettingsError, WireError
from edgechess_kit.greengrass_adapter import IOT_CORE, PUBSUB, IpcBus, NucleusLink, Service
from edgechess_kit.messages import EdgeEvent, EdgeStatus
from edgechess_kit.topics import Topics
from edgechess_nucleus.iot_core import IotMessage

from .nucleus_rig import Nucleus, running_nucleus

pytestmark = pytest.mark.anyio

PATIENCE_S = 20.0
TOPICS = Topics()
NEVER_S = 3600.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["java", "lite"])
async def nucleus(request: pytest.FixtureRequest) -> AsyncIterator[Nucleus]:
    async with running_nucleus(request.param) as nucleus:
        yield nucleus


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(ipc, "BACKOFF_LAST_S", 0.1)
    monkeypatch.setattr(ipc, "ECHO_TIMEOUT_S", 0.3)


@asynccontextmanager
async def opened(
    nucleus: Nucleus, name: str, service: Service = PUBSUB, probe_period_s: float = NEVER_S, **configuration: Any
) -> AsyncIterator[IpcBus]:
    who = nucleus.component(name, configuration)
    calm = dataclasses.replace(service, probe_period_s=probe_period_s)
    async with (
        NucleusLink(who.socket_path, who.token) as link,
        IpcBus(link, calm, probe=f"robo-chess/edge/probe/{name}") as bus,
    ):
        yield bus


def event(number: int, **data: Any) -> EdgeEvent:
    return EdgeEvent(component="a", kind="k", seq=number, at=0.0, data=data)


async def seqs(subscription: Subscription, count: int) -> list[int]:
    return [(await anext(subscription)).decode(TOPICS.events).seq for _ in range(count)]


async def until(seen: Any) -> None:
    while not seen():  # noqa: ASYNC110  (states, not events)
        await anyio.sleep(0.005)


@pytest.mark.parametrize("service", [PUBSUB, IOT_CORE], ids=["pubsub", "iot-core"])
async def test_messages_arrive_in_order_and_whole(nucleus: Nucleus, service: Service) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(nucleus, "a", service) as a, opened(nucleus, "b", service) as b:
            assert isinstance(a, Bus)
            async with b.subscribe(TOPICS.events, TOPICS.board_state) as heard:
                async with anyio.create_task_group() as group:
                    for number in range(80):  # at once: their order is that of the calls
                        group.start_soon(a.publish, TOPICS.events, event(number))
                assert await seqs(heard, 80) == list(range(80))
                whole = event(80, x="ü" * 3400)
                await a.publish(TOPICS.events, whole)
                assert (await anext(heard)).decode(TOPICS.events) == whole
                assert a.connected
                assert heard.dropped == 0


async def test_the_largest_message_under_the_longest_prefix_fits_a_frame_of_lite() -> None:
    """10,000 bytes are the end of a connection there."""
    topics = Topics("p" * 200)
    fill = 7000 - len(topics.board_validate_response.encode(msg := _answer("")))
    with anyio.fail_after(PATIENCE_S):
        async with running_nucleus("lite") as nucleus, opened(nucleus, "a") as a:
            async with a.subscribe(topics.board_validate_response) as heard:
                for _ in range(2):
                    await a.publish(topics.board_validate_response, _answer("x" * (fill - 12)))
                    assert len((await anext(heard)).payload) > 6950
                assert a._link._connection is not None
            with pytest.raises(WireError, match="board/validate/response"):
                await a.publish(topics.board_validate_response, _answer("x" * 7000))
    assert msg.status == 200


def _answer(text: str) -> Any:
    from edgechess_kit.messages import BoardValidateResponse

    return BoardValidateResponse(status=200, move="", task_token="t" + text)


async def test_own_messages_come_back_once_on_both_nuclei(nucleus: Nucleus) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(nucleus, "a") as a, a.subscribe(TOPICS.events) as first, a.subscribe(TOPICS.events) as second:
            await a.publish(TOPICS.events, event(1))
            await a.publish(TOPICS.events, event(2))
            assert await seqs(first, 2) == [1, 2]
            assert await seqs(second, 2) == [1, 2]


async def test_a_left_topic_brings_nothing_more(nucleus: Nucleus) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(nucleus, "a") as a:
            async with a.subscribe(TOPICS.events):
                pass
            await a.publish(TOPICS.events, event(1))
            async with a.subscribe(TOPICS.events) as heard:
                await a.publish(TOPICS.events, event(2))
                assert await seqs(heard, 1) == [2]
            assert not a._streams


async def test_json_of_a_foreign_component_is_taken_too(nucleus: Nucleus) -> None:
    from awsiot.greengrasscoreipc import model

    with anyio.fail_after(PATIENCE_S):
        async with opened(nucleus, "a") as a, a.subscribe(TOPICS.status) as heard:
            said = model.PublishMessage(json_message=model.JsonMessage(message={"component": "x", "status": "ready"}))
            request = model.PublishToTopicRequest(topic=TOPICS.status.name, publish_message=said)
            await a._link.call("publish_to_topic", request)
            assert (await anext(heard)).decode(TOPICS.status) == EdgeStatus(component="x", status="ready")


async def test_a_nucleus_that_comes_later_and_restarts(nucleus: Nucleus) -> None:
    """A new client, subscriptions renewed, and what a caller was waiting to publish is published."""
    with anyio.fail_after(PATIENCE_S):
        await nucleus.stop()
        async with AsyncExitStack() as stack:
            a = await stack.enter_async_context(opened(nucleus, "a"))
            b = await stack.enter_async_context(opened(nucleus, "b"))
            assert not a.connected
            assert a._link.trouble
            async with anyio.create_task_group() as group:
                group.start_soon(a.publish, TOPICS.events, event(1))
                await anyio.sleep(0.05)
                await nucleus.start()
                heard = await stack.enter_async_context(b.subscribe(TOPICS.events))
            await a.publish(TOPICS.events, event(2))
            async for delivery in heard:
                if delivery.decode(TOPICS.events).seq == 2:
                    break
            await nucleus.stop()
            await until(lambda: not a.connected and not b.connected)
            async with anyio.create_task_group() as group:
                group.start_soon(a.publish, TOPICS.events, event(3))
                await anyio.sleep(0.05)
                await nucleus.start()
                await until(lambda: b.connected)
            await a.publish(TOPICS.events, event(4))
            async for delivery in heard:
                if delivery.decode(TOPICS.events).seq == 4:
                    break
            assert a._link.trouble is None


async def test_a_wrong_token_is_said_and_never_connected(nucleus: Nucleus, caplog: pytest.LogCaptureFixture) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with NucleusLink(str(nucleus.path), "nobody's") as link:
            await until(lambda: "no nucleus" in (link.trouble or ""))
            assert not link.connected
            assert "SVCUID" in (link.trouble or "")
    assert "Traceback" not in caplog.text


async def test_what_accesscontrol_does_not_allow_is_a_setting_that_cannot_be(nucleus: Nucleus) -> None:
    allowed = {"p": {"operations": ["aws.greengrass#PublishToTopic"], "resources": [TOPICS.events.name]}}
    control = {"aws.greengrass.ipc.pubsub": allowed}
    with anyio.fail_after(PATIENCE_S):
        async with opened(nucleus, "a", accessControl=control) as a:
            await a.publish(TOPICS.events, event(1))
            with pytest.raises(SettingsError, match=r"edge/status: the recipe's accessControl does not allow it"):
                await a.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))
            with pytest.raises(SettingsError, match=r"edge/events: the recipe's accessControl"):
                async with a.subscribe(TOPICS.events):
                    pass
            assert a.connected


async def test_a_core_that_is_offline_is_waited_for() -> None:
    """Nucleus lite has no spooler and refuses at once; the Java nucleus keeps the message itself."""
    with anyio.fail_after(PATIENCE_S):
        async with running_nucleus("lite") as nucleus, opened(nucleus, "a", IOT_CORE) as a:
            nucleus.cloud.away = True
            async with anyio.create_task_group() as group:
                group.start_soon(a.publish, TOPICS.events, event(1))
                await until(lambda: a.trouble)
                assert "IoT Core" in (a.trouble or "")
                nucleus.cloud.away = False
            assert [message.topic for message in nucleus.cloud.taken] == [TOPICS.events.name]
            assert a.trouble is None


async def test_a_component_starts_while_the_core_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """It still finishes the move that is under way; the subscription is opened when it can be."""
    hasty = dataclasses.replace(IOT_CORE, subscribe_wait_s=0.2)
    with anyio.fail_after(PATIENCE_S):
        async with running_nucleus("lite") as nucleus, opened(nucleus, "a", hasty) as a:
            nucleus.cloud.away = True
            async with a.subscribe(TOPICS.events) as heard:
                assert "IoT Core" in (a.trouble or "")
                nucleus.cloud.away = False
                await until(lambda: all(stream.is_open for stream in a._streams.values()))
                await a.publish(TOPICS.events, event(1))
                assert await seqs(heard, 1) == [1]
                assert a.trouble is None


async def test_subscriptions_lost_without_a_word_are_noticed_and_healed(
    nucleus: Nucleus, caplog: pytest.LogCaptureFixture
) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(nucleus, "a", IOT_CORE, probe_period_s=0.05) as a, a.subscribe(TOPICS.events) as heard:
            await until(lambda: any(message.topic.endswith("probe/a") for message in nucleus.cloud.taken))
            await anyio.sleep(0.1)
            assert a.trouble is None
            nucleus.cloud.forget()
            await until(lambda: a.trouble)
            await until(lambda: a.trouble is None)
            nucleus.cloud.publish(IotMessage(TOPICS.events.name, TOPICS.events.encode(event(7))))
            assert await seqs(heard, 1) == [7]
    assert "lost without a word" in caplog.text


async def test_an_offline_core_is_no_reason_to_subscribe_again() -> None:
    with anyio.fail_after(PATIENCE_S):
        async with (
            running_nucleus("java") as nucleus,
            opened(nucleus, "a", IOT_CORE, probe_period_s=0.02) as a,
            a.subscribe(TOPICS.events),
        ):
            await until(lambda: nucleus.cloud.taken)
            [stream] = a._streams.values()
            nucleus.cloud.away = True
            await until(lambda: a.trouble)
            await anyio.sleep(0.2)
            assert stream.is_open
            nucleus.cloud.away = False
            await until(lambda: a.trouble is None)


async def test_without_leave_to_probe_it_says_so_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    both = {"operations": ["*"], "resources": [TOPICS.events.name]}
    control = {"aws.greengrass.ipc.pubsub": {"p": both}}
    with anyio.fail_after(PATIENCE_S):
        async with (
            running_nucleus("java") as nucleus,
            opened(nucleus, "a", probe_period_s=0.02, accessControl=control) as a,
            a.subscribe(TOPICS.events) as heard,
        ):
            await until(lambda: "will not be noticed" in caplog.text)
            await a.publish(TOPICS.events, event(1))
            assert await seqs(heard, 1) == [1]


async def test_nothing_grows_with_the_calls(nucleus: Nucleus) -> None:
    """Nucleus lite leaves the stream of every call open: 6 kB each, unless we end it."""
    with anyio.fail_after(60):
        async with opened(nucleus, "a") as a:
            for number in range(150):
                await a.publish(TOPICS.events, event(number))
            await anyio.sleep(2 * ipc.CLOSE_AFTER_S)
            assert live_continuations() < 20
            assert not nucleus.server._sessions[0]._calls


async def test_the_stock_way_does_grow_on_lite() -> None:
    """The other half of the comparison: without the close the count is that of the calls."""
    with anyio.fail_after(60):
        async with running_nucleus("lite") as nucleus, opened(nucleus, "a") as a:
            await a.publish(TOPICS.events, event(0))
            connection = a._link._connection
            assert connection is not None
            request = PUBSUB.message(TOPICS.events.name, b"{}", "1")
            for _ in range(100):
                await connection._begin("publish_to_topic", request, 5.0)
            assert live_continuations() >= 100


def live_continuations() -> int:
    gc.collect()
    return sum(type(thing).__name__ == "ClientContinuation" for thing in gc.get_objects())


async def test_one_network_thread_however_often_the_nucleus_restarts(nucleus: Nucleus) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(nucleus, "a") as a:
            await a.publish(TOPICS.events, event(0))
            before = threading.active_count()
            for number in range(5):
                await nucleus.stop()
                await until(lambda: not a.connected)
                await nucleus.start()
                await a.publish(TOPICS.events, event(number))
            assert threading.active_count() <= before


async def test_every_call_has_a_deadline(nucleus: Nucleus) -> None:
    """A server that takes the call and never answers."""
    from awsiot.greengrasscoreipc import model

    from edgechess_kit.errors import IpcUnanswered

    with anyio.fail_after(PATIENCE_S):
        async with opened(nucleus, "a") as a:
            await a.publish(TOPICS.events, event(0))
            nucleus.server._sessions[0]._begin = lambda stream, name, payload: None  # type: ignore[method-assign]
            with pytest.raises(IpcUnanswered, match=r"update_state: no answer within 0.1 s"):
                await a._link.call("update_state", model.UpdateStateRequest(state="RUNNING"), 0.1)


async def test_after_its_end_nothing_waits_for_it(nucleus: Nucleus) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with AsyncExitStack() as stack:
            a = await stack.enter_async_context(opened(nucleus, "a"))
            subscribing = a.subscribe(TOPICS.events)
            heard = await subscribing.__aenter__()
            await a.publish(TOPICS.events, event(1))
            assert await seqs(heard, 1) == [1]
        with pytest.raises(LinkLost):
            await a.publish(TOPICS.events, event(2))
        with pytest.raises(LinkLost):
            await anext(heard)


async def test_the_components_own_error_is_not_wrapped(nucleus: Nucleus) -> None:
    with pytest.raises(KeyError):
        async with opened(nucleus, "a"):
            raise KeyError


async def test_while_the_component_is_cancelled_the_bus_still_carries_its_farewell(nucleus: Nucleus) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with opened(nucleus, "watch") as watch, watch.subscribe(TOPICS.status) as seen:
            with anyio.CancelScope() as scope:
                async with opened(nucleus, "a") as a:
                    await a.publish(TOPICS.status, EdgeStatus(component="a", status="ready"))
                    try:
                        scope.cancel()
                        await anyio.sleep_forever()
                    finally:
                        with anyio.CancelScope(shield=True):
                            await a.publish(TOPICS.status, EdgeStatus(component="a", status="stopped"))
            said = [(await anext(seen)).decode(TOPICS.status).status for _ in range(2)]
            assert said == ["ready", "stopped"]


async def test_a_flood_drops_the_oldest_on_its_way_into_the_loop() -> None:
    taken: list[int] = []
    hand_over = ipc.HandOver(limit=5)
    worker = threading.Thread(target=lambda: [hand_over.put(taken.append, number) for number in range(20)])
    worker.start()
    worker.join()
    await anyio.sleep(0.01)
    assert taken == [15, 16, 17, 18, 19]
    assert hand_over.dropped == 15
