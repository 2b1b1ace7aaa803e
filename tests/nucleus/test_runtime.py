"""Components as real processes under the runtime: order, errors, ends, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import anyio
import pytest

from edgechess_nucleus import component, lifecycle, logs
from edgechess_nucleus.control import ControlError, Logs, RestartComponent, ask, ask_status, serve_control
from edgechess_nucleus.flavour import LITE
from edgechess_nucleus.lifecycle import TIMEOUTS_S
from edgechess_nucleus.logs import ComponentLog
from edgechess_nucleus.root_folder import RootError, RootFolder
from edgechess_nucleus.socket_file import SocketError
from edgechess_nucleus.state import StateError, read_state

from .runtime_rig import PATIENT_S, Rig

pytestmark = pytest.mark.anyio

STAYS = "run: echo up; exec sleep 600"


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return "asyncio"


@pytest.fixture
def rig(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(lifecycle, "BACK_OFF_S", 0.01)
    return Rig(short_path)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(pid: int) -> None:
    with anyio.fail_after(PATIENT_S):
        while alive(pid):  # noqa: ASYNC110 - nobody tells of another's grandchild
            await anyio.sleep(0.01)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_install_then_run_and_nothing_is_left(rig: Rig) -> None:
    rig.recipe("a.One", "install: echo installing\nrun: echo $PWD; exec sleep 600")
    async with rig.running("a.One") as runtime:
        await rig.until(lambda: len(rig.said("a.One")) == 2)
        await rig.reached("a.One", "RUNNING")  # output and news of the process come by two ways
        [status] = runtime.status()
        assert status.pid is not None
        assert alive(status.pid)
        assert rig.said("a.One") == ["installing", str(rig.root.path / "work" / "a.One")]
    assert [state for _, state in rig.states] == [
        "INSTALLING", "INSTALLED", "STARTING", "RUNNING", "STOPPING", "STOPPED",
    ]  # fmt: skip
    assert not alive(status.pid)
    log = (rig.root.path / "logs" / "a.One.log").read_text()
    assert log.splitlines()[0] == "1970-01-01T00:00:00.000+00:00 install: installing"


async def test_dependents_start_after_and_stop_before(rig: Rig) -> None:
    head = 'ComponentDependencies:\n  a.Base: {VersionRequirement: "*"}'
    rig.recipe("a.App", STAYS, head=head)
    rig.recipe("a.Base", "startup: sleep 0.1; echo base")
    async with rig.running("a.App", "a.Base"):
        await rig.reached("a.App", "RUNNING")
    order = [one for one in rig.states if one[1] in ("RUNNING", "STOPPED")]
    assert order == [("a.Base", "RUNNING"), ("a.App", "RUNNING"), ("a.App", "STOPPED"), ("a.Base", "STOPPED")]


async def test_a_dependent_goes_down_with_what_it_needs_and_comes_back(rig: Rig) -> None:
    rig.recipe("a.App", STAYS, head='ComponentDependencies:\n  a.Base: {VersionRequirement: "*"}')
    rig.recipe("a.Base", STAYS)
    async with rig.running("a.App") as runtime:
        await rig.reached("a.App", "RUNNING")
        base = runtime.status()[0]
        assert base.pid is not None
        os.kill(base.pid, signal.SIGKILL)
        await rig.reached("a.App", "RUNNING", times=2)
    assert "BACKING_OFF: run: killed by SIGKILL" in rig.notes("a.Base")
    assert ("a.App", "ERRORED") not in rig.states


async def test_three_errors_break_it_until_it_is_restarted(rig: Rig) -> None:
    rig.recipe("a.Bad", "run: exit 3\nrecover: echo again")
    async with rig.running("a.Bad") as runtime:
        await rig.reached("a.Bad", "BROKEN")
        assert rig.said("a.Bad") == ["again", "again"]
        assert runtime.status()[0].errors == 3
        assert runtime.status()[0].reason == "run: exit code 3"
        runtime.restart("Bad")
        await rig.reached("a.Bad", "BROKEN", times=2)
        with pytest.raises(KeyError, match=r"no component Worse; there are a\.Bad"):
            runtime.restart("Worse")


async def test_a_step_that_takes_too_long_is_ended(rig: Rig) -> None:
    rig.recipe("a.Slow", "install: {Script: 'sleep 600 & echo $!; wait', Timeout: '{configuration:/patience}'}")
    text = "components:\n  a.Slow: {configurationUpdate: {merge: {patience: 0}}}\n"
    async with rig.running(text=text):
        await rig.reached("a.Slow", "BACKING_OFF")
    assert "BACKING_OFF: install: not done after 0 s" in rig.notes("a.Slow")
    for pid in rig.said("a.Slow"):
        assert not alive(int(pid))


async def test_what_hears_no_sigterm_is_killed_in_the_time_of_its_shutdown(rig: Rig) -> None:
    rig.recipe(
        "a.Deaf",
        "run: trap '' TERM; echo $$; while true; do sleep 600; done\nshutdown: {Script: echo asked, Timeout: 1}",
    )
    async with rig.running("a.Deaf"):
        await rig.until(lambda: rig.said("a.Deaf"))
    pid, last = rig.said("a.Deaf")
    assert last == "asked"
    assert not alive(int(pid))


async def test_daemons_of_their_own_session_do_not_stay(rig: Rig) -> None:
    rig.recipe("a.Daemon", "startup: setsid sh -c 'echo $$; exec sleep 600' & sleep 0.05; echo done")
    async with rig.running("a.Daemon"):
        await rig.reached("a.Daemon", "RUNNING")
        await rig.until(lambda: len(rig.said("a.Daemon")) == 2)
        pid = int(next(word for word in rig.said("a.Daemon") if word.isdigit()))
        assert alive(pid)
    assert not alive(pid)


async def test_a_killed_guardian_takes_its_script_along(rig: Rig) -> None:
    rig.recipe("a.One", "run: echo $PPID; exec sleep 600")
    async with rig.running("a.One") as runtime:
        await rig.reached("a.One", "RUNNING")
        await rig.until(lambda: rig.said("a.One"))
        pid = runtime.status()[0].pid
        assert pid is not None
        os.kill(int(rig.said("a.One")[0]), signal.SIGKILL)
        await gone(pid)
        await rig.reached("a.One", "RUNNING", times=2)


async def test_the_environment_is_the_references(rig: Rig) -> None:
    rig.recipe("a.Env", "Setenv: {GREETING: 'hi {iot:thingName}'}\nrun: {Script: env, Setenv: {MORE: '1'}}")
    async with rig.running("a.Env") as runtime:
        await rig.reached("a.Env", "FINISHED")
        known = dict(line.split("=", 1) for line in rig.said("a.Env"))
        assert runtime.component_of(known["SVCUID"]) == "a.Env"
        assert runtime.component_of("nobody") is None
    socket = str(rig.root.path / "ipc.socket")
    wanted = {
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": socket,
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH": socket,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": known["SVCUID"],
        "AWS_IOT_THING_NAME": "edgechess-local",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "GREENGRASS_COMPONENT_VERSION": "1.0.0",
        "GREETING": "hi edgechess-local",
        "MORE": "1",
    }
    assert {name: known.get(name) for name in wanted} == wanted
    assert len(known["SVCUID"]) == 16
    assert {"GGC_VERSION", "GG_ROOT_CA_PATH", "PATH"} <= set(known)
    assert not [name for name in known if name.startswith(("VIRTUAL_ENV", "PYTEST", "PYTHON"))]


async def test_lite_has_other_steps_and_other_variables_in_the_environment(short_path: Path) -> None:
    rig = Rig(short_path, LITE)
    rig.recipe("a.Lite", "install: {Script: env, Skipif: exists /}\nrun: echo {work:path}\nshutdown: echo asked")
    async with rig.running("a.Lite"):
        await rig.reached("a.Lite", "FINISHED")
    said = rig.said("a.Lite")
    assert said[-1] == f"{rig.root.path}/work/a.Lite/"
    assert not [line for line in said if line.startswith(("GREENGRASS_COMPONENT_VERSION", "asked"))]


async def test_skipif_and_unknown_variables_are_noted(rig: Rig) -> None:
    rig.recipe("a.One", "install: {Script: echo never, Skipif: onpath sh}\nrun: echo '{configuration:/nope}'")
    async with rig.running("a.One"):
        await rig.reached("a.One", "FINISHED")
    assert rig.said("a.One") == ["{configuration:/nope}"]
    assert rig.notes("a.One")[:2] == [
        "install: skipped: onpath sh",
        "{configuration:/nope} stands for nothing here and stays as it is written",
    ]


async def test_bootstrap_runs_once_for_a_version(rig: Rig) -> None:
    for version in ("1.0.0", "2.0.0"):
        rig.recipe("a.Boot", "bootstrap: echo booting; exit 100\nrun: echo run", version=version)
        for _ in range(2):
            async with rig.running("a.Boot"):
                await rig.until(lambda: rig.states and rig.states[-1] == ("a.Boot", "FINISHED"))
            rig.states.clear()
    assert rig.said("a.Boot") == ["booting", "run", "run", "booting", "run", "run"]


async def test_configuration_survives_and_the_same_deployment_changes_nothing(rig: Rig) -> None:
    head = "ComponentConfiguration:\n  DefaultConfiguration: {mode: old}"
    rig.recipe("a.One", STAYS, head=head)
    text = "components:\n  a.One: {configurationUpdate: {merge: {port: 1}}}\n"
    async with rig.running(text=text) as runtime:
        configuration = runtime.configuration("a.One")
        assert configuration is not None
        assert runtime.configuration("a.Two") is None
        configuration.merge((), {"port": 2}, 5_000)  # as UpdateConfiguration does
        runtime.configuration_changed("a.One", [("port",)])
    rig.recipe("a.One", STAYS, head=head.replace("old", "new"))
    async with rig.running(text=text, now_ms=9_000) as runtime:
        again = runtime.configuration("a.One")
        assert again is not None
        assert again.snapshot() == {"mode": "old", "port": 2}
    assert any("new default of /mode does not reach" in note for note in rig.notes("a.One"))
    async with rig.running(text=text.replace("port: 1", "port: 3, x: 1"), now_ms=9_000) as runtime:
        third = runtime.configuration("a.One")
        assert third is not None
        assert third.snapshot() == {"mode": "old", "port": 3, "x": 1}


def test_a_state_file_that_is_none_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("{")
    with pytest.raises(StateError, match=r"state\.json: .*delete it"):
        read_state(path)
    path.write_text(json.dumps({"format": 9, "deployment": "", "components": {}}))
    with pytest.raises(StateError, match="format 9"):
        read_state(path)


def test_a_root_is_used_once_and_its_name_must_fit_a_socket(short_path: Path) -> None:
    root = RootFolder(short_path / "root")
    with root.locked(), pytest.raises(RootError, match=f"in use by process {os.getpid()}"), root.locked():
        raise AssertionError("locked twice")
    with root.locked():
        assert root.logs.is_dir()
    with pytest.raises(SocketError, match="has room for 107"), RootFolder(short_path / ("x" * 120)).locked():
        raise AssertionError("too long")
    (short_path / "file").write_text("")
    with pytest.raises(RootError, match="choose another root"), RootFolder(short_path / "file" / "in").locked():
        raise AssertionError("in a file")


async def test_the_operators_socket(rig: Rig) -> None:
    rig.recipe("a.One", STAYS)
    with pytest.raises(ControlError, match="no runtime answers"):
        await ask_status(rig.root.control_socket)
    async with rig.running("a.One") as runtime, anyio.create_task_group() as tasks:
        await tasks.start(serve_control, runtime, rig.deployer(runtime).deploy, rig.root.control_socket)
        assert rig.root.control_socket.stat().st_mode & 0o777 == 0o600
        await rig.until(lambda: rig.said("a.One"))
        await rig.reached("a.One", "RUNNING")
        [status] = await ask_status(rig.root.control_socket)
        assert (status.name, status.state) == ("a.One", "RUNNING")
        await ask(rig.root.control_socket, RestartComponent("One"))
        await rig.reached("a.One", "RUNNING", times=2)
        assert runtime.status()[0].errors == 0
        lines = (await ask(rig.root.control_socket, Logs("One", 1000)))["lines"]
        assert sum(line.endswith("run: up") for line in lines) >= 1
        with pytest.raises(ControlError, match="no component Two"):
            await ask(rig.root.control_socket, Logs("Two"))
        stream = await anyio.connect_unix(rig.root.control_socket)
        async with stream:
            await stream.send(b"rubbish\n")
            assert b"error" in await stream.receive()
        tasks.cancel_scope.cancel()


def test_logs_are_rotated_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SIZE_LIMIT_BYTES", 100)
    log = ComponentLog("a", tmp_path, lambda: 0.0, lambda name, line: None)
    for number in range(40):
        log.write("run", f"line {number}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert log.tail(1)[0].endswith("line 39")
    assert all(path.stat().st_size < 200 for path in tmp_path.iterdir())


def test_every_step_has_a_time_limit_but_run() -> None:
    assert dict(TIMEOUTS_S) == {
        "bootstrap": 120.0, "install": 120.0, "startup": 120.0, "run": None, "shutdown": 15.0, "recover": 60.0,
    }  # fmt: skip
    assert component.BOOTSTRAP_DONE == (0, 100, 101)
