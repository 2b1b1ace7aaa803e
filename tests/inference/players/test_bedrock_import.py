"""The import of a fine-tuned model: S3 in memory, and a stub of Bedrock that checks every call against the service's model."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgechess_inference.bedrock_import_adapter import (
    ImportFailed,
    ImportRefused,
    Job,
    ModelImport,
    Upload,
    plan_upload,
)

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")
stub = pytest.importorskip("botocore.stub")
pytestmark = pytest.mark.slow  # a client of boto3 takes a fifth of a second to make

REGION, BUCKET = "us-east-1", "my-models"
ROLE = "arn:aws:iam::123456789012:role/import"
JOB = "arn:aws:bedrock:us-east-1:123456789012:model-import-job/abcdefghijkl"
MODEL = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl"
WHEN = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}", "optimizer.pt": b"no",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def upload(folder: Path) -> Upload:
    return plan_upload(folder, f"s3://{BUCKET}/chess", "tal")


@pytest.fixture(scope="module")
def bedrock() -> Any:
    """Costs most of a second, and keeps nothing from test to test."""
    return boto3.client("bedrock", region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing")


class Account:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, bedrock: Any) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        self.s3 = boto3.client("s3", region_name=REGION)
        self.s3.create_bucket(Bucket=BUCKET)
        self.bedrock = bedrock
        self.stub = stub.Stubber(self.bedrock)
        self.stub.activate()
        self.lines: list[str] = []
        self.service = ModelImport(self.client, self.lines.append)

    def client(self, service: str) -> Any:
        return {"s3": self.s3, "bedrock": self.bedrock}[service]

    def expects(self, upload: Upload, job: str) -> dict[str, Any]:
        return {
            "jobName": job,
            "importedModelName": "tal",
            "roleArn": ROLE,
            "modelDataSource": {"s3DataSource": {"s3Uri": f"s3://{BUCKET}/chess/tal-{upload.digest[:12]}/"}},
        }

    def conflict(self) -> None:
        self.stub.add_client_error("create_model_import_job", "ConflictException", "that name is taken")

    def tells(self, job: str, status: str, **more: str) -> None:
        answer = {"jobArn": JOB, "jobName": "tal", "status": status, **more}
        self.stub.add_response("get_model_import_job", answer, {"jobIdentifier": job})


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, bedrock: Any) -> Iterator[Account]:
    with moto.mock_aws():
        made = Account(monkeypatch, bedrock)
        yield made
        made.stub.deactivate()


def test_a_first_import_uploads_begins_waits_and_gives_the_arn(account: Account, upload: Upload) -> None:
    name = f"tal-{upload.digest[:12]}"
    account.stub.add_response("create_model_import_job", {"jobArn": JOB}, account.expects(upload, name))
    account.tells(JOB, "InProgress")
    account.tells(JOB, "Completed", importedModelArn=MODEL)
    told: list[tuple[int, int]] = []
    account.service.upload(upload, lambda sent, total: told.append((sent, total)))
    job = account.service.begin(upload, "tal", ROLE)
    seen: list[Job] = []

    async def wait() -> None:
        seen.extend([found async for found in account.service.statuses(job.arn, poll_s=0.0)])

    anyio.run(wait)
    account.stub.assert_no_pending_responses()
    assert seen[-1] == Job(JOB, "Completed", MODEL)
    assert told[-1] == (11, 11)
    keys = [item["Key"] for item in account.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == [f"chess/{name}/{file}" for file in ("config.json", "model.safetensors", "tokenizer.json")]


def test_what_is_there_is_not_sent_again(account: Account, upload: Upload) -> None:
    account.service.upload(upload)
    account.lines.clear()
    account.service.upload(upload)
    assert [line.split()[0] for line in account.lines] == ["s3.list_objects_v2"]


def test_other_content_lies_under_another_prefix(folder: Path, upload: Upload) -> None:
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")
    assert plan_upload(folder, f"s3://{BUCKET}/chess", "tal").prefix != upload.prefix


def test_the_job_that_was_begun_is_found_again(account: Account, upload: Upload) -> None:
    account.conflict()
    account.tells(f"tal-{upload.digest[:12]}", "Completed", importedModelArn=MODEL)
    assert account.service.begin(upload, "tal", ROLE).model == MODEL


def test_after_a_failed_job_another_one_is_begun(account: Account, upload: Upload) -> None:
    name = f"tal-{upload.digest[:12]}"
    account.conflict()
    account.tells(name, "Failed", failureMessage="no access to the bucket")
    account.stub.add_response("create_model_import_job", {"jobArn": JOB}, account.expects(upload, f"{name}-2"))
    assert account.service.begin(upload, "tal", ROLE).arn == JOB
    account.stub.assert_no_pending_responses()


def test_a_model_of_that_name_is_told_with_its_cure(account: Account, upload: Upload) -> None:
    account.conflict()
    account.stub.add_client_error("get_model_import_job", "ResourceNotFoundException", "no such job")
    with pytest.raises(ImportFailed, match="that name is taken: take another --name, or delete that model"):
        account.service.begin(upload, "tal", ROLE)


def test_a_failed_import_says_why(account: Account) -> None:
    account.tells(JOB, "Failed", failureMessage="unsupported architecture")

    async def wait() -> None:
        async for _ in account.service.statuses(JOB, poll_s=0.0):
            pass

    with pytest.raises(ImportFailed, match="unsupported architecture"):
        anyio.run(wait)


def test_models_are_listed_page_by_page_and_deleted(account: Account) -> None:
    order = {"sortBy": "CreationTime", "sortOrder": "Descending"}
    for name, token in (("one", "next"), ("two", None)):
        item = {"modelName": name, "modelArn": MODEL, "creationTime": WHEN, "modelArchitecture": "llama"}
        answer = {"modelSummaries": [item]} | ({"nextToken": token} if token else {})
        asked = order if token else order | {"nextToken": "next"}
        account.stub.add_response("list_imported_models", answer, asked)
    account.stub.add_response("delete_imported_model", {}, {"modelIdentifier": "one"})
    assert [(model.name, model.architecture) for model in account.service.models()] == [
        ("one", "llama"),
        ("two", "llama"),
    ]
    account.service.delete("one")
    account.stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("AccessDeniedException", "may not call delete_imported_model: words"),
        ("ServiceQuotaExceededException", "words Delete an imported model"),
        ("ThrottlingException", "delete_imported_model: ThrottlingException: words"),
    ],
)
def test_what_the_service_refuses(code: str, said: str, account: Account) -> None:
    account.stub.add_client_error("delete_imported_model", code, "words")
    with pytest.raises(ImportFailed, match=said):
        account.service.delete("one")


def test_a_dry_run_says_every_call_and_asks_nobody(upload: Upload) -> None:
    lines: list[str] = []
    service = ModelImport(None, lines.append)
    service.upload(upload)
    service.begin(upload, "tal", ROLE)
    names = [line.split(" ", 1)[0] for line in lines]
    assert names == ["s3.list_objects_v2", *["s3.upload_file"] * 3, "bedrock.create_model_import_job"]
    assert json.loads(lines[-1].split(" ", 1)[1])["roleArn"] == ROLE


@pytest.mark.parametrize(
    ("removed", "added", "said"),
    [
        ("config.json", "adapter_config.json", "is an adapter: merge it"),
        ("tokenizer.json", "x.json", "tokenizer.json or tokenizer.model"),
        ("model.safetensors", "model.bin", "safetensors"),
    ],
)
def test_a_folder_that_bedrock_would_refuse(removed: str, added: str, said: str, folder: Path) -> None:
    (folder / removed).rename(folder / added)
    with pytest.raises(ImportRefused, match=said):
        plan_upload(folder, f"s3://{BUCKET}", "tal")


@pytest.mark.parametrize(
    ("target", "name", "said"),
    [("s3://b", "tal", "no name of a bucket"), (f"s3://{BUCKET}", "tal__x", "single - and _"), (f"s3://{BUCKET}", "x" * 41, "40")],
)  # fmt: skip
def test_names_that_aws_would_refuse(target: str, name: str, said: str, folder: Path) -> None:
    with pytest.raises(ImportRefused, match=said):
        plan_upload(folder, target, name)


def test_a_role_that_is_none(upload: Upload) -> None:
    with pytest.raises(ImportRefused, match="ARN of an IAM role"):
        ModelImport(None).begin(upload, "tal", "admin")
