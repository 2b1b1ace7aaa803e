"""`edgechess up` before anything runs: what is wrong in words and documents ends in one line and exit code 2."""

from __future__ import annotations

import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from edgechess_cli import up
from edgechess_cli.up import LOCAL
from edgechess_cli.workspace_artifacts import WorkspaceSource
from edgechess_nucleus.component import ComponentStatus
from edgechess_nucleus.recipe import read_recipe
from edgechess_nucleus.root_folder import RootFolder

from .conftest import Edgechess, Outcome

HEAD = 'RecipeFormatVersion: "2020-01-25"\nComponentName: a.B\nComponentVersion: 1.0.0\n'

ARTIFACT = HEAD + "Manifests:\n- Artifacts:\n  # built elsewhere\n  - Uri: s3://b/a.zip\n"
NEEDS = HEAD + "ComponentDependencies:\n  {}: {{VersionRequirement: '*'}}\nManifests:\n- Lifecycle: {{run: x}}\n"
TLS = "components: {}\nlocalRuntime:\n  recipes: .\n  iotCore:\n    broker: mqtts://a.example\n"


def documents(
    folder: Path, recipe: str, deployment: str = "components: {a.B: {}}\nlocalRuntime: {recipes: .}\n"
) -> str:
    (folder / "a.B.yaml").write_text(recipe, encoding="utf-8")
    path = folder / "deployments" / "mine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(deployment.replace("recipes: .", "recipes: .."), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("recipe", "deployment", "where", "what"),
    [
        ("a: [", None, "a.B.yaml:1: ", "not YAML"),
        (HEAD + "Manifests:\n- Lifecycle: {runn: x}\n", None, "a.B.yaml:5: ", "no such key runn; it is spelt run"),
        (HEAD + "Manifests:\n- Platform: {os: windows}\n", None, "a.B.yaml:2: ", "no manifest for os linux"),
        (HEAD, "components: {a.C: {}}\nlocalRuntime: {recipes: .}\n", "mine.yaml:1: ", "no recipe is called so"),
        (HEAD, "components: {a.B: {componentVersion: ^2.0.0}}\nlocalRuntime: {recipes: .}\n", "mine.yaml:1: ", "no version"),
        (HEAD, "components: {a.B: {}}\n", "mine.yaml: ", "name the folder there, or with --recipes"),
        (HEAD, "components: {}\nx-software-table: {sped: 1}\nlocalRuntime: {recipes: .}\n", "mine.yaml: ", "sped"),
        (HEAD, "components: {}\nlocalRuntime: {region: Mars}\n", "mine.yaml:2: ", "no AWS region"),
        (ARTIFACT, "components: {a.B: {}}\nlocalRuntime: {recipes: ., artifacts: none}\n", "a.B.yaml:7: ", "a.zip of a.B is missing"),
        (NEEDS.format("a.B"), None, "a.B.yaml:5: ", "circle: a.B -> a.B"),
        (HEAD, "components: {}\nlocalRuntime: {recipes: ., secrets: none.json}\n", "none.json: ", "No such file"),
        (HEAD, TLS + "    caFile: none.pem\n", "mine.yaml:5: ", "none.pem: not read as certificates: [Errno 2]"),
        (HEAD, TLS + "    caFile: mine.yaml\n", "mine.yaml:5: ", "mine.yaml: not read as certificates"),
        (HEAD, TLS + "    certFile: a.crt\n    keyFile: a.key\n", "mine.yaml:5: ", "a.key: not read as certificate and key"),
        (HEAD, TLS + "    certFile: a.crt\n", "mine.yaml:5: ", "one of the two files is missing"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_file_and_line(
    edgechess: Edgechess, tmp_path: Path, recipe: str, deployment: str | None, where: str, what: str
) -> None:
    path = documents(tmp_path, recipe, deployment) if deployment else documents(tmp_path, recipe)
    done = edgechess("up", path)
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1
    assert done.err.startswith("edgechess up: ")
    assert where in done.err
    assert what in done.err


def test_wrong_words(edgechess: Edgechess, tmp_path: Path) -> None:
    for words, what in (
        (("nowhere.yaml",), "nowhere.yaml: cannot be read"),
        (("--recipes", "/nope"), "--recipes /nope: no such folder"),
        (("--artifacts", "/nope"), "--artifacts /nope: no such folder"),
        (("--port", "1"), "--port 1: no broker of ours may listen there: name one from 1024 up"),
        (("--flavour", "rust"), "expected java or lite"),
        (("--broker", "mqtt://example.com"), "loopback only"),
        (("--root", str(tmp_path / ("x" * 120))), "has room for 107"),
    ):
        done = edgechess("up", *words)
        assert done.code == 2, done.err
        assert done.err.count("\n") == 1
        assert what in done.err


def test_what_is_in_use_is_said_before_anything_starts(edgechess: Edgechess, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told(edgechess("up", "--port", port), f"port {port} on 127.0.0.1 cannot be used for a broker: Address already")
    root = Path(tempfile.mkdtemp(prefix="up-"))  # short: a Unix socket's path has 108 bytes
    try:
        (root / "ipc.socket").touch()
        told(edgechess("up", "--root", str(root)), "there is a file of that name that is no socket; it stays")
        (root / "ipc.socket").unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(root / "ipc.socket"))
            other.listen()
            told(edgechess("up", "--root", str(root)), "another runtime listens there; stop it, or use another folder")
    finally:
        shutil.rmtree(root)


def told(done: Outcome, what: str) -> None:
    assert done.code == 2, done.err
    assert done.err.count("\n") == 1, done.err
    assert what in done.err


def test_a_deployment_for_a_running_runtime_is_read_first(edgechess: Edgechess, tmp_path: Path) -> None:
    document = tmp_path / "next.yaml"
    told(edgechess("up", "deploy", str(document), "--root", str(tmp_path)), "next.yaml: cannot be read")
    document.write_text("components: {a.B: {version: 1}}\n", encoding="utf-8")
    told(edgechess("up", "deploy", str(document), "--root", str(tmp_path)), "next.yaml:1: a.B: no such key version")
    document.write_text("components: {}\n", encoding="utf-8")
    done = edgechess("up", "deploy", str(document), "--root", str(tmp_path))
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "no runtime answers" in done.err


def test_nobody_is_there_to_ask(edgechess: Edgechess, tmp_path: Path) -> None:
    for words in (("status",), ("logs", "GameManager"), ("restart", "GameManager")):
        done = edgechess("up", *words, "--root", str(tmp_path))
        assert done.code == 1
        assert "no runtime answers" in done.err


def test_a_root_in_use_is_said(edgechess: Edgechess, short_path: Path) -> None:
    with RootFolder(short_path / "r").locked():
        done = edgechess("up", "--root", str(short_path / "r"))
    assert done.code == 2
    assert "is in use by process" in done.err


def test_nobody_else_looks_into_a_root(short_path: Path) -> None:
    (short_path / "r").mkdir(mode=0o755)
    (short_path / "r" / "logs").mkdir(mode=0o755)
    for root in (short_path / "r", short_path / "new"):
        with RootFolder(root).locked():
            inside = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in root.iterdir()}
        assert {"logs", "config", "work", "lock"} <= inside.keys()
        assert not any(inside.values()), inside
    assert stat.S_IMODE((short_path / "new").stat().st_mode) == 0o700


def test_a_component_that_there_is_not_is_answered_with_those_that_there_are(
    edgechess: Edgechess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def statuses(path: Path) -> list[ComponentStatus]:
        return [
            ComponentStatus(name, "1.0.0", "RUNNING", 0.0, None, 0, None, False)
            for name in ("a.GameManager", "a.BoardSensor")
        ]

    monkeypatch.setattr(up, "ask_status", statuses)
    for verb in ("logs", "restart"):
        done = edgechess("up", verb, "Foo", "--root", str(tmp_path))
        told(done, "no component Foo; there are a.GameManager, a.BoardSensor")


def test_an_artifact_of_the_workspace_is_the_same_every_time(tmp_path: Path) -> None:
    recipe = read_recipe(LOCAL.parents[1] / "io.edgechess.GameManager.yaml")
    [artifact] = recipe.manifests[0].artifacts
    first = WorkspaceSource(tmp_path).fetch(recipe, artifact).read_bytes()
    assert WorkspaceSource(tmp_path).fetch(recipe, artifact).read_bytes() == first
    assert b"install.sh" in first
