"""What a nucleus tells a component and is told by it: configuration, state, shadows, deployments that wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec
import pytest

from edgechess_kit import greengrass_adapter as ipc
from edgechess_kit import greengrass_host
from edgechess_kit.errors import IpcRefused, SettingsError, ShadowError
from edgechess_kit.greengrass_configuration import sections
from edgechess_kit.greengrass_environment import environment, under_greengrass
from edgechess_kit.greengrass_host import GreengrassHost
from edgechess_kit.messages import ArmState, EdgeStatus, SessionState
from edgechess_kit.settings import TransportSettings, load

from .nucleus_rig import Nucleus, running_nucleus

pytestmark = pytest.mark.anyio

PATIENCE_S = 20.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipc, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(greengrass_host, "SETTLE_S", 0.05)
    monkeypatch.setattr(greengrass_host, "RETRY_S", 0.05)


@pytest.fixture(params=["java", "lite"])
async def nucleus(request: pytest.FixtureRequest) -> AsyncIterator[Nucleus]:
    async with running_nucleus(request.param) as nucleus:
        yield nucleus


async def until(seen: Any) -> None:
    while not seen():  # noqa: ASYNC110  (states, not events)
        await anyio.sleep(0.005)


async def test_the_configuration_and_its_changes(nucleus: Nucleus) -> None:
    with anyio.fail_after(PATIENCE_S):
        who = nucleus.component("a", {"robotEnabled": "false", "transport": {"devices": "mqtt"}})
        async with GreengrassHost(who) as host:
            given = await host.configuration()
            assert (given["robotEnabled"], given["transport"]) == ("false", {"devices": "mqtt"})
            await anyio.sleep(0.1)  # the subscription to changes is another call
            async with anyio.create_task_group() as group:
                group.start_soon(host.configuration_changed)
                await anyio.sleep(0.02)
                nucleus.deploy("a", {"robotEnabled": True, "boardAttempts": 2})
            assert (await host.configuration())["boardAttempts"] == 2


async def test_running_is_reported_once_and_an_error_too(nucleus: Nucleus) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with GreengrassHost(nucleus.component("a")) as host:
            await host.configuration()
            host.heard("starting")
            await anyio.sleep(0.05)
            assert nucleus.states == []
            host.heard("degraded")
            host.heard("ready")
            await until(lambda: nucleus.states)
            await host.failed()
            assert nucleus.states == [("a", "RUNNING"), ("a", "ERRORED")]


async def test_what_is_wrong_is_told(nucleus: Nucleus) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with GreengrassHost(nucleus.component("a")) as host:
            assert "nucleus" in (host.trouble or "")
            await host.configuration()
            assert host.trouble is None
            host.complaint = "the new configuration is not taken: x"
            assert host.trouble == host.complaint
            host.complaint = None
            await nucleus.stop()
            await until(lambda: host.trouble)
            assert "nucleus" in (host.trouble or "")
            await nucleus.start()
            await until(lambda: host.trouble is None)


async def test_a_deployment_waits_for_the_end_of_a_move() -> None:
    """The Java nucleus asks; lite does not know the question, and nothing is logged twice."""
    with anyio.fail_after(PATIENCE_S):
        async with running_nucleus("java") as nucleus, GreengrassHost(nucleus.component("a")) as host:
            await host.configuration()
            await anyio.sleep(0.1)
            await nucleus.server.updates.ready("one", restarting=False)
            host.observe(SessionState(status="running", phase="arm"))
            assert host.busy
            deferred = anyio.Event()

            async def ask() -> None:
                await nucleus.server.updates.ready("two", restarting=False)
                deferred.set()

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await anyio.sleep(0.2)
                assert not deferred.is_set()
                group.cancel_scope.cancel()
            host.observe(SessionState(status="running"))
            assert not host.busy
            host.observe(ArmState(arms=(), job_id="job-1"))
            assert host.busy
            host.observe(EdgeStatus(component="a", status="ready"))
            assert host.busy
            async with anyio.create_task_group() as group:
                group.start_soon(host.idle)
                await anyio.sleep(0.02)
                host.observe(ArmState(arms=()))


async def test_lite_has_no_such_question(caplog: pytest.LogCaptureFixture) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with running_nucleus("lite") as nucleus, GreengrassHost(nucleus.component("a")) as host:
            with caplog.at_level("INFO"):
                await host.configuration()
                await until(lambda: "going without" in caplog.text)
                await anyio.sleep(0.2)
            assert caplog.text.count("going without") == 1
            assert host.trouble is None


async def test_a_shadow_through_the_java_nucleus() -> None:
    with anyio.fail_after(PATIENCE_S):
        async with running_nucleus("java") as nucleus, GreengrassHost(nucleus.component("a")) as host:
            shadow = host.shadow("robo-chess")
            assert shadow is not None
            assert (await shadow.get()).version == 0
            await shadow.update(desired={"gameRequest": {"lan": "e2e4"}, "gone": 1})
            await shadow.update(desired={"gone": None}, reported={"gameRequest": {"lan": "e2e4"}})
            found = await shadow.get()
            assert found.desired == found.reported == {"gameRequest": {"lan": "e2e4"}}
            assert found.version == 2
            with pytest.raises(ShadowError):
                await shadow.update(desired={"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}})
            assert host.shadow("") is None


async def test_lite_has_no_shadows_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with running_nucleus("lite") as nucleus, GreengrassHost(nucleus.component("a")) as host:
            shadow = host.shadow("robo-chess")
            assert shadow is not None
            for _ in range(3):
                await shadow.update(desired={"x": 1})
            assert (await shadow.get()).version == 0
    assert caplog.text.count("has no shadows") == 1


def test_which_errors_mean_that_an_operation_is_lacking() -> None:
    assert IpcRefused("x", "ServiceError", "").lacking
    assert IpcRefused("x", "ServiceError", "Operation x is not supported by Greengrass").lacking
    assert not IpcRefused("x", "ServiceError", "Too Many Requests").lacking
    assert not IpcRefused("x", "UnauthorizedError", "").lacking


# ---------------------------------------------------------------- the environment and the configuration's shape


def test_the_environment_of_a_component() -> None:
    socket, token = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", "SVCUID"
    full = {socket: "/run/ipc.socket", token: "SECRET", "AWS_IOT_THING_NAME": "core-1"}
    assert under_greengrass(full)
    assert not under_greengrass({socket: "/run/ipc.socket"})
    found = environment(full)
    assert (found.socket_path, found.thing_name) == ("/run/ipc.socket", "core-1")
    assert "SECRET" not in repr(found)
    with pytest.raises(SettingsError, match="SVCUID is not set"):
        environment({socket: "/run/ipc.socket"})
    with pytest.raises(SettingsError, match="longer than 107 bytes"):
        environment({**full, socket: "/" + "x" * 107})


def test_the_configuration_is_cut_into_sections() -> None:
    cut = sections(
        "game-manager", {"robotEnabled": 1, "bus": {"prefix": "p"}, "Transport": {}, "accessControl": {"x": 1}}
    )
    assert cut == {"bus": {"prefix": "p"}, "transport": {}, "game-manager": {"robotEnabled": 1}}
    with pytest.raises(SettingsError, match=r"bus .* expected an object"):
        sections("a", {"bus": "mqtt://127.0.0.1"})


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    port_offset: int = 0
    live: bool = False


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    robot_enabled: bool = True
    attempts: int = 1
    limit_s: float = 1.0
    word: str = ""
    arms: tuple[Inner, ...] = ()


@pytest.mark.parametrize("key", ["robotEnabled", "robot_enabled", "robot-enabled", "robotenabled", "ROBOTENABLED"])
@pytest.mark.parametrize(
    ("value", "taken"), [("false", False), (False, False), ("true", True), ("0", False), (None, True)]
)
def test_false_is_false_however_it_is_spelled(key: str, value: Any, taken: bool) -> None:
    assert load(Outer, section="a", env={}, deployed={key: value}).robot_enabled is taken


def test_text_becomes_what_the_field_is() -> None:
    deployed = {
        "attempts": "3",
        "limitS": "1.5",
        "word": "3",
        "arms": [{"portOffset": "20000", "live": "true"}, {"port_offset": 1}],
    }
    found = load(Outer, section="a", env={}, deployed=deployed)
    assert found == Outer(
        attempts=3, limit_s=1.5, word="3", arms=(Inner(port_offset=20000, live=True), Inner(port_offset=1))
    )


@pytest.mark.parametrize(
    ("deployed", "said"),
    [
        ({"robotEnabled": "perhaps"}, r"a\.robot_enabled \(from the Greengrass configuration\)"),
        ({"attempts": "3.5"}, r"a\.attempts \(from the Greengrass configuration\)"),
        ({"arms": [{"portOffset": "x"}]}, r"a\.arms \(from the Greengrass configuration\): .*\$\[0\]\.port_offset"),
        ({"attempts": ""}, r"a\.attempts"),
    ],
)
def test_what_cannot_be_names_the_key_and_its_source(deployed: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(Outer, section="a", env={}, deployed=deployed)


def test_a_key_of_an_older_version_is_passed_over_and_named(caplog: pytest.LogCaptureFixture) -> None:
    assert load(Outer, section="a", env={}, deployed={"oldName": 1, "attempts": 2}).attempts == 2
    assert "a.oldName (from the Greengrass configuration): no such setting" in caplog.text


def test_the_environment_and_flags_win_over_a_deployment() -> None:
    found = load(
        TransportSettings,
        section="transport",
        deployed={"cloud": "pubsub", "devices": "mqtt", "bridged": "true"},
        env={"EDGECHESS_TRANSPORT_CLOUD": "mqtt"},
        flags={"devices": "pubsub"},
    )
    assert found == TransportSettings(cloud="mqtt", devices="pubsub", bridged=True)
