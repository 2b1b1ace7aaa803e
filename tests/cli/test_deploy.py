"""`edgechess deploy`: S3 as moto models it, Greengrass as botocore's own stub checks it, and no network at all."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import boto3
import pytest
from botocore.exceptions import NoCredentialsError
from botocore.stub import ANY, Stubber
from moto import mock_aws

from edgechess_cli.built_folder import BuiltFolder
from edgechess_cli.component_catalogue import CATALOGUE
from edgechess_cli.deploy_cloud import Calls, Cloud, CloudError, check_region, check_target
from edgechess_cli.deploy_plan import Plan, read_plan, resets
from edgechess_cli.recipe_text import Built, Naming, recipe_text
from edgechess_nucleus.recipe import read_recipe

from .conftest import Edgechess

pytestmark = pytest.mark.slow  # a client of boto3 takes a fifth of a second to make

REGION = "eu-central-1"
BUCKET = "edgechess-artifacts"
TARGET = f"arn:aws:iot:{REGION}:123456789012:thing/core-1"
NAME = "io.edgechess.BoardSensor"
ARN = f"arn:aws:greengrass:{REGION}:123456789012:components:{NAME}:versions:"
ZIP = b"PK\x05\x06" + bytes(18)  # an empty archive
DOCUMENT = f"""\
deploymentName: test
components:
  {NAME}:
    componentVersion: 1.1.0
    configurationUpdate:
      merge: {{port: /dev/ttyACM0}}
      reset: [/link]
  aws.greengrass.ShadowManager:
    componentVersion: 2.3.9
deploymentPolicies:
  failureHandlingPolicy: ROLLBACK
"""


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's credentials, and no way to find any."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture
def built(tmp_path: Path) -> BuiltFolder:
    """One component, as `edgechess build` leaves it; its artifact is an empty archive."""
    folder = BuiltFolder(tmp_path / "built")
    room = next(room for room in CATALOGUE if room.short == "BoardSensor")
    path = folder.artifact_path(room, NAME, "1.1.0", "amd64")
    path.parent.mkdir(parents=True)
    path.write_bytes(ZIP)
    folder.recipes.mkdir()
    text = recipe_text(room, Naming(), "1.1.0", folder.built(room, NAME, "1.1.0"))
    folder.recipe_path(NAME, "1.1.0").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "deployment.yaml"
    path.write_text(DOCUMENT, encoding="utf-8")
    return path


@pytest.fixture
def plan(built: BuiltFolder, document: Path) -> Plan:
    return read_plan(document, built, "")


class Account:
    """S3 in memory, and a stub of Greengrass that checks every call against the service's model, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        self.s3 = boto3.client("s3", region_name=REGION)
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.greengrass = boto3.client("greengrassv2", region_name=REGION)
        self.stub = Stubber(self.greengrass)
        self.stub.activate()
        self.lines: list[str] = []

    def client(self, service: str) -> Any:
        return {"s3": self.s3, "greengrassv2": self.greengrass}[service]

    def lists(self, version: str | None) -> None:
        found = [{"componentName": NAME, "arn": ARN[:-10], "latestVersion": {"arn": ARN + version, "componentVersion": version}}] if version else []  # fmt: skip
        self.stub.add_response("list_components", {"components": found}, {"scope": "PRIVATE"})

    def gives(self, version: str, recipe: dict[str, Any]) -> None:
        answer = {"recipeOutputFormat": "JSON", "recipe": json.dumps(recipe).encode()}
        self.stub.add_response("get_component", answer, {"arn": ARN + version, "recipeOutputFormat": "JSON"})

    def registers(self, recipe: Any = ANY, *states: str) -> None:
        status = {"componentState": "REQUESTED"}
        answer = {"arn": ARN + "1.1.0", "componentName": NAME, "componentVersion": "1.1.0", "status": status}
        self.stub.add_response("create_component_version", {**answer, "creationTimestamp": 0}, {"inlineRecipe": recipe})
        for state in states or ("DEPLOYABLE",):
            described = {**answer, "status": {"componentState": state, "errors": {"artifact": "wrong digest"}}}
            self.stub.add_response("describe_component", described, {"arn": ARN + "1.1.0"})

    def deploys(self, reset: list[str]) -> None:
        update = {"merge": '{"port":"/dev/ttyACM0"}', "reset": reset}
        self.stub.add_response(
            "create_deployment",
            {"deploymentId": "d-1"},
            {
                "targetArn": TARGET,
                "deploymentName": "test",
                "components": {
                    NAME: {"componentVersion": "1.1.0", "configurationUpdate": update},
                    "aws.greengrass.ShadowManager": {"componentVersion": "2.3.9"},
                },
                "deploymentPolicies": {"failureHandlingPolicy": "ROLLBACK"},
            },
        )

    def deploy(self, plan: Plan, bucket: str = BUCKET) -> None:
        cloud = Cloud(Calls(self.client, self.lines.append), bucket, self.lines.append)
        anyio.run(cloud.deploy, plan, TARGET, {}, 0.0)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with mock_aws():
        yield Account(monkeypatch)


def registered(plan: Plan) -> dict[str, Any]:
    return plan.releases[0].registered(BUCKET)


def test_a_first_deployment_uploads_registers_and_deploys(account: Account, plan: Plan) -> None:
    account.lists(None)
    account.registers(json.dumps(registered(plan), separators=(",", ":")).encode(), "REQUESTED", "DEPLOYABLE")
    account.deploys(["/link"])
    account.deploy(plan)
    account.stub.assert_no_pending_responses()
    key = f"{NAME}/1.1.0/BoardSensor-amd64.zip"
    assert account.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == ZIP
    [put] = [json.loads(line.split(" ", 1)[1]) for line in account.lines if line.startswith("s3.put_object")]
    assert put["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(ZIP).digest()).decode()
    [manifest] = registered(plan)["Manifests"]
    assert manifest["Artifacts"] == [{"Uri": f"s3://{BUCKET}/{key}", "Unarchive": "ZIP"}]
    assert registered(plan)["ComponentConfiguration"]["DefaultConfiguration"]["slideWaitS"] == plan.releases[0].defaults["slideWaitS"]  # fmt: skip


def test_defaults_that_changed_since_the_registered_version_are_reset(account: Account, plan: Plan) -> None:
    older = registered(plan)
    defaults = older["ComponentConfiguration"]["DefaultConfiguration"]
    defaults["readTimeoutS"] = 99.0
    defaults["transport"]["devices"] = "mqtt"
    defaults["goneSince"] = 1
    defaults["accessControl"]["aws.greengrass.ipc.pubsub"] = {}
    del defaults["quietS"]  # new in this version: nothing to reset
    account.lists("1.0.0")
    account.gives("1.0.0", older)
    account.registers()
    account.deploys(["/link", "/accessControl", "/goneSince", "/readTimeoutS", "/transport/devices"])
    account.deploy(plan)
    account.stub.assert_no_pending_responses()
    assert any(line.startswith(f"{NAME}: reset /accessControl") for line in account.lines)


def test_the_same_version_once_more_is_only_deployed(account: Account, plan: Plan) -> None:
    account.lists("1.1.0")
    account.gives("1.1.0", registered(plan))
    account.deploys(["/link"])
    account.deploy(plan)
    account.stub.assert_no_pending_responses()
    assert account.s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_another_content_under_a_registered_version_is_refused(account: Account, plan: Plan) -> None:
    other = registered(plan)
    other["Manifests"][0]["Artifacts"][0]["Digest"] = "another"
    account.lists("1.1.0")
    account.gives("1.1.0", other)
    with pytest.raises(CloudError, match=r"1\.1\.0 is registered already, with other contents.*--version"):
        account.deploy(plan)


def test_a_recipe_that_the_service_refuses(account: Account, plan: Plan) -> None:
    account.lists(None)
    account.registers(ANY, "FAILED")
    with pytest.raises(CloudError, match=r"the service refused it: .*wrong digest"):
        account.deploy(plan)


def test_a_bucket_that_is_not_there(account: Account, plan: Plan) -> None:
    with pytest.raises(CloudError, match="bucket nobodys does not exist"):
        account.deploy(plan, "nobodys")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("301", "bucket edgechess-artifacts is in us-west-2: say --region us-west-2"),
        ("403", "it is another account's, or these credentials may not head_bucket"),
        ("ExpiredToken", "the AWS credentials have expired"),
        ("InvalidClientTokenId", "of no account that is known"),
        ("Throttling", "head_bucket: Throttling"),
    ],
)
def test_what_s3_answers_is_told_with_its_cure(code: str, said: str, account: Account, plan: Plan) -> None:
    with Stubber(account.s3) as stub:
        stub.add_client_error("head_bucket", code, response_meta={"HTTPHeaders": {"x-amz-bucket-region": "us-west-2"}})
        with pytest.raises(CloudError, match=said):
            account.deploy(plan)


def test_what_greengrass_denies(account: Account, plan: Plan) -> None:
    account.stub.add_client_error("list_components", "AccessDeniedException", "not for you")
    with pytest.raises(CloudError, match="these credentials may not call list_components: not for you"):
        account.deploy(plan)


def test_no_credentials(built: BuiltFolder, document: Path, edgechess: Edgechess) -> None:
    outcome = edgechess("deploy", str(document), "--built", str(built.root), *cloud_words())
    assert outcome.code == 1
    assert outcome.err == "edgechess deploy: no AWS credentials: run `aws configure`, or set AWS_PROFILE\n"
    with pytest.raises(NoCredentialsError):  # what boto3 itself says
        boto3.client("s3", region_name=REGION).head_bucket(Bucket=BUCKET)


def cloud_words() -> list[str]:
    return ["--bucket", BUCKET, "--region", REGION, "--target-arn", TARGET]


# -- what needs no account -----------------------------------------------------------------------------------------


def test_a_dry_run_prints_every_call_and_asks_nobody(built: BuiltFolder, document: Path, edgechess: Edgechess) -> None:
    outcome = edgechess("deploy", str(document), "--built", str(built.root), *cloud_words(), "--dry-run")
    assert (outcome.code, outcome.err) == (0, "")
    calls = [line.split(" ", 1) for line in outcome.out.splitlines() if not line.startswith("#")]
    assert [name for name, _ in calls] == [
        "s3.head_bucket", "greengrassv2.list_components", "s3.put_object", "greengrassv2.create_component_version",
        "greengrassv2.create_deployment",
    ]  # fmt: skip
    parameters = [json.loads(text) for _, text in calls]
    assert parameters[2]["Key"] == f"{NAME}/1.1.0/BoardSensor-amd64.zip"
    assert parameters[3]["inlineRecipe"]["ComponentName"] == NAME
    assert parameters[4]["components"][NAME]["componentVersion"] == "1.1.0"


def test_a_dry_run_against_older_recipes_shows_the_reset(
    built: BuiltFolder, document: Path, tmp_path: Path, edgechess: Edgechess
) -> None:
    older = tmp_path / "older"
    older.mkdir()
    text = built.recipe_path(NAME, "1.1.0").read_text().replace("1.1.0", "1.0.0").replace('port: "auto"', 'port: "usb"')
    (older / "board.yaml").write_text(text, encoding="utf-8")
    words = ["--built", str(built.root), *cloud_words(), "--dry-run", "--previous", str(older)]
    outcome = edgechess("deploy", str(document), *words)
    last = json.loads(outcome.out.splitlines()[-1].split(" ", 1)[1])
    assert last["components"][NAME]["configurationUpdate"]["reset"] == ["/link", "/port"]


def test_resets_are_as_deep_as_the_change() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "x/y~z": 1, "accessControl": {"s": 1}, "same": 1}
    new = {"a": 2, "b": {"c": 1, "d": 3}, "e": [1, 2], "accessControl": {"s": 1}, "same": 1, "new": 1}
    assert resets(old, new) == ["/a", "/b/d", "/e", "/x~1y~0z"]
    assert resets(old, {**old, "accessControl": {"s": 2}}) == ["/accessControl"]
    assert resets({}, new) == []


WRONG: dict[str, tuple[list[str], str]] = {
    "no bucket": (["--region", REGION, "--target-arn", TARGET], "--bucket is missing (or --local: without AWS)"),
    "no region": (["--bucket", "b", "--target-arn", TARGET], "--region is missing"),
    "no target": (["--bucket", "b", "--region", REGION], "--target-arn is missing"),
    "region": (["--bucket", "b", "--region", "eu-nowhere-1", "--target-arn", TARGET], "--region eu-nowhere-1: Greengrass"),
    "other region": (["--bucket", "b", "--region", "us-west-2", "--target-arn", TARGET], f"--target-arn is in {REGION} and"),
    "no arn": (["--bucket", "b", "--region", REGION, "--target-arn", "core-1"], "--target-arn core-1: expected arn:aws"),
    "version": (["--version", "7.0.0", *cloud_words()], "no recipe of version 7.0.0"),
    "root of no runtime of ours": ([*cloud_words(), "--root", "r"], "--root and --flavour are of our own runtime"),
    "flavour": (["--local", "--flavour", "rust"], "--flavour is 'rust': expected java or lite"),
    "previous": ([*cloud_words(), "--previous", "/nowhere"], "--previous /nowhere: no recipe there"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage(case: str, built: BuiltFolder, document: Path, edgechess: Edgechess) -> None:
    words, said = WRONG[case]
    outcome = edgechess("deploy", str(document), "--built", str(built.root), *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_nothing_built(document: Path, tmp_path: Path, edgechess: Edgechess) -> None:
    outcome = edgechess("deploy", str(document), "--built", str(tmp_path / "none"), *cloud_words())
    assert outcome.code == 2
    assert "run edgechess build" in outcome.err


def test_a_missing_artifact_is_named_with_its_line(built: BuiltFolder, document: Path, edgechess: Edgechess) -> None:
    [zipped] = built.root.rglob("*.zip")
    zipped.unlink()
    outcome = edgechess("deploy", str(document), "--built", str(built.root), *cloud_words())
    recipe = built.recipe_path(NAME, "1.1.0")
    line = recipe.read_text().splitlines().index("      - Uri: s3://BUCKET_NAME/io.edgechess.BoardSensor/1.1.0/BoardSensor-amd64.zip") + 1  # fmt: skip
    assert outcome.code == 2
    assert outcome.err.startswith(f"edgechess deploy: {recipe}:{line}: artifact {zipped} is missing")


def test_a_changed_artifact_is_not_deployed(built: BuiltFolder, document: Path, edgechess: Edgechess) -> None:
    [zipped] = built.root.rglob("*.zip")
    zipped.write_bytes(ZIP + b"x")
    outcome = edgechess("deploy", str(document), "--built", str(built.root), *cloud_words())
    assert outcome.code == 2
    assert "is not the file whose Digest is here" in outcome.err


def test_a_component_that_is_not_built(built: BuiltFolder, tmp_path: Path, edgechess: Edgechess) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(DOCUMENT.replace("  aws.", "  io.edgechess.GameManager: {}\n  aws."), encoding="utf-8")
    outcome = edgechess("deploy", str(path), "--built", str(built.root), *cloud_words())
    assert outcome.code == 2
    assert f"{path}:8: io.edgechess.GameManager is not in {built.root}: run edgechess build GameManager" in outcome.err


def test_regions_and_targets() -> None:
    check_region(REGION)
    check_target(f"arn:aws-cn:iot:{REGION}:123456789012:thinggroup/cores", REGION)
    with pytest.raises(CloudError):
        check_target(f"arn:aws:s3:{REGION}:123456789012:thing/x", REGION)


# -- without a cloud -----------------------------------------------------------------------------------------------


def test_our_runtime_is_given_recipes_and_artifacts(built: BuiltFolder, document: Path, edgechess: Edgechess) -> None:
    outcome = edgechess(
        "deploy", str(document), "--built", str(built.root), "--local", "--dry-run", "--root", "r", "--flavour", "lite"
    )
    assert outcome.code == 0
    assert "until Ctrl-C" in outcome.out.splitlines()[0]
    assert shlex.split(outcome.out, comments=True) == [
        "edgechess", "up", str(document), "--recipes", str(built.recipes), "--artifacts", str(built.artifacts),
        "--root", "r", "--flavour", "lite",
    ]  # fmt: skip


@pytest.mark.parametrize("layout", ["greengrass-cli", "ggl-cli"])
def test_the_layout_of_a_core_device(
    layout: str, built: BuiltFolder, document: Path, tmp_path: Path, edgechess: Edgechess
) -> None:
    out = tmp_path / "core"
    words = ["--local", "--layout", layout, "--out", str(out), "--built", str(built.root)]
    outcome = edgechess("deploy", str(document), *words)
    assert outcome.code == 0
    assert (out / "artifacts" / NAME / "1.1.0" / "BoardSensor-amd64.zip").read_bytes() == ZIP
    [recipe] = (out / "recipes").iterdir()
    command = shlex.split(io.StringIO(outcome.out).readlines()[-1])
    defaults = read_recipe(recipe).defaults
    assert defaults is not None
    if layout == "ggl-cli":
        assert recipe.name == f"{NAME}-1.1.0.json"
        assert defaults.data()["port"] == "/dev/ttyACM0"
        assert command[:3] == ["sudo", "ggl-cli", "deploy"]
        assert command[-2:] == ["--add-component", f"{NAME}=1.1.0"]
    else:
        assert recipe.name == f"{NAME}-1.1.0.yaml"
        assert defaults.data()["port"] == "auto"
        assert command[-6:-2] == ["--merge", f"{NAME}=1.1.0", "--merge", "aws.greengrass.ShadowManager=2.3.9"]
        assert json.loads(command[-1]) == {NAME: {"MERGE": {"port": "/dev/ttyACM0"}, "RESET": ["/link"]}}


def test_built_artifacts_of_two_platforms_stand_in_one_recipe(built: BuiltFolder) -> None:
    room = next(room for room in CATALOGUE if room.short == "BoardSensor")
    built.artifact_path(room, NAME, "1.1.0", "aarch64").write_bytes(ZIP + b"2")
    assert [one.architecture for one in built.built(room, NAME, "1.1.0")] == ["amd64", "aarch64"]
    assert built.built(room, NAME, "1.1.0")[0] != Built("amd64")
