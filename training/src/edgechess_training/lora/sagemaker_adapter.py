"""The same records as a fine-tuning job of SageMaker JumpStart: two uploads and one CreateTrainingJob.

What a model's training needs (image, weights, script, hyperparameters) stands in its document on SageMaker's public hub; the
fields are those that SageMaker's own Python SDK reads. JumpStart takes every .jsonl file of a channel for training data,
so train and validation lie under prefixes of their own.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgechess_training.dataset import folder as f
from edgechess_training.errors import TrainingError
from edgechess_training.lora.examples import Examples
from edgechess_training.lora.recipe import LoraRecipe

HUB = "SageMakerPublicHub"
SCRIPT = "transfer_learning.py"  # the entry point of every JumpStart training script
ALGORITHM = "algorithm"  # the scope of a hyperparameter that the training script reads
VOLUME_GB = 256
RUNTIME_MAX_S = 24 * 3600
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}\Z")
ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+\Z")
FOLDER = re.compile(r"s3://(?P<bucket>[a-z0-9.\-]{3,63})(/(?P<prefix>.*?))?/*\Z")

Client = Callable[[str], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class SageMakerOptions:
    """`model`: a JumpStart model id. `to`: s3://BUCKET[/PREFIX]. `instance` None: the model's default."""

    model: str
    role: str
    to: str
    name: str
    instance: str | None = None
    accept_eula: bool = False

    def __post_init__(self) -> None:
        """Raises TrainingError."""
        if not ROLE.match(self.role):
            raise TrainingError(f"--role {self.role!r}: expected arn:aws:iam::ACCOUNT:role/NAME")
        if not NAME.match(self.name):
            raise TrainingError(f"--name {self.name!r}: letters, digits and single -, at most 63")
        if not FOLDER.match(self.to):
            raise TrainingError(f"--to {self.to!r}: expected s3://BUCKET/PREFIX")

    @property
    def place(self) -> tuple[str, str]:
        """Bucket, and the prefix of this job."""
        match = FOLDER.match(self.to)
        assert match is not None  # __post_init__ has seen it
        return match["bucket"], "/".join(part for part in (match["prefix"], self.name) if part)


def submit(
    data: Path, recipe: LoraRecipe, options: SageMakerOptions, client: Client | None, say: Callable[[str], None]
) -> str | None:
    """The training job's ARN; `say` hears every call. Without a client nothing is asked of anybody: None.

    Raises TrainingError.
    """
    Examples(data / f.TRAIN_RECORDS).close()
    call = _Calls(client, say)
    bucket, prefix = options.place
    for channel, records in (("train", f.TRAIN_RECORDS), ("validation", f.EVALUATION_RECORDS)):
        for name in (records, f.TEMPLATE_FILE):
            if (data / name).is_file():
                words = {"Filename": str(data / name), "Bucket": bucket, "Key": f"{prefix}/{channel}/{name}"}
                call("s3", "upload_file", words)
    asked = {"HubName": HUB, "HubContentType": "Model", "HubContentName": options.model}
    answer = call("sagemaker", "describe_hub_content", asked)
    request = job_request(_document(answer, client is None), recipe, options, (data / f.EVALUATION_RECORDS).is_file())
    arn = call("sagemaker", "create_training_job", request).get("TrainingJobArn")
    return None if arn is None else str(arn)


def job_request(
    document: Mapping[str, Any], recipe: LoraRecipe, options: SageMakerOptions, validation: bool
) -> dict[str, Any]:
    """CreateTrainingJob's parameters from a hub document. Raises TrainingError: JumpStart does not train this model."""
    missing = [key for key in ("TrainingEcrUri", "TrainingArtifactUri", "TrainingScriptUri") if not document.get(key)]
    if missing:
        raise TrainingError(
            f"{options.model}: JumpStart does not fine-tune it (its document has no {', '.join(missing)})"
        )
    bucket, prefix = options.place
    weights: dict[str, Any] = {"S3DataType": "S3Prefix", "S3Uri": document["TrainingArtifactUri"]}
    if options.accept_eula:
        weights["ModelAccessConfig"] = {"AcceptEula": True}
    channels = [
        _channel("training", f"s3://{bucket}/{prefix}/train/"),
        {**_channel("model", ""), "DataSource": {"S3DataSource": weights}},
    ]
    if validation:
        channels.append(_channel("validation", f"s3://{bucket}/{prefix}/validation/"))
    return {
        "TrainingJobName": options.name,
        "RoleArn": options.role,
        "AlgorithmSpecification": {"TrainingImage": document["TrainingEcrUri"], "TrainingInputMode": "File"},
        "HyperParameters": hyperparameters(document, recipe),
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/{prefix}/output"},
        "ResourceConfig": {
            "InstanceType": options.instance or document.get("DefaultTrainingInstanceType", "ml.g5.12xlarge"),
            "InstanceCount": 1,
            "VolumeSizeInGB": int(document.get("TrainingVolumeSize") or VOLUME_GB),
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": int(document.get("MaxRuntimeInSeconds") or RUNTIME_MAX_S)},
        "EnableNetworkIsolation": bool(document.get("TrainingEnableNetworkIsolation", False)),
    }


def hyperparameters(document: Mapping[str, Any], recipe: LoraRecipe) -> dict[str, str]:
    """The model's defaults, and of ours what the model knows; the service takes text only.

    A setting without a default is the model's own business; one whose scope is the container's is none of the training's.
    """
    listed = [item for item in document.get("Hyperparameters", ()) if item.get("Scope", ALGORITHM) == ALGORITHM]
    known = {str(item["Name"]): item.get("Default") for item in listed}
    ours = {
        "instruction_tuned": "True",
        "chat_dataset": "False",
        "epoch": f"{max(1, round(recipe.epochs))}",
        "learning_rate": f"{recipe.rate:g}",
        "max_input_length": str(recipe.length),
        "per_device_train_batch_size": str(recipe.at_once),
        "lora_r": str(recipe.rank),
        "lora_alpha": str(recipe.alpha),
        "lora_dropout": f"{recipe.dropout:g}",
        "seed": str(recipe.seed),
    }
    defaults = {name: str(value) for name, value in known.items() if value is not None}
    return (
        defaults
        | {name: value for name, value in ours.items() if name in known or not known}
        | {
            "sagemaker_program": SCRIPT,
            "sagemaker_submit_directory": str(document["TrainingScriptUri"]),
        }
    )


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _document(answer: Mapping[str, Any], only_printed: bool) -> dict[str, Any]:
    """Unasked, every field of it is a name in angle brackets."""
    if only_printed:
        fields = ("TrainingEcrUri", "TrainingArtifactUri", "TrainingScriptUri", "DefaultTrainingInstanceType")
        return {field: f"<{field}>" for field in fields}
    found: dict[str, Any] = json.loads(answer["HubContentDocument"])
    return found


class _Calls:
    def __init__(self, client: Client | None, say: Callable[[str], None]) -> None:
        self._client, self._say = client, say

    def __call__(self, service: str, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises TrainingError."""
        self._say(f"{service}.{operation} {json.dumps(request)}")
        if self._client is None:
            return {}
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] | None = getattr(self._client(service), operation)(**request)
        except ClientError as error:
            told = error.response.get("Error", {})
            raise TrainingError(f"{operation}: {told.get('Code')}: {told.get('Message')}") from error
        except (BotoCoreError, S3UploadFailedError, OSError) as error:
            raise TrainingError(f"{service}.{operation}: {error}") from error
        return answer or {}
