"""The strict checker: the AWS sample's known mistakes, and one mutation of a good recipe for every rule."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgechess_cli.component_catalogue import CATALOGUE
from edgechess_cli.findings import Findings
from edgechess_cli.recipe_check import check_recipe
from edgechess_cli.recipe_text import Built, Naming, recipe_text
from edgechess_nucleus.documents import DocumentError

from .conftest import RECIPES, Checked

GOOD = recipe_text(CATALOGUE[0], component_version="1.2.3", built=[Built("amd64")])
SAMPLE = Path(__file__).parent / "fixtures" / "sample-shaped.yaml"

SAMPLE_MISTAKES = [
    "10:13: {iot:thingName}: variables are not replaced",
    "19:15: policy com.example.ChessGameManager:pubsub:1: resource * is a wildcard",
    "25:15: policy com.example.ChessGameManager:mqttproxy:1: aws.greengrass.ipc.mqttproxy has no operation",
    "27:15: policy com.example.ChessGameManager:mqttproxy:1: resource robo-chess/# is a wildcard",
    "30:7: Platform.runtime is missing",
    "32:9: Artifacts: URI: keys are case-sensitive",
    "35:7: Lifecycle: Install: keys are case-sensitive",
    "36:9: install: Scriptt: no nucleus reads it; write Script",
    "36:18: {artifacts:decompressedPath}/Chess: no artifact is unpacked there",
    "36:18: 'pip install --break-system-packages",
    "36:18: --break-system-packages breaks",
    "37:18: install: Timeout '60,' is no whole number",
    "38:28: install: runs as root",
    "39:7: Lifecycle: Run: keys are case-sensitive",
    "40:17: {artifacts:decompressedpath} stands for nothing",
    "40:17: {configuration:/logLevel}: DefaultConfiguration has nothing there",
]

# what to replace in a good recipe, by what, and the beginning of what is then found
MUTATIONS = {
    "unknown key": ("ComponentPublisher:", "Publisher-Of:", "recipe: unknown key Publisher-Of"),
    "casing": ("    Artifacts:", "    artifacts:", "Manifests: artifacts: keys are case-sensitive"),
    "misspelt": ("ComponentDescription:", "ComponentDescripton:", "recipe: ComponentDescripton: no nucleus reads it"),
    "no version": ('ComponentVersion: "1.2.3"\n', "", "ComponentVersion is missing"),
    "bad version": ('"1.2.3"', '"1.2"', "'1.2' is no version"),
    "plugin": ("aws.greengrass.generic", "aws.greengrass.plugin", "ComponentType aws.greengrass.plugin"),
    "no runtime": ('      runtime: "*"\n', "", "Platform.runtime is missing"),
    "java only": ('runtime: "*"', "runtime: aws_nucleus", "Platform.runtime aws_nucleus: no nucleus"),
    "lite only": ('runtime: "*"', "runtime: aws_nucleus_lite", "the Java nucleus passes this manifest over"),
    "arm64": ("architecture: amd64", "architecture: arm64", "architecture arm64 is no word of Greengrass; write aarch64"),
    "windows": ("os: linux", "os: windows", "os windows: nucleus lite runs on linux only"),
    "comma": ("Timeout: 600\n      run", "Timeout: 600,\n      run", "install: Timeout '600,' is no whole number"),
    "zero": ("Timeout: 600\n      run", "Timeout: 0\n      run", "install: Timeout 0: expected 1 to"),
    "timeout variable": (
        "Timeout: 600\n      run", 'Timeout: "{configuration:/boardAttempts}"\n      run', "install: Timeout {configuration",
    ),
    "privilege": ("Timeout: 600\n      run", "RequiresPrivilege: true\n      run", "install: runs as root"),
    "skipif": ("Timeout: 600\n      run", "Skipif: onpath x\n      run", "install: Skipif: nucleus lite ignores it"),
    "both": ("      shutdown:", "      startup: x\n      shutdown:", "run and startup exclude each other"),
    "variable": ("{work:path}/run.pid", "{work:folder}/run.pid", "{work:folder} stands for nothing"),
    "pointer": ("cd '{work:path}'", "cd '{configuration:/nowhere}'", "{configuration:/nowhere}: DefaultConfiguration"),
    "other component": ("cd '{work:path}'", "cd '{a.b:artifacts:path}'", "{a.b:artifacts:path}: a.b is none of"),
    "folder": ("GameManager-amd64/install.sh", "GameManager-x86/install.sh", "{artifacts:decompressedPath}/GameManager-x86"),
    "index": ("exec venv", "venv/bin/pip install chess; exec venv", "'pip install chess' fetches packages"),
    "resource *": ('"robo-chess/cloud/request"', '"*"', "policy io.edgechess.GameManager:mqttproxy:subscribe: resource *"),
    "resource +": ('"robo-chess/cloud/request"', '"robo-chess/+/request"', "policy io.edgechess.GameManager:mqttproxy"),
    "operation": ("aws.greengrass#PublishToTopic", "aws.greengrass#PublishTopic", "policy io.edgechess.GameManager:pubsub"),
    "operation *": ('["aws.greengrass#PublishToTopic"]', '["*"]', "policy io.edgechess.GameManager:pubsub:publish: operations"),
    "service": ("      aws.greengrass.ipc.pubsub:", "      aws.greengrass.ipc.pubsup:", "accessControl: aws.greengrass.ipc.pubsup"),
    "policy key": ("          operations:", "          operation:", "policy io.edgechess.GameManager:pubsub:publish: operation:"),
    "same id": (":mqttproxy:publish:", ":pubsub:publish:", "policy io.edgechess.GameManager:pubsub:publish: the same name"),
    "needed": ('            - "robo-chess/devices/arm/job"\n', "", "io.edgechess.GameManager needs PublishToTopic on robo-chess/devices/arm/job"),
    "too much": (
        '            - "robo-chess/devices/arm/job"\n',
        '            - "robo-chess/devices/arm/job"\n            - "robo-chess/devices/arm/control"\n',
        "io.edgechess.GameManager never does PublishToTopic on robo-chess/devices/arm/control",
    ),
    "access casing": ("    accessControl:", "    AccessControl:", "AccessControl: nucleus lite reads no policies there"),
    "not read": ("    robotEnabled:", "    robotsEnabled:", "game-manager: robotsEnabled: the code reads no such setting"),
    "not there": ("    claimDraws: true\n", "", "game-manager: claimDraws, which the code reads, is not in the recipe"),
    "kit section": ("    transport:\n", "    transporter:\n", "game-manager: transporter: the code reads no such setting"),
    "key casing": ("    claimDraws:", "    claim_draws:", "game-manager: claim_draws is not the documented casing"),
    "value": ("boardAttempts: 3", "boardAttempts: 99", "game-manager.board_attempts"),
    "test setting": ('      alpn: ""', '      alpn: ""\n      chaosSeed: 1', "bus: chaosSeed is for tests alone"),
    "variable in configuration": ('broker: "mqtt', 'broker: "{iot:thingName}mqtt', "{iot:thingName}mqtt"),
}  # fmt: skip


ELSEWHERE = {
    # what is missing is said of what should hold it, a name given twice of the second, a script of where it begins
    "no version", "no runtime", "needed", "not there", "same id", "operation", "kit section",
    "variable", "pointer", "other component", "index",
}  # fmt: skip


@pytest.mark.parametrize("room", CATALOGUE, ids=lambda room: room.short)
def test_the_repository_has_what_is_written(room: object, tmp_path: Path) -> None:
    """`edgechess recipes write` after any change of settings, topics or catalogue."""
    short = room.short  # type: ignore[attr-defined]
    assert (RECIPES / f"io.edgechess.{short}.yaml").read_text(encoding="utf-8") == recipe_text(room)  # type: ignore[arg-type]


def test_a_good_recipe_has_nothing(checked: Checked) -> None:
    assert checked(GOOD) == []


def test_other_prefixes_are_good_too(checked: Checked) -> None:
    assert checked(recipe_text(CATALOGUE[1], Naming("com.example.club", "club/table-7"))) == []


def test_every_mistake_of_the_sample_is_found() -> None:
    findings = Findings()
    check_recipe(SAMPLE, findings, {})
    told = [str(one).removeprefix(f"{SAMPLE}:") for one in findings.sorted()]
    assert [line[: len(start)] for line, start in zip(told, SAMPLE_MISTAKES, strict=True)] == SAMPLE_MISTAKES


@pytest.mark.parametrize("case", MUTATIONS)
def test_one_mistake_is_found_where_it_is(case: str, checked: Checked) -> None:
    old, new, expected = MUTATIONS[case]
    assert old in GOOD
    found = checked(GOOD.replace(old, new, 1))
    told = [line for line in found if expected in line]
    assert told, found
    line = int(told[0].partition(":")[0])
    changed = GOOD[: GOOD.index(old)].count("\n") + 1
    if case not in ELSEWHERE:
        assert line in (changed, changed + 1)


def test_a_recipe_larger_than_lite_reads(checked: Checked) -> None:
    assert any("16384" in line for line in checked(GOOD + "#" * 16_384 + "\n"))


def test_policies_larger_than_lite_reads(checked: Checked) -> None:
    text = recipe_text(CATALOGUE[0], Naming("c" * 100, "x" * 200))
    assert any("nucleus lite reads 4096" in line for line in checked(text))


def test_a_value_that_only_one_nucleus_gives_as_text(checked: Checked) -> None:
    """Unquoted, 12 is a number on Java, which the code refuses for a path, and the text "12" on lite."""
    assert any("journal.path" in line for line in checked(GOOD.replace('path: ""', "path: 12", 1)))
    assert checked(GOOD.replace('path: ""', 'path: "12"', 1)) == []


def test_what_is_no_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("a: [1", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"recipe.yaml:1"):
        check_recipe(path, Findings(), {})


def test_json_recipes_are_checked_alike(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    shutil.copy(SAMPLE, path)
    with pytest.raises(DocumentError, match="not JSON"):
        check_recipe(path, Findings(), {})
