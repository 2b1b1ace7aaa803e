"""Each component as a process under a nucleus: it starts in any order, says RUNNING, answers, ends in time, comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import chess
import pytest

from edgechess_kit import messages as m
from edgechess_kit.broker import find_mosquitto, running_broker
from edgechess_kit.brokerless_bus import BrokerlessBus
from edgechess_kit.greengrass_adapter import IOT_CORE, PUBSUB, IpcBus, NucleusLink
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings
from edgechess_kit.topics import Topics
from edgechess_nucleus.iot_core import IotMessage

from .nucleus_rig import Nucleus, running_nucleus

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PATIENCE_S = 240.0  # each process takes seconds to start on a busy machine
STOP_S = 10.0  # of the 15 s that a nucleus gives
TOPICS = Topics()
MODULES = {
    "game-manager": "edgechess_game_manager",
    "board-sensor": "edgechess_board_sensor",
    "arm-controller": "edgechess_arm_controller",
    "match-director": "edgechess_match_director",
}
NOWHERE = {"arms": [{"name": "white", "host": "127.0.0.1", "portOffset": "20000"}]}
CONFIGURATION: dict[str, dict[str, Any]] = {
    "game-manager": {"robotEnabled": "false"},
    "board-sensor": {"port": "/dev/no-such-board"},
    "arm-controller": NOWHERE,
    "match-director": {},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["java", "lite"])
async def nucleus(request: pytest.FixtureRequest) -> AsyncIterator[Nucleus]:
    async with running_nucleus(request.param) as nucleus:
        yield nucleus


@asynccontextmanager
async def process(
    nucleus: Nucleus, name: str, folder: Path, configuration: dict[str, Any] | None = None
) -> AsyncIterator[anyio.abc.Process]:
    """As the nucleus starts it: its environment, its work folder, no arguments."""
    who = nucleus.component(name, CONFIGURATION[name] if configuration is None else configuration)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("EDGECHESS_")},
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": who.socket_path,
        "SVCUID": who.token,
        "AWS_IOT_THING_NAME": who.thing_name,
    }
    (folder / name).mkdir(exist_ok=True)
    with (folder / f"{name}.log").open("ab") as log:
        child = await anyio.open_process(
            [sys.executable, "-m", MODULES[name]], cwd=folder / name, env=environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield child
    finally:
        with anyio.CancelScope(shield=True):
            if child.returncode is None:
                child.kill()
            await child.aclose()


async def until(seen: Any) -> None:
    while not seen():  # noqa: ASYNC110  (states, not events)
        await anyio.sleep(0.02)


@asynccontextmanager
async def another(nucleus: Nucleus) -> AsyncIterator[tuple[BrokerlessBus, IpcBus]]:
    """Another component: pub/sub and IoT Core."""
    who = nucleus.component("another")
    async with (
        NucleusLink(who.socket_path, who.token) as link,
        IpcBus(link, PUBSUB, probe="p/t") as pubsub,
        IpcBus(link, IOT_CORE, probe="p/t") as cloud,
        BrokerlessBus(pubsub, TOPICS.status) as edge,
    ):
        yield edge, cloud


async def stopped_in_time(child: anyio.abc.Process) -> None:
    child.send_signal(signal.SIGTERM)
    with anyio.fail_after(STOP_S):
        assert await child.wait() == 0


@pytest.mark.parametrize("name", sorted(MODULES))
async def test_it_runs_answers_health_and_comes_back_from_sigkill(nucleus: Nucleus, name: str, tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with another(nucleus) as (edge, _), edge.subscribe(TOPICS.status) as seen:
            for end in ("kill", "term"):
                nucleus.states.clear()
                async with process(nucleus, name, tmp_path) as child:
                    await until(lambda: (name, "RUNNING") in nucleus.states)
                    said: list[str] = []
                    while "ready" not in said and "degraded" not in said:
                        said.append((await anext(seen)).decode(TOPICS.status).status)
                    if end == "kill":
                        child.kill()
                        await child.wait()
                        while said[-1] != "lost":
                            said.append((await anext(seen)).decode(TOPICS.status).status)
                    else:
                        await stopped_in_time(child)
                        while said[-1] != "stopped":
                            said.append((await anext(seen)).decode(TOPICS.status).status)
        log = (tmp_path / f"{name}.log").read_text()
        assert "Traceback" not in log
        assert (tmp_path / name / f"{name}.journal").exists()
        assert "token-of-" not in log


def start_request(token: str) -> m.GameRequest:
    return m.GameRequest(action="start", session_id="s", task_token=token, before=chess.STARTING_FEN)


async def test_a_request_from_the_cloud_goes_to_the_board_on_the_core_and_back(
    nucleus: Nucleus, tmp_path: Path
) -> None:
    """IoT Core on one side, local pub/sub on the other; killed in between, the manager still answers, once."""
    with anyio.fail_after(PATIENCE_S):
        async with (
            another(nucleus) as (edge, cloud),
            cloud.subscribe(TOPICS.cloud_response) as answers,
            edge.subscribe(TOPICS.board_start, TOPICS.session_state) as heard,
        ):
            async with process(nucleus, "game-manager", tmp_path) as child:
                await until(lambda: nucleus.states)
                assert (await anext(heard)).decode(TOPICS.session_state).robot_enabled is False, '"false" is false'
                await cloud.publish(TOPICS.cloud_request, start_request("one"))
                async for delivery in heard:
                    if delivery.topic == TOPICS.board_start.name:
                        break
                child.kill()
                await child.wait()
            async with process(nucleus, "game-manager", tmp_path) as child:
                async for delivery in heard:
                    if delivery.topic == TOPICS.board_start.name:
                        asked = delivery.decode(TOPICS.board_start)
                        break
                fields = {"task_token": asked.task_token, "request_id": asked.request_id}
                await edge.publish(TOPICS.board_start_response, m.BoardStartResponse(status=200, **fields))
                answer = (await anext(answers)).decode(TOPICS.cloud_response)
                assert (answer.status, answer.task_token) == (200, "one")
                await stopped_in_time(child)
        from_the_manager = [message for message in nucleus.cloud.taken if message.topic == TOPICS.cloud_response.name]
        assert len(from_the_manager) == 1, "no message goes out twice"


async def test_a_component_waits_for_its_nucleus(nucleus: Nucleus, tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE_S):
        await nucleus.stop()
        async with process(nucleus, "game-manager", tmp_path) as child:
            await until(
                lambda: (
                    "no nucleus" in log_of(tmp_path, "game-manager")
                    or "greengrass:" in log_of(tmp_path, "game-manager")
                )
            )
            await nucleus.start()
            await until(lambda: nucleus.states)
            await stopped_in_time(child)
        assert "Traceback" not in log_of(tmp_path, "game-manager")


async def test_one_that_still_waits_for_its_nucleus_ends_in_time(nucleus: Nucleus, tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE_S):
        await nucleus.stop()
        async with process(nucleus, "game-manager", tmp_path) as child:
            await until(lambda: "greengrass:" in log_of(tmp_path, "game-manager"))
            await stopped_in_time(child)


async def test_a_deployment_that_changes_settings_starts_it_afresh_between_two_moves(
    nucleus: Nucleus, tmp_path: Path
) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with (
            another(nucleus) as (edge, cloud),
            edge.subscribe(TOPICS.session_state, TOPICS.board_start) as heard,
            process(nucleus, "game-manager", tmp_path, {"robotEnabled": True}) as child,
        ):
            assert (await anext(heard)).decode(TOPICS.session_state).robot_enabled
            await cloud.publish(TOPICS.cloud_request, start_request("one"))
            async for delivery in heard:
                if delivery.topic == TOPICS.board_start.name:
                    break
            nucleus.deploy("game-manager", {"robotEnabled": "false"})
            await until(lambda: "has changed" in log_of(tmp_path, "game-manager"))
            assert "starting again" not in log_of(tmp_path, "game-manager"), "a request is under way"
            asked = delivery.decode(TOPICS.board_start)
            await edge.publish(
                TOPICS.board_start_response,
                m.BoardStartResponse(status=200, task_token=asked.task_token, request_id=asked.request_id),
            )
            async for delivery in heard:
                if delivery.topic == TOPICS.session_state.name:
                    state = delivery.decode(TOPICS.session_state)
                    if not state.robot_enabled:
                        break
            assert child.returncode is None, "the same process: the nucleus counts no failure"
            nucleus.deploy("game-manager", {"boardTimeoutS": "soon"})
            await until(lambda: "is not taken" in log_of(tmp_path, "game-manager"))
            assert "game-manager.board_timeout_s (from the Greengrass configuration)" in log_of(
                tmp_path, "game-manager"
            )
            await stopped_in_time(child)


async def test_settings_that_cannot_be_are_one_line_and_exit_2(nucleus: Nucleus, tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE_S):
        wrong = {"claimDraws": "perhaps", "left over from version 0.1": 1}
        async with process(nucleus, "game-manager", tmp_path, wrong) as child:
            assert await child.wait() == 2
        said = log_of(tmp_path, "game-manager")
        assert "game-manager.claim_draws (from the Greengrass configuration): " in said
        assert "Traceback" not in said
        assert "left over from version 0.1 (from the Greengrass configuration): no such setting; passed over" in said


async def test_what_its_policies_do_not_allow_ends_it_with_one_line(nucleus: Nucleus, tmp_path: Path) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with process(nucleus, "game-manager", tmp_path, {"accessControl": {}}) as child:
            assert await child.wait() == 2
        assert "the recipe's accessControl does not allow it" in log_of(tmp_path, "game-manager")
        assert ("game-manager", "ERRORED") in nucleus.states


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
async def test_devices_on_the_cores_broker_and_all_else_on_the_core(nucleus: Nucleus, tmp_path: Path) -> None:
    """Board and arms as client devices: their topics are on local MQTT, and only there."""
    with anyio.fail_after(PATIENCE_S):
        async with running_broker(kind="mosquitto") as url, MqttBus(BusSettings(broker=url), "board") as local:
            configuration = {"transport": {"devices": "mqtt", "bridged": "false"}, "bus": {"broker": url}}
            async with (
                another(nucleus) as (edge, cloud),
                edge.subscribe(TOPICS.board_start) as astray,
                local.subscribe(TOPICS.board_start, TOPICS.status) as heard,
                process(nucleus, "game-manager", tmp_path, configuration) as child,
            ):
                await until(lambda: nucleus.states)
                await cloud.publish(TOPICS.cloud_request, start_request("one"))
                assert (await anext(heard)).topic == TOPICS.board_start.name
                with anyio.move_on_after(0.3) as scope:
                    await anext(astray)
                assert scope.cancelled_caught
                child.kill()
                await child.wait()
                with anyio.move_on_after(1.0) as scope:
                    while (await anext(heard)).topic != TOPICS.status.name:
                        pass
                assert scope.cancelled_caught, "no last will where its health does not go"


def log_of(folder: Path, name: str) -> str:
    path = folder / f"{name}.log"
    return path.read_text() if path.exists() else ""


async def test_a_request_published_from_within_the_core(nucleus: Nucleus) -> None:
    """`edgechess publish --greengrass`, as a component would call it."""

    def manage(message: IotMessage) -> None:
        request = TOPICS.cloud_request.decode(message.payload)
        answer = m.GameResponse(status=400, task_token=request.task_token, reason="it is not White's turn")
        nucleus.cloud.publish(IotMessage(TOPICS.cloud_response.name, TOPICS.cloud_response.encode(answer)))

    with anyio.fail_after(PATIENCE_S):
        await nucleus.cloud.subscribe(TOPICS.cloud_request.name, 1, manage)
        who = nucleus.component("publisher")
        environment = {
            **os.environ,
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": who.socket_path,
            "SVCUID": who.token,
        }
        words = ["publish", "move", "e4", "--fen", chess.STARTING_FEN, "--session", "s", "--greengrass"]
        done = await anyio.run_process(
            [sys.executable, "-m", "edgechess_cli.main", *words], env=environment, check=False
        )
        assert (done.returncode, done.stdout.decode().strip(), done.stderr) == (4, "400 it is not White's turn", b"")
