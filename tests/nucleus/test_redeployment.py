"""Another deployment under a runtime that runs: what ends, what starts, what goes on, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgechess_nucleus import lifecycle, runtime
from edgechess_nucleus.changes import differing_keys
from edgechess_nucleus.control import ControlError, DeployDocument, order, serve_control
from edgechess_nucleus.deployer import DeploymentFailed, DeploymentRefused, Order
from edgechess_nucleus.deployment import Policies, read_deployment
from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.runtime import Runtime, RuntimeEnding
from edgechess_nucleus.state import read_state

from .runtime_rig import PATIENT_S, Rig

pytestmark = pytest.mark.anyio

STAYS = "run: echo up; exec sleep 600"
NEEDS_BASE = 'ComponentDependencies:\n  a.Base: {VersionRequirement: "*"}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rig(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(lifecycle, "BACK_OFF_S", 0.01)
    monkeypatch.setattr(runtime, "STEADY_S", 0.1)
    return Rig(short_path)


def pids(running: Runtime) -> dict[str, int | None]:
    return {status.name: status.pid for status in running.status()}


def configuration(running: Runtime, name: str) -> Any:
    found = running.configuration(name)
    assert found is not None
    return found.snapshot()


async def test_what_is_new_starts_what_is_gone_ends_and_the_rest_goes_on(rig: Rig) -> None:
    for name in ("a.Stays", "a.Goes", "a.Comes"):
        rig.recipe(name, STAYS)
    async with rig.running("a.Stays", "a.Goes") as running:
        await rig.reached("a.Goes", "RUNNING")
        await rig.reached("a.Stays", "RUNNING")
        before = pids(running)
        await rig.deploy(running, "a.Comes", "a.Stays")
        after = pids(running)
        assert list(after) == ["a.Comes", "a.Stays"]
        assert after["a.Stays"] == before["a.Stays"]
        assert ("a.Goes", "STOPPED") in rig.states
        assert rig.states.count(("a.Stays", "RUNNING")) == 1
        assert "a.Goes" in rig.revoked
        assert rig.steps == ["ended: a.Goes", "started: a.Comes", "next is in force"]
        assert list(read_state(rig.root.state).components) == ["a.Comes", "a.Stays"]
    assert {name for name, state in rig.states if state == "STOPPED"} == {"a.Goes", "a.Comes", "a.Stays"}


async def test_a_new_version_is_installed_and_who_needs_it_stands_still_meanwhile(rig: Rig) -> None:
    rig.recipe("a.Base", STAYS)
    rig.recipe("a.App", "install: echo installing\n" + STAYS, head=NEEDS_BASE)
    async with rig.running("a.App") as running:
        await rig.reached("a.App", "RUNNING")
        rig.recipe("a.Base", "install: echo second\n" + STAYS, version="2.0.0")
        rig.states.clear()
        await rig.deploy(running, "a.App")
        assert [one for one in rig.states if one[1] in ("STOPPING", "STOPPED", "STARTING", "INSTALLED", "RUNNING")] == [
            ("a.App", "STOPPING"), ("a.App", "INSTALLED"), ("a.Base", "STOPPING"), ("a.Base", "STOPPED"),
            ("a.Base", "INSTALLED"), ("a.Base", "STARTING"), ("a.Base", "RUNNING"),
            ("a.App", "STARTING"), ("a.App", "RUNNING"),
        ]  # fmt: skip
        assert [status.version for status in running.status()] == ["2.0.0", "1.0.0"]
        assert rig.said("a.Base") == ["up", "second", "up"]
        assert rig.said("a.App").count("installing") == 1, "it is the same one as before"


async def test_configuration_is_merged_and_reset_and_told_and_nobody_restarts(rig: Rig) -> None:
    defaults = "ComponentConfiguration:\n  DefaultConfiguration: {mode: old, port: 1, deep: {a: 1, b: 2}}"
    rig.recipe("a.One", STAYS, head=defaults)
    async with rig.running("a.One") as running:
        await rig.reached("a.One", "RUNNING")
        pid = pids(running)
        own = running.configuration("a.One")
        assert own is not None
        own.merge(("port",), 2, 19_000)  # as UpdateConfiguration does
        rig.recipe("a.One", STAYS, head=defaults.replace("old", "new").replace("a: 1", "a: 5").replace("b: 2", "c: 3"))
        text = "components:\n  a.One: {configurationUpdate: {merge: {extra: [1]}, reset: [/deep/a]}}\n"
        await rig.deploy(running, text=text)
        assert configuration(running, "a.One") == {
            "mode": "old", "port": 2, "deep": {"a": 5, "b": 2, "c": 3}, "extra": [1],
        }  # fmt: skip
        [(name, keys)] = rig.told
        assert name == "a.One"
        assert sorted(keys) == [("deep", "a"), ("deep", "c"), ("extra",)]
        assert pids(running) == pid
        assert rig.steps == ["configured: a.One", "next is in force"]
        rig.told.clear()
        await rig.deploy(running, text=text)
        assert rig.told == [], "the same again changes nothing"


async def test_a_value_that_a_script_names_restarts_it(rig: Rig) -> None:
    rig.recipe("a.One", "run: echo {configuration:/word}; exec sleep 600")
    rig.recipe("a.Two", STAYS)
    text = "components:\n  a.One: {configurationUpdate: {merge: {word: one, other: 1}}}\n  a.Two: {}\n"
    async with rig.running(text=text) as running:
        await rig.until(lambda: rig.said("a.One"))
        await rig.reached("a.Two", "RUNNING")
        two = pids(running)["a.Two"]
        await rig.deploy(running, text=text.replace("word: one", "word: two"))
        await rig.until(lambda: len(rig.said("a.One")) == 2)
        assert rig.said("a.One") == ["one", "two"]
        assert pids(running)["a.Two"] == two


async def test_what_was_broken_gets_another_chance(rig: Rig) -> None:
    rig.recipe("a.Bad", "run: test -e ../../ok && exec sleep 600")
    async with rig.running("a.Bad") as running:
        await rig.reached("a.Bad", "BROKEN")
        (rig.root.path / "ok").touch()
        await rig.deploy(running, "a.Bad")
        assert [status.state for status in running.status()] == ["RUNNING"]


async def test_what_does_not_come_up_is_rolled_back(rig: Rig) -> None:
    rig.recipe("a.App", STAYS, head=NEEDS_BASE)
    rig.recipe("a.Base", STAYS)
    rig.recipe("a.Gone", STAYS)
    async with rig.running("a.App", "a.Gone") as running:
        heard: list[Any] = []
        rig.updates.subscribe("a.App", lambda payload: _consent(rig, heard, payload))
        await rig.reached("a.App", "RUNNING")
        fingerprint = read_state(rig.root.state).deployment
        own = running.configuration("a.App")
        assert own is not None
        own.merge((), {"kept": True}, 19_000)
        rig.recipe("a.Base", "install: exit 3", version="2.0.0")
        text = "components:\n  a.App: {configurationUpdate: {merge: {kept: false, x: 1}}}\n"
        with pytest.raises(
            DeploymentFailed, match=r"next: a\.Base 2\.0\.0 is BROKEN \(install: exit code 3\); deployment is in"
        ):
            await rig.deploy(running, text=text)
        assert {status.name: (status.version, status.state) for status in running.status()} == {
            "a.Base": ("1.0.0", "RUNNING"), "a.App": ("1.0.0", "RUNNING"), "a.Gone": ("1.0.0", "RUNNING"),
        }  # fmt: skip
        assert configuration(running, "a.App") == {"kept": True}
        assert read_state(rig.root.state).deployment == fingerprint
        assert [set(one) for one in heard] == [{"preUpdateEvent"}, {"postUpdateEvent"}]
        assert rig.told[-1] == ("a.App", (("kept",), ("x",)))


def _consent(rig: Rig, heard: list[Any], payload: bytes) -> None:
    heard.append(json.loads(payload))
    if "preUpdateEvent" in heard[-1]:
        rig.updates.defer("a.App", 0)


async def test_do_nothing_leaves_it_as_it_is(rig: Rig) -> None:
    rig.recipe("a.Bad", "install: exit 3")
    rig.recipe("a.One", STAYS)
    async with rig.running("a.One") as running:
        text = "components: {a.Bad: {}}\ndeploymentPolicies: {failureHandlingPolicy: DO_NOTHING}\n"
        with pytest.raises(DeploymentFailed, match="it stays as it is now"):
            await rig.deploy(running, text=text)
        assert [(status.name, status.state) for status in running.status()] == [("a.Bad", "BROKEN")]


async def test_a_component_puts_it_off_until_it_is_done(rig: Rig) -> None:
    rig.recipe("a.One", STAYS)
    rig.recipe("a.Two", STAYS)
    answers = [50, 0]
    async with rig.running("a.One") as running:

        def answer(payload: bytes) -> None:
            if "preUpdateEvent" in json.loads(payload):
                assert list(pids(running)) == ["a.One"], "nothing is touched before everybody has agreed"
                rig.updates.defer("a.One", answers.pop(0), "a move is under way")

        rig.updates.subscribe("a.One", answer)
        await rig.deploy(running, "a.Two")
        assert answers == []
        assert rig.steps[0] == "a.One puts it off, to be asked again in 0.05 s: a move is under way"
        assert list(pids(running)) == ["a.Two"]


async def test_nobody_is_asked_where_the_document_says_so(rig: Rig) -> None:
    rig.recipe("a.One", STAYS)
    async with rig.running("a.One") as running:
        heard: list[bytes] = []
        rig.updates.subscribe("a.One", heard.append)
        policy = "deploymentPolicies: {componentUpdatePolicy: {action: SKIP_NOTIFY_COMPONENTS}}\n"
        await rig.deploy(running, text="components: {a.One: {}}\n" + policy)
        assert ["postUpdateEvent" in json.loads(payload) for payload in heard] == [True]


async def test_what_cannot_be_is_refused_and_nothing_is_touched(rig: Rig) -> None:
    rig.recipe("a.One", STAYS, artifacts="- Uri: s3://bucket/none.zip")
    rig.recipe("a.Two", STAYS)
    local = "localRuntime: {region: us-east-1}\n"
    async with rig.running("a.Two") as running:
        for text, said in (
            ("components: {a.One: {}}\n", r"a\.One-1\.0\.0\.yaml:7: artifact none\.zip of a\.One is missing"),
            ("components: {a.Three: {}}\n", r"next\.yaml:1: a\.Three: the deployment wants it"),
            ("components: {a.Two: {}\n", r"next\.yaml:2: not YAML"),
        ):
            with pytest.raises(DocumentError, match=said):
                await rig.deploy(running, text=text)
        with pytest.raises(DeploymentRefused, match=r"localRuntime\.region is not what this runtime was started with"):
            await rig.deploy(running, text="components: {a.Two: {}}\n" + local)
        assert [state for _, state in rig.states].count("STOPPING") == 0
        assert rig.steps == []


async def test_one_deployment_at_a_time_and_none_while_the_runtime_ends(rig: Rig) -> None:
    rig.recipe("a.One", STAYS)
    rig.recipe("a.Two", STAYS)
    failures: list[BaseException] = []
    async with anyio.create_task_group() as outside:
        async with rig.running("a.One") as running:
            rig.updates.subscribe("a.One", lambda payload: None)
            deployer = rig.deployer(running)
            document = rig.document("a.Two", file="next.yaml")

            async def late() -> None:
                try:
                    await deployer.deploy(Order(document), rig.steps.append)
                except RuntimeEnding as error:
                    failures.append(error)

            outside.start_soon(late)
            await rig.reached("a.One", "RUNNING")
            with pytest.raises(DeploymentRefused, match=r"next\.yaml is being deployed"):
                await deployer.deploy(Order(document), rig.steps.append)
        rig.updates.defer("a.One", 0)  # its consent comes when there is nothing left
    assert len(failures) == 1
    assert ("a.Two", "RUNNING") not in rig.states


async def test_through_the_operators_socket(rig: Rig) -> None:
    rig.recipe("a.One", STAYS)
    rig.recipe("a.Two", STAYS)
    async with rig.running("a.One") as running, anyio.create_task_group() as tasks:
        await tasks.start(serve_control, running, rig.deployer(running).deploy, rig.root.control_socket)
        said: list[str] = []
        with anyio.fail_after(PATIENT_S):
            document = rig.document("a.Two", file="next.yaml")
            await order(rig.root.control_socket, DeployDocument(str(document)), said.append)
            assert said == ["ended: a.One", "started: a.Two", "next is in force"]
            with pytest.raises(ControlError, match=r"none\.yaml:1: cannot be read") as wrong:
                await order(rig.root.control_socket, DeployDocument(str(rig.folder / "none.yaml")), said.append)
            assert wrong.value.document
        tasks.cancel_scope.cancel()


def test_policies_of_a_document(rig: Rig) -> None:
    text = (
        "components: {}\ndeploymentPolicies:\n  failureHandlingPolicy: DO_NOTHING\n"
        "  componentUpdatePolicy: {timeoutInSeconds: 5, action: SKIP_NOTIFY_COMPONENTS}\n"
    )
    assert rig.deployment(text=text).policies == Policies(rolls_back=False, asks=False, answer_timeout_s=5.0)
    assert rig.deployment(text="components: {}\n").policies == Policies()
    for old, new, said in (
        ("DO_NOTHING", "NOTHING", r"deployment\.yaml:3: failureHandlingPolicy: 'NOTHING' is none of"),
        (" 5", " soon", r"deployment\.yaml:4: timeoutInSeconds: 'soon' is no whole number"),
        ("action", "actoin", r"deployment\.yaml:4: componentUpdatePolicy: no such key actoin; it is spelt action"),
    ):
        with pytest.raises(DocumentError, match=said):
            read_deployment(rig.document(text=text.replace(old, new)))


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, [("a",)]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": {"e": 4}}}, [("a", "c"), ("a", "d", "e")]),
        ({"a": {"b": 1}}, {}, [("a",)]),
        ({}, {"a": {}}, [("a",)]),
        ({"a": {"b": 1}}, {"a": {}}, [("a", "b")]),
        ({"a": {"b": 1}}, {"a": 2}, [("a",)]),
        ({"a": None}, {}, [("a",)]),
    ],
)
def test_which_keys_differ(before: dict[str, Any], after: dict[str, Any], keys: list[Any]) -> None:
    assert differing_keys(before, after) == keys
