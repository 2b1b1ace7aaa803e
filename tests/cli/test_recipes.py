"""`edgechess recipes`: what a user sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechess_cli.component_catalogue import CATALOGUE

from .conftest import Edgechess

SAMPLE = Path(__file__).resolve().parents[1] / "recipes" / "fixtures" / "sample-shaped.yaml"


def test_findings_are_one_line_each_and_exit_code_1(edgechess: Edgechess) -> None:
    outcome = edgechess("recipes", "check", str(SAMPLE))
    assert outcome.code == 1
    assert f"{SAMPLE}:36:9: install: Scriptt: no nucleus reads it; write Script" in outcome.out.splitlines()
    assert outcome.err == ""


@pytest.mark.slow  # every recipe in both ways
def test_what_was_written_passes(edgechess: Edgechess, tmp_path: Path) -> None:
    out = tmp_path / "made"
    assert edgechess("recipes", "write", "--out", str(out), "--prefix", "com.example", "--topics", "club").code == 0
    assert (out / "com.example.GameManager.yaml").is_file()
    outcome = edgechess("recipes", "check", str(out))
    assert (outcome.code, outcome.out) == (0, f"{len(CATALOGUE)} files: nothing found\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["write", "--topics", "a/#"], "bus.prefix"),
        (["write", "--prefix", "a b"], "is no component name"),
        (["write", "--out", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_unusable_input_is_exit_code_2(words: list[str], said: str, edgechess: Edgechess) -> None:
    outcome = edgechess("recipes", *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_text_that_is_no_yaml_is_named_with_its_line(edgechess: Edgechess, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("a: 1\nb: [", encoding="utf-8")
    outcome = edgechess("recipes", "check", str(path))
    assert outcome.code == 2
    assert outcome.err.startswith(f"{path}:2:5: not YAML")


def test_an_empty_folder_is_unusable(edgechess: Edgechess, tmp_path: Path) -> None:
    outcome = edgechess("recipes", "check", str(tmp_path))
    assert (outcome.code, "no recipe in this folder" in outcome.err) == (2, True)


def test_dependencies_that_go_round_are_found_from_the_document(edgechess: Edgechess, tmp_path: Path) -> None:
    recipe = """RecipeFormatVersion: "2020-01-25"
ComponentName: {}
ComponentVersion: 1.0.0
ComponentDependencies:
  {}: {{VersionRequirement: "*"}}
  aws.greengrass.Nucleus: {{VersionRequirement: "*"}}
Manifests:
- Platform: {{os: linux, runtime: "*"}}
  Artifacts: []
  Lifecycle: {{run: "true"}}
"""
    (tmp_path / "a.B.yaml").write_text(recipe.format("a.B", "a.C"), encoding="utf-8")
    (tmp_path / "a.C.yaml").write_text(recipe.format("a.C", "a.B"), encoding="utf-8")
    document = tmp_path / "deployments" / "mine.yaml"
    document.parent.mkdir()
    document.write_text("components: {a.B: {componentVersion: 1.0.0}}\nlocalRuntime: {recipes: ..}\n", encoding="utf-8")
    outcome = edgechess("recipes", "check", str(document))
    assert (outcome.code, outcome.err) == (1, "")
    assert [line for line in outcome.out.splitlines() if "circle: a.B -> a.C -> a.B" in line]
