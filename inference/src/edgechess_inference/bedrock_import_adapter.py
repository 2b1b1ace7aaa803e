"""Custom Model Import: a fine-tuned model's files to S3, an import job from there, and the ARN that a player is named by.

Everything is idempotent: files lie under a prefix that names their content, and the job is named after it, so that the same
call sends nothing twice and finds the job that it began (Amazon Bedrock API reference: CreateModelImportJob, GetModelImportJob).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from edgechess_inference.errors import InferenceError
from edgechess_inference.weights.errors import SourceError
from edgechess_inference.weights.s3_store import split_s3

POLL_S = 30.0  # an import takes minutes to an hour
READ_BYTES = 1 << 22
WEIGHTS, CONFIG = "*.safetensors", "config.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model")
WANTED = (WEIGHTS, "*.json", "*.model", "*.txt", "*.jinja")  # Hugging Face's layout, which Bedrock reads
NAME = re.compile(
    r"(?=.{1,40}\Z)([0-9a-zA-Z][_-]?)+\Z"
)  # the service allows 63; the job's name adds a digest and a number
ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+\Z")
ATTEMPTS_MAX = 9  # jobs of the same content under one name that failed before
COMPLETED, FAILED = "Completed", "Failed"

Client = Callable[[str], Any]
"""The boto3 client of a service: "s3", "bedrock"."""


class ImportRefused(InferenceError):
    """What we do not even try: a name, a folder or a role that cannot do. The text says what is expected."""


class ImportFailed(InferenceError):
    """What the service, or the way to it, would not do. The text says what to do about it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """A folder as it will lie in S3: files by name, and a digest of them all."""

    folder: Path
    bucket: str
    prefix: str
    digest: str
    files: tuple[Path, ...]

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}/"

    def key(self, file: Path) -> str:
        return f"{self.prefix}/{file.name}"


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """An import job as the service tells of it. `model`: the imported model's ARN, once it is there."""

    arn: str
    status: str
    model: str | None = None
    failure: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Imported:
    """A model of the account that has been imported."""

    name: str
    arn: str
    architecture: str
    created: str


def plan_upload(folder: Path, target: str, name: str) -> Upload:
    """`target`: s3://BUCKET[/PREFIX]. Reads every file once. Raises ImportRefused for a folder that Bedrock would refuse."""
    if not NAME.match(name):
        raise ImportRefused(
            f"name {name!r}: letters and digits, with single - and _ between them, at most 40 characters"
        )
    if not folder.is_dir():
        raise ImportRefused(f"{folder} is no folder: expected a checkpoint in Hugging Face's layout")
    found = {path for pattern in WANTED for path in folder.glob(pattern) if path.is_file()}
    names = {path.name for path in found}
    if CONFIG not in names and "adapter_config.json" in names:
        raise ImportRefused(f"{folder} is an adapter: merge it into its model first (`edgechess train lora --merge`)")
    if CONFIG not in names or not any(path.match(WEIGHTS) for path in found) or not names & set(TOKENIZERS):
        raise ImportRefused(f"{folder}: expected config.json, *.safetensors, and {' or '.join(TOKENIZERS)}")
    try:
        bucket, prefix = split_s3(target)
    except SourceError as error:
        raise ImportRefused(str(error)) from error
    files = tuple(sorted(found))
    digest = _digest(files)
    return Upload(folder, bucket, "/".join(part for part in (prefix, f"{name}-{digest[:12]}") if part), digest, files)


def _digest(files: tuple[Path, ...]) -> str:
    whole = hashlib.sha256()
    for file in files:
        of_file = hashlib.sha256()
        with file.open("rb") as stored:
            while block := stored.read(READ_BYTES):
                of_file.update(block)
        whole.update(f"{file.name} {of_file.hexdigest()}\n".encode())
    return whole.hexdigest()


def _onward(progress: Callable[[int, int], None], before: int, total: int, sent: int) -> None:
    progress(before + sent, total)


class ModelImport:
    """The calls. `say` hears each of them as one line; without a client nothing else happens."""

    def __init__(self, client: Client | None, say: Callable[[str], None] = lambda line: None) -> None:
        self._client = client
        self._say = say

    def upload(self, upload: Upload, progress: Callable[[int, int], None] = lambda sent, total: None) -> None:
        """What is there in full length already is not sent again: the prefix names the content. Raises ImportFailed."""
        total, done = sum(file.stat().st_size for file in upload.files), 0
        there = self._listed(upload)
        for file in upload.files:
            size = file.stat().st_size
            if there.get(upload.key(file)) != size:
                self._send(file, upload, partial(_onward, progress, done, total))
            done += size
            progress(done, total)

    def _listed(self, upload: Upload) -> dict[str, int]:
        request = {"Bucket": upload.bucket, "Prefix": f"{upload.prefix}/"}
        answer = self._call("s3", "list_objects_v2", request)
        return {item["Key"]: item["Size"] for item in answer.get("Contents", ())}

    def _send(self, file: Path, upload: Upload, progress: Callable[[int], None]) -> None:
        sent = 0

        def more(count: int) -> None:
            nonlocal sent
            sent += count
            progress(sent)

        words = {"Filename": str(file), "Bucket": upload.bucket, "Key": upload.key(file)}
        self._call("s3", "upload_file", words, Callback=more)

    def begin(self, upload: Upload, name: str, role: str) -> Job:
        """The job that imports `upload` as `name`: a new one, or the one that did or does. Raises ImportFailed, ImportRefused."""
        if not ROLE.match(role):
            raise ImportRefused(
                f"role {role!r}: expected the ARN of an IAM role that Bedrock may take, arn:aws:iam::…:role/…"
            )
        for attempt in range(1, ATTEMPTS_MAX + 1):
            job_name = f"{name}-{upload.digest[:12]}" + (f"-{attempt}" if attempt > 1 else "")
            request = {
                "jobName": job_name,
                "importedModelName": name,
                "roleArn": role,
                "modelDataSource": {"s3DataSource": {"s3Uri": upload.uri}},
            }
            try:
                answer = self._call("bedrock", "create_model_import_job", request)
                return Job(str(answer.get("jobArn", job_name)), "InProgress")
            except _Taken as error:
                job = self._named(job_name, str(error))
                if job.status != FAILED:
                    return job
        raise ImportFailed(
            f"{ATTEMPTS_MAX} imports of these files as {name} have failed: {job.failure or 'no reason given'}"
        )

    def _named(self, job_name: str, why: str) -> Job:
        """The job of this name. Raises ImportFailed: it was the model's name that is taken."""
        try:
            return self.job(job_name)
        except _Missing:
            raise ImportFailed(f"{why}: take another --name, or delete that model") from None

    def job(self, identifier: str) -> Job:
        """By ARN or name. Raises ImportFailed."""
        answer = self._call("bedrock", "get_model_import_job", {"jobIdentifier": identifier})
        if self._client is None:
            return Job(identifier, COMPLETED)
        return Job(
            str(answer["jobArn"]), str(answer["status"]), answer.get("importedModelArn"), answer.get("failureMessage")
        )

    async def statuses(self, identifier: str, poll_s: float = POLL_S) -> AsyncIterator[Job]:
        """The job, now and every `poll_s`, to its end. Raises ImportFailed where it failed."""
        while True:
            job = self.job(identifier)
            yield job
            if job.status == FAILED:
                raise ImportFailed(f"the import failed: {job.failure or 'no reason given'}")
            if job.status == COMPLETED:
                return
            await anyio.sleep(poll_s)

    def models(self) -> list[Imported]:
        """All of the account in this region, newest first. Raises ImportFailed."""
        found: list[Imported] = []
        request: dict[str, Any] = {"sortBy": "CreationTime", "sortOrder": "Descending"}
        while True:
            answer = self._call("bedrock", "list_imported_models", request)
            found += [
                Imported(item["modelName"], item["modelArn"], item.get("modelArchitecture", "?"), f"{item['creationTime']:%Y-%m-%d %H:%M}")
                for item in answer.get("modelSummaries", ())
            ]  # fmt: skip
            if not answer.get("nextToken"):
                return found
            request["nextToken"] = answer["nextToken"]

    def delete(self, identifier: str) -> None:
        """By ARN or name; the files in S3 stay. Raises ImportFailed."""
        self._call("bedrock", "delete_imported_model", {"modelIdentifier": identifier})

    def _call(self, service: str, operation: str, request: Mapping[str, Any], **unsaid: Any) -> Mapping[str, Any]:
        self._say(f"{service}.{operation} {json.dumps(request)}")
        if self._client is None:
            return {}
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

        try:
            answer: Mapping[str, Any] | None = getattr(self._client(service), operation)(**request, **unsaid)
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise ImportFailed("there are no AWS credentials: set AWS_PROFILE, or run `aws configure`") from error
        except ClientError as error:
            raise _told(operation, error.response.get("Error", {})) from error
        except (BotoCoreError, S3UploadFailedError, OSError) as error:
            raise ImportFailed(f"{service}.{operation}: {error}") from error
        return answer or {}


class _Taken(ImportFailed):
    """A name is in use."""


class _Missing(ImportFailed):
    """There is no such thing."""


def _told(operation: str, error: Mapping[str, Any]) -> ImportFailed:
    code, text = str(error.get("Code", "")), str(error.get("Message", ""))
    if code == "ConflictException" and operation == "create_model_import_job":
        return _Taken(text)
    if code in ("ResourceNotFoundException", "NoSuchBucket", "404"):
        return _Missing(f"{operation}: {text}")
    if code in ("AccessDeniedException", "AccessDenied", "403"):
        return ImportFailed(f"these credentials may not call {operation}: {text}")
    if code == "ServiceQuotaExceededException":
        return ImportFailed(
            f"{text} Delete an imported model (`edgechess model import-bedrock delete`), or ask for more"
        )
    return ImportFailed(f"{operation}: {code}: {text}")
