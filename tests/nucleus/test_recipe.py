"""Recipes and deployment documents: what is read, and where each mistake is said to be."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgechess_nucleus.deployment import read_deployment
from edgechess_nucleus.documents import DocumentError, parse_document
from edgechess_nucleus.flavour import JAVA, LITE
from edgechess_nucleus.platform import Platform, manifest_for, mismatch
from edgechess_nucleus.recipe import Recipe, read_recipe, recipe_of

RECIPE = """\
RecipeFormatVersion: "2020-01-25"
ComponentName: com.example.Hello
ComponentVersion: 1.2.3
ComponentConfiguration:
  DefaultConfiguration:
    enabled: false
    count: 3
    ratio: 1.5
    date: 2020-01-25
    answer: yes
    quoted: "true"
ComponentDependencies:
  com.example.Base: {VersionRequirement: ^2.0.0}
  com.example.Nice: {VersionRequirement: ">=1.0.0 <3.0.0", DependencyType: SOFT}
Manifests:
  - Platform: {os: linux, architecture: aarch64, runtime: "*"}
    Lifecycle: {run: echo arm}
  - Platform: {os: linux, runtime: "*"}
    Artifacts:
      - Uri: s3://bucket/com.example.Hello/1.2.3/hello.zip
        Unarchive: ZIP
        Permission: {Read: ALL, Execute: OWNER}
    Lifecycle:
      Setenv: {LOUD: 1}
      install: {Script: make, Timeout: 60, Skipif: onpath hello}
      run: {Script: exec hello, RequiresPrivilege: true, Setenv: {HOW: "{configuration:/how}"}}
"""
PC = Platform({"os": "linux", "architecture": "amd64", "architecture.detail": "x86_64"}, None)
LITE_PC = Platform(PC.attributes, "aws_nucleus_lite")
HEAD = 'RecipeFormatVersion: "2020-01-25"\nComponentName: a.B\nComponentVersion: 1.0.0\n'


def read(tmp_path: Path, text: str, flavour: object = None, suffix: str = ".yaml") -> Recipe:
    path = tmp_path / f"recipe{suffix}"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path, flavour)  # type: ignore[arg-type]


def test_every_part_is_read(tmp_path: Path) -> None:
    recipe = read(tmp_path, RECIPE)
    assert (recipe.name, str(recipe.version)) == ("com.example.Hello", "1.2.3")
    assert [(d.name, str(d.requirement), d.kind) for d in recipe.dependencies] == [
        ("com.example.Base", "^2.0.0", "HARD"),
        ("com.example.Nice", ">=1.0.0 <3.0.0", "SOFT"),
    ]
    manifest = manifest_for(recipe, PC)
    assert manifest.place.line == 18
    [artifact] = manifest.artifacts
    assert (artifact.file_name, artifact.unzip, artifact.read, artifact.execute) == ("hello.zip", True, "ALL", "OWNER")
    lifecycle = recipe.lifecycle_of(manifest)
    assert lifecycle.setenv == (("LOUD", "1"),)
    install, run = lifecycle.steps
    assert (install.script, install.timeout, install.skip_if) == ("make", "60", "onpath hello")
    assert (run.script, run.timeout, run.requires_privilege) == ("exec hello", None, True)


def test_scalars_have_javas_types_and_lite_forgets_those_of_yaml(tmp_path: Path) -> None:
    defaults = read(tmp_path, RECIPE).defaults
    assert defaults is not None
    assert defaults.data() == {
        "enabled": False, "count": 3, "ratio": 1.5, "date": "2020-01-25", "answer": "yes", "quoted": "true",
    }  # fmt: skip
    assert defaults.data(lose_types=True) == {
        "enabled": "false", "count": "3", "ratio": "1.5", "date": "2020-01-25", "answer": "yes", "quoted": "true",
    }  # fmt: skip


def test_json_keeps_its_types_on_lite(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "RecipeFormatVersion": "2020-01-25", "ComponentName": "a.B", "ComponentVersion": "1.0.0",
            "ComponentConfiguration": {"DefaultConfiguration": {"enabled": False, "ports": [1, 2]}},
        },
        indent=1,
    )  # fmt: skip
    defaults = read(tmp_path, text, LITE, ".json").defaults
    assert defaults is not None
    assert defaults.data(lose_types=True) == {"enabled": False, "ports": [1, 2]}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("ComponentName: [", 1, "not YAML"),
        ("- a\n", 1, "expected a mapping"),
        ("", 1, "expected a mapping"),
        (
            "RecipeFormatVersion: '2020-01-25'\nComponentName: a b\nComponentVersion: 1.0.0\n",
            2,
            "'a b' is no component",
        ),
        ("RecipeFormatVersion: '2020-01-25'\nComponentName: a\nComponentVersion: '1.0'\n", 3, "is no version"),
        ("RecipeFormatVersion: '2021'\nComponentName: a\nComponentVersion: 1.0.0\n", 1, "'2021' is none of 2020-01-25"),
        ("ComponentName: a\nComponentVersion: 1.0.0\n", 1, "RecipeFormatVersion is missing"),
        (HEAD + "ComponentName: b\n", 4, "ComponentName: given twice, first in line 2"),
        (HEAD + "Manifest: []\n", 4, "no such key Manifest; it is spelt Manifests"),
        (HEAD + "manifests: []\n", 4, "no such key manifests; it is spelt Manifests"),
        (HEAD + "Manifests:\n- Lifecycle:\n    Run: x\n", 6, "no such key Run; it is spelt run"),
        (HEAD + "Manifests:\n- Lifecycle:\n    run: {Scriptt: x}\n", 6, "no such key Scriptt; it is spelt Script"),
        (HEAD + "Manifests:\n- Lifecycle:\n    run: {Timeout: 5}\n", 6, "Script is missing"),
        (HEAD + "Manifests:\n- Lifecycle:\n    run: {Script: x, Timeout: '60,'}\n", 6, "whole seconds, found '60,'"),
        (HEAD + "Manifests:\n- Lifecycle:\n    run: x\n    startup: y\n", 7, "run and startup exclude each other"),
        (HEAD + "Manifests:\n- Artifacts:\n  - URI: x\n", 6, "no such key URI; it is spelt Uri"),
        (HEAD + "Manifests:\n- Artifacts:\n  - {Uri: x, Unarchive: TAR}\n", 6, "'TAR' is none of NONE, ZIP"),
        (HEAD + "Manifests:\n- Lifecycle:\n    run: {Script: x, Skipif: maybe}\n", 6, "neither"),
        (HEAD + "ComponentDependencies:\n  x: {}\n", 5, "VersionRequirement is missing"),
        (HEAD + "ComponentDependencies:\n  x: {VersionRequirement: a.b}\n", 5, "is no version requirement"),
        (HEAD + "Lifecycle: &x\n  run: *x\n", 5, "alias *x: write it out"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(DocumentError) as told:
        read(tmp_path, text)
    assert str(told.value).startswith(f"{tmp_path / 'recipe.yaml'}:{line}: ")
    assert what in str(told.value)


def test_json_mistakes_have_lines_too(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"recipe\.json:2: not JSON"):
        read(tmp_path, '{"RecipeFormatVersion": "2020-01-25",\n}', suffix=".json")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"nowhere\.yaml:1: cannot be read: No such file"):
        read_recipe(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"ComponentName: \xe4\n")
    with pytest.raises(DocumentError, match="not UTF-8"):
        read_recipe(tmp_path / "latin.yaml")
    with pytest.raises(DocumentError, match="nucleus lite reads 16384"):
        read(tmp_path, RECIPE + "#" * 17_000)
    assert read(tmp_path, RECIPE + "#" * 17_000, JAVA).name == "com.example.Hello"


def test_deep_documents_end_in_a_message(tmp_path: Path) -> None:
    for deep in ("[" * 5000, "a: " + "{a: " * 400 + "}" * 400):
        with pytest.raises(DocumentError):
            read(tmp_path, deep)


def test_only_the_java_nucleus_reads_another_casing_and_it_is_noted(tmp_path: Path) -> None:
    """As the AWS sample's recipe has it."""
    text = HEAD + "Manifests:\n- Platform: {os: linux}\n  Lifecycle:\n    Install: x\n    Run: {script: y}\n"
    recipe = read(tmp_path, text, JAVA)
    assert [step.name for step in recipe.lifecycle_of(manifest_for(recipe, PC)).steps] == ["install", "run"]
    assert [note.split(": ", 1)[1] for note in recipe.notes] == [
        "Install: spelt install; nucleus lite would not read it",
        "Run: spelt run; nucleus lite would not read it",
        "script: spelt Script; nucleus lite would not read it",
    ]
    with pytest.raises(DocumentError):
        read(tmp_path, text, LITE)


def test_a_global_life_cycle_is_picked_by_selections(tmp_path: Path) -> None:
    text = HEAD + (
        "Manifests:\n- Platform: {os: linux}\n  Selections: [debian, all]\n"
        "Lifecycle:\n  install: {debian: {Script: apt}, all: {Script: other}}\n  run: {all: {Script: go}}\n"
    )
    recipe = read(tmp_path, text)
    steps = recipe.lifecycle_of(recipe.manifests[0]).steps
    assert [(step.name, step.script) for step in steps] == [("install", "apt"), ("run", "go")]


def test_manifests_are_chosen_by_platform(tmp_path: Path) -> None:
    def recipe(platform: str) -> Recipe:
        return read(tmp_path, HEAD + f"Manifests:\n- Platform: {platform}\n  Lifecycle: {{run: x}}\n")

    assert manifest_for(recipe("{os: linux}"), PC)
    assert manifest_for(recipe("{os: '*', architecture: /amd64|x86/}"), PC)
    with pytest.raises(DocumentError, match='needs "\\*" or aws_nucleus_lite'):
        manifest_for(recipe("{os: linux}"), LITE_PC)
    with pytest.raises(DocumentError, match=r"recipe\.yaml:2: a\.B: no manifest for .*\(line 5: os windows\)"):
        manifest_for(recipe("{os: windows}"), PC)
    assert mismatch(recipe("{runtime: aws_nucleus_lite}").manifests[0], PC) == "runtime aws_nucleus_lite"
    assert mismatch(recipe("{runtime: aws_nucleus_lite}").manifests[0], LITE_PC) is None


@given(st.text(max_size=200))
def test_any_text_is_a_document_or_a_document_error(text: str) -> None:
    with contextlib.suppress(DocumentError):
        recipe_of(parse_document(text, Path("any.yaml")), Path("any.yaml"))


# -- deployment documents ------------------------------------------------------------------------------------------


def deployment(tmp_path: Path, text: str) -> object:
    path = tmp_path / "deployment.yaml"
    path.write_text(text, encoding="utf-8")
    return read_deployment(path)


def test_a_cloud_deployment_document_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "cloud.json"
    path.write_text(
        json.dumps(
            {
                "targetArn": "arn:aws:iot:eu-central-1:123456789012:thing/core",
                "components": {
                    "a.B": {
                        "componentVersion": "1.0.0",
                        "configurationUpdate": {"merge": '{"port": 1883}', "reset": ["/old", ""]},
                        "runWith": {"posixUser": "ggc_user"},
                    }
                },
            }
        )
    )
    [wanted] = read_deployment(path).components
    assert (wanted.name, str(wanted.version)) == ("a.B", "1.0.0")
    assert (wanted.update.merge, wanted.update.reset) == ({"port": 1883}, ("/old", ""))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("name: x\n", 1, "no such key name"),
        ("deploymentName: x\n", 1, "components is missing"),
        ("components:\n  a.B:\n    version: 1.0.0\n", 3, "no such key version"),
        ("components:\n  a.B:\n    configurationUpdate: {merge: '{'}\n", 3, "merge: not JSON"),
        ("components:\n  a.B:\n    configurationUpdate:\n      reset: [a]\n", 4, "reset"),
        ("components: {}\nlocalRuntime:\n  region: Frankfurt\n", 3, "'Frankfurt' is no AWS region"),
        ("components: {}\nlocalRuntime:\n  thingName: a b\n", 3, "thingName"),
        ("components: {}\nlocalRuntime:\n  iotCore:\n    broker: mqtt://example.com\n", 4, "loopback only"),
        (
            "components: {}\nlocalRuntime:\n  iotCore: {broker: 'mqtts://h', caFile: none.pem}\n",
            3,
            "none.pem: not read as certificates",
        ),
        (
            "components: {}\nlocalRuntime:\n  mqttTopicMapping:\n    x: {topic: a, source: Pubsub, target: Moon}\n",
            4,
            "mqttTopicMapping.x.target",
        ),
    ],
)
def test_a_mistake_in_a_deployment_is_told_with_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(DocumentError) as told:
        deployment(tmp_path, text)
    assert str(told.value).startswith(f"{tmp_path / 'deployment.yaml'}:{line}: "), str(told.value)
    assert what in str(told.value)
