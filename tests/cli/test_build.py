"""`edgechess build`: archives that are the same bytes, wheels for other machines, and what is said of missing ones."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from edgechess_cli import build_command, wheelhouse
from edgechess_cli.archive import EXECUTABLE, PLAIN, repacked, write_archive
from edgechess_cli.artifact import write_artifact
from edgechess_cli.component_catalogue import CATALOGUE
from edgechess_cli.requirement_closure import ClosureError, Target, closure, read_pins
from edgechess_cli.wheelhouse import WheelError, Wheelhouse, Workspace, find_workspace, wheel_in

from .conftest import Edgechess

PI = Target("aarch64", "3.11")
PC = Target("x86_64", "3.11")


def wheel(folder: Path, name: str, content: bytes = b"x = 1\n") -> Path:
    """A file called like a wheel, with one module."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("module.py", content)
    return path


def test_the_same_members_in_any_order_are_the_same_bytes(tmp_path: Path) -> None:
    members = [("b", b"2", PLAIN), ("a", b"1", EXECUTABLE)]
    write_archive(tmp_path / "one.zip", members, compress=False)
    write_archive(tmp_path / "two.zip", reversed(members), compress=False)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert [(info.filename, info.date_time[0], info.external_attr >> 16) for info in archive.infolist()] == [
            ("a", 1980, 0o100755),
            ("b", 1980, 0o100644),
        ]


def test_wheels_made_at_different_times_are_the_same_bytes_once_repacked(tmp_path: Path) -> None:
    for year in (1990, 2020):
        with zipfile.ZipFile(tmp_path / f"{year}.whl", "w") as archive:
            archive.writestr(zipfile.ZipInfo("m.py", (year, 1, 1, 0, 0, 0)), b"x")
        repacked(tmp_path / f"{year}.whl", tmp_path / "out" / f"{year}.whl")
    assert (tmp_path / "out" / "1990.whl").read_bytes() == (tmp_path / "out" / "2020.whl").read_bytes()


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("numpy-2.4.6-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl", True),
        ("numpy-2.4.6-cp311-cp311-manylinux2014_aarch64.whl", True),
        ("numpy-2.4.6-cp38-abi3-manylinux_2_17_aarch64.whl", True),
        ("numpy-2.4.6-py3-none-any.whl", True),
        ("numpy-2.4.6-cp311-cp311-linux_aarch64.whl", True),  # made on such a machine
        ("numpy-2.4.6-cp312-cp312-manylinux_2_28_aarch64.whl", False),
        ("numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl", False),
        ("numpy-2.4.6-cp311-cp311-manylinux_2_39_aarch64.whl", False),  # a newer glibc than most core devices have
        ("numpy-2.4.6-cp311-cp311-musllinux_1_2_aarch64.whl", False),
        ("numpy-2.4.5-py3-none-any.whl", False),
        ("not a wheel.whl", False),
    ],
)
def test_which_wheels_run_on_a_raspberry_pi(name: str, runs: bool) -> None:
    assert (wheel_in([Path(name)], ("numpy", "2.4.6"), PI) is not None) == runs


def test_the_closure_of_a_component_holds_ours_and_pinned_others() -> None:
    workspace = find_workspace()
    room = CATALOGUE[0]
    needed = closure((room.distribution, *room.requires), PI, workspace.projects, read_pins(workspace.constraints))
    assert needed.ours == ("edgechess-game-manager", "edgechess-kit")
    names = [name for name, _ in needed.pins]
    assert {"anyio", "aiomqtt", "awscrt", "awsiotsdk", "chess", "msgspec", "paho-mqtt"} <= set(names)
    assert not {"numpy", "torch", "pyserial", "edgechess-kit", "pytest", "amqtt"} & set(names)
    assert names == sorted(names)


def test_what_has_no_pin_is_named() -> None:
    with pytest.raises(ClosureError, match="pins no version of anyio"):
        closure(("aiomqtt", "anyio"), PI, {}, {"aiomqtt": "1", "paho-mqtt": "1"})
    with pytest.raises(ClosureError, match="no-such-thing, which the artifact requires, is not installed here"):
        closure(("no-such-thing",), PI, {}, {})


class Index:
    """Stands for pip: what it has for whom. `calls` are the words that it was asked with."""

    def __init__(self, folder: Path, wheels: dict[str, str]) -> None:
        self.folder = folder
        self.wheels = wheels
        self.calls: list[list[str]] = []

    def run(self, words: Sequence[str], more: object = None) -> subprocess.CompletedProcess[str]:
        self.calls.append(list(words))
        given = "--python-version" in words
        good = True
        for word in words:
            name, pinned, _ = word.partition("==")
            if pinned:
                file = self.wheels.get(f"{name} for the target" if given else f"{name} {words[1]} here")
                good = good and file is not None
                if file is not None and (given or words[1] == "wheel"):
                    flag = "--dest" if given else "--wheel-dir"
                    wheel(Path(words[words.index(flag) + 1]), file)
        return subprocess.CompletedProcess(list(words), 0 if good else 1, "", "error: it does not compile\n")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    found = Index(tmp_path, {})
    monkeypatch.setattr(wheelhouse, "_run", found.run)
    return found


@pytest.fixture
def house(tmp_path: Path, index: Index) -> Wheelhouse:
    return Wheelhouse(find_workspace(), tmp_path / "cache", [tmp_path / "own"], lambda text: None)


def test_a_missing_wheel_names_distribution_version_machine_and_cure(house: Wheelhouse, index: Index) -> None:
    index.wheels = {"ruckig download here": "there is one for this machine"}
    with pytest.raises(WheelError) as raised:
        house.others([("ruckig", "0.19.4")], PI)
    told = str(raised.value)
    assert told.startswith("no wheel of ruckig 0.19.4 for aarch64, CPython 3.11")
    assert "pip wheel --no-deps ruckig==0.19.4" in told
    assert "--wheels" in told


def test_every_missing_wheel_is_named(house: Wheelhouse) -> None:
    with pytest.raises(WheelError) as raised:
        house.others([("one", "1.0"), ("two", "2.0")], PI)
    assert [line.split()[3:5] for line in str(raised.value).splitlines()] == [["one", "1.0"], ["two", "2.0"]]
    assert "it does not compile" in str(raised.value)


def test_a_source_that_is_pure_python_is_built_and_kept(house: Wheelhouse, index: Index) -> None:
    index.wheels = {"chess wheel here": "chess-1.11.2-py3-none-any.whl"}
    [first] = house.others([("chess", "1.11.2")], PI)
    asked = len(index.calls)
    assert house.others([("chess", "1.11.2")], PI) == [first]
    assert len(index.calls) == asked


def test_a_source_that_compiles_for_this_machine_alone_is_not_taken(house: Wheelhouse, index: Index) -> None:
    index.wheels = {"fast wheel here": "fast-1.0-cp311-cp311-linux_x86_64.whl"}
    with pytest.raises(WheelError, match="its source holds compiled code"):
        house.others([("fast", "1.0")], PI)
    assert [path.name for path in house.others([("fast", "1.0")], PC)] == ["fast-1.0-cp311-cp311-linux_x86_64.whl"]


def test_wheels_of_the_users_own_go_first(house: Wheelhouse, index: Index, tmp_path: Path) -> None:
    own = wheel(tmp_path / "own", "ruckig-0.19.4-cp311-cp311-linux_aarch64.whl")
    assert house.others([("ruckig", "0.19.4")], PI) == [own]
    assert index.calls == []


def artifact_of(tmp_path: Path, target: Target) -> Path:
    own = wheel(tmp_path / "wheels", "some_thing-1.0-py3-none-any.whl")
    pip = wheel(tmp_path / "wheels", "pip-23.2.1-py3-none-any.whl")
    made = write_artifact(tmp_path / "a" / "artifact.zip", [own], pip, target, b"licence")
    with zipfile.ZipFile(made.path) as archive:
        assert archive.namelist() == [
            "LICENSE", "install.sh", "requirements.txt",
            "wheels/pip-23.2.1-py3-none-any.whl", "wheels/some_thing-1.0-py3-none-any.whl",
        ]  # fmt: skip
        digest = hashlib.sha256(own.read_bytes()).hexdigest()
        assert archive.read("requirements.txt").decode() == f"some-thing==1.0 --hash=sha256:{digest}\n"
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked" / "install.sh"


def installed(script: Path, work: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", script, f"{work}/"], capture_output=True, text=True, check=False, timeout=60)


def test_an_artifact_for_another_machine_says_so(tmp_path: Path) -> None:
    other = "aarch64" if os.uname().machine == "x86_64" else "x86_64"
    done = installed(artifact_of(tmp_path, Target(other, "3.11")), tmp_path / "work")
    assert done.returncode == 1
    assert done.stderr.startswith(f"this artifact is for {other}, and this machine is {os.uname().machine}")


def test_an_artifact_for_another_python_says_so(tmp_path: Path) -> None:
    done = installed(artifact_of(tmp_path, Target(os.uname().machine, "3.99")), tmp_path / "work")
    assert done.returncode == 1
    assert "needs Python 3.99 with its venv module, and found Python 3." in done.stderr
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Nobody"], "Nobody: no such component; known are GameManager"),
        (["--platform", "armv7l"], "--platform armv7l: expected x86_64 or aarch64"),
        (["--python", "3.9"], "--python 3.9: expected 3.11 or newer"),
        (["--python", "three"], "--python three: expected 3.11 or newer"),
        (["--version", "1"], "--version: '1' is no version"),
        (["--wheels", "/nowhere"], "--wheels /nowhere: no such folder"),
    ],
)
def test_wrong_usage(words: list[str], said: str, edgechess: Edgechess) -> None:
    outcome = edgechess("build", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"edgechess build: {said}")


# -- whole, with an index ------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workspace's game manager and kit in a folder where nobody works on them; skips where no index answers."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", tmp_path, "idna"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if asked.returncode != 0:
        pytest.skip("no package index can be reached")
    whole, folder = find_workspace(), tmp_path / "clone"
    names = ("edgechess-game-manager", "edgechess-kit")
    for name in names:
        shutil.copytree(whole.projects[name], folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("constraints.txt", "LICENSE"):
        shutil.copy(whole.root / name, folder / name)
    workspace = Workspace(folder, {name: folder / name for name in names})
    monkeypatch.setattr(build_command, "find_workspace", lambda: workspace)
    return folder


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_built_artifact_is_reproducible_and_installs_offline_through_the_runtime(
    tmp_path: Path, copy: Path, edgechess: Edgechess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built twice, what comes as source too; then installed and imported by our runtime without a network."""
    if (
        build_command.cache_home().is_dir()
    ):  # what was fetched before is not fetched again; sources are built in any case
        shutil.copytree(build_command.cache_home(), tmp_path / "cache", ignore=shutil.ignore_patterns("chess-*"))
    monkeypatch.setattr(build_command, "cache_home", lambda: tmp_path / "cache")
    built = []
    for out in (tmp_path / "one", tmp_path / "two"):
        outcome = await anyio.to_thread.run_sync(edgechess, "build", "GameManager", "--out", str(out))
        assert outcome.code == 0, outcome.err
        assert "GameManager" in outcome.out
        built.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*.*") if path.is_file()})
        [own] = (tmp_path / "cache").rglob("chess-*.whl")
        own.unlink()
    assert built[0] == built[1]
    assert len(built[0]) == 2
    await _installs(tmp_path / "one", tmp_path)


async def _installs(built: Path, tmp_path: Path) -> None:
    from edgechess_nucleus.artifacts import FolderSource
    from edgechess_nucleus.deployed import prepare
    from edgechess_nucleus.deployment import read_deployment
    from edgechess_nucleus.flavour import JAVA
    from edgechess_nucleus.process_group import ProcessGroup
    from edgechess_nucleus.root_folder import RootFolder
    from edgechess_nucleus.state import read_state

    document = tmp_path / "deployment.yaml"
    document.write_text("components:\n  io.edgechess.GameManager: {}\n", encoding="utf-8")
    root = RootFolder(tmp_path / "root")
    [deployed] = prepare(
        read_deployment(document), built / "recipes", root, read_state(root.state), FolderSource(built / "artifacts"),
        flavour=JAVA, now_ms=1,
    ).components  # fmt: skip
    step = deployed.lifecycle.step("install")
    assert step is not None
    script = step.script.replace("{artifacts:decompressedPath}", str(deployed.paths.unarchived))
    lines: list[str] = []
    # an index that nobody answers at: whoever asked it would fail
    nowhere = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": "http://127.0.0.1:9/", "http_proxy": "http://127.0.0.1:9"}
    group = await ProcessGroup.start(
        script.replace("{work:path}", str(deployed.paths.work)),
        folder=deployed.paths.work, environment=nowhere, grace_s=5.0, say=lines.append,
    )  # fmt: skip
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(group.run)
        with anyio.fail_after(300.0):
            assert await group.wait() == 0, lines
            await group.end()
    python = deployed.paths.work / "venv" / "bin" / "python"
    program = "import sys, edgechess_game_manager.component as c, edgechess_kit.greengrass_host; print(c.__file__)"
    asked = await anyio.run_process([str(python), "-c", program])
    assert Path(asked.stdout.decode().strip()).is_relative_to(deployed.paths.work.resolve())
