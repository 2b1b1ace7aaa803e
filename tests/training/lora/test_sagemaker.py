"""A fine-tuning job of JumpStart, against stubs that check every call with the services' own models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgechess_training.errors import TrainingError
from edgechess_training.lora.recipe import LoraRecipe
from edgechess_training.lora.sagemaker_adapter import SageMakerOptions, job_request, submit

ROLE = "arn:aws:iam::123456789012:role/tuning"
OPTIONS = SageMakerOptions("meta-textgeneration-llama-3-8b", ROLE, "s3://my-data/chess", "tal", accept_eula=True)
DOCUMENT = {
    "TrainingEcrUri": "763104351884.dkr.ecr.us-east-1.amazonaws.com/training:2.0",
    "TrainingArtifactUri": "s3://jumpstart/llama/",
    "TrainingScriptUri": "s3://jumpstart/script/sourcedir.tar.gz",
    "DefaultTrainingInstanceType": "ml.g5.12xlarge",
    "Hyperparameters": [
        # the shape of sagemaker-python-sdk's JumpStartHyperparameter, read from a hub's document
        {"Name": "epoch", "Type": "int", "Default": 1, "Min": 1, "Max": 1000, "Scope": "algorithm"},
        {"Name": "instruction_tuned", "Type": "text", "Default": "False", "Scope": "algorithm"},
        {"Name": "int8_quantization", "Type": "text", "Default": "False", "Scope": "algorithm"},
        {"Name": "lora_r", "Type": "int", "Scope": "algorithm"},
        {"Name": "max_steps", "Type": "int", "Scope": "algorithm"},
        {"Name": "sagemaker_container_log_level", "Type": "text", "Default": "20", "Scope": "container"},
    ],
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    line = json.dumps({"move": "e4", "fen": "x", "nxt_color": "WHITE"}) + "\n"
    for name in ("train.jsonl", "evaluation.jsonl"):
        (tmp_path / name).write_text(line)
    (tmp_path / "template.json").write_text(json.dumps({"prompt": "{fen}", "completion": "{move}"}))
    return tmp_path


def test_a_dry_run_says_every_call_and_asks_nobody(data: Path) -> None:
    lines: list[str] = []
    assert submit(data, LoraRecipe(), OPTIONS, None, lines.append) is None
    calls = [(name, json.loads(text)) for name, text in (line.split(" ", 1) for line in lines)]
    assert [name for name, _ in calls] == [
        *["s3.upload_file"] * 4, "sagemaker.describe_hub_content", "sagemaker.create_training_job",
    ]  # fmt: skip
    assert [call["Key"] for _, call in calls[:4]] == [
        "chess/tal/train/train.jsonl", "chess/tal/train/template.json",
        "chess/tal/validation/evaluation.jsonl", "chess/tal/validation/template.json",
    ]  # fmt: skip
    assert calls[-1][1]["AlgorithmSpecification"]["TrainingImage"] == "<TrainingEcrUri>"


def test_the_model_s_own_settings_are_kept_and_ours_put_where_it_knows_them() -> None:
    request = job_request(DOCUMENT, LoraRecipe(epochs=3), OPTIONS, validation=False)
    assert request["HyperParameters"] == {
        "epoch": "3",
        "instruction_tuned": "True",
        "int8_quantization": "False",
        "lora_r": "16",
        "sagemaker_program": "transfer_learning.py",
        "sagemaker_submit_directory": "s3://jumpstart/script/sourcedir.tar.gz",
    }
    channels = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"] for channel in request["InputDataConfig"]}
    assert channels["training"]["S3Uri"] == "s3://my-data/chess/tal/train/"
    assert channels["model"]["ModelAccessConfig"] == {"AcceptEula": True}
    assert set(channels) == {"training", "model"}


def test_the_request_is_one_that_the_service_s_model_takes() -> None:
    session = pytest.importorskip("botocore.session").get_session()
    validate = pytest.importorskip("botocore.validate").ParamValidator()
    operation = session.get_service_model("sagemaker").operation_model("CreateTrainingJob")
    request = job_request(DOCUMENT, LoraRecipe(), OPTIONS, validation=True)
    assert validate.validate(request, operation.input_shape).generate_report() == ""


def test_the_job_is_submitted_with_what_the_hub_says(data: Path) -> None:
    boto3, stub = pytest.importorskip("boto3"), pytest.importorskip("botocore.stub")
    words = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
    s3, sagemaker = boto3.client("s3", **words), boto3.client("sagemaker", **words)
    answer = {
        "HubContentName": "llama", "HubContentArn": "arn:aws:sagemaker:us-east-1:aws:hub-content/x", "HubContentVersion": "1.0.0",
        "HubContentType": "Model", "DocumentSchemaVersion": "2.0.0", "HubName": "SageMakerPublicHub",
        "HubArn": "arn:aws:sagemaker:us-east-1:aws:hub/SageMakerPublicHub", "HubContentDocument": json.dumps(DOCUMENT),
        "HubContentStatus": "Available", "CreationTime": 0,
    }  # fmt: skip
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/tal"
    clients: dict[str, Any] = {"s3": s3, "sagemaker": sagemaker}
    with stub.Stubber(s3) as uploads, stub.Stubber(sagemaker) as calls:
        for _ in range(4):
            uploads.add_response("put_object", {})
        calls.add_response("describe_hub_content", answer)
        calls.add_response(
            "create_training_job", {"TrainingJobArn": arn}, job_request(DOCUMENT, LoraRecipe(), OPTIONS, True)
        )
        assert submit(data, LoraRecipe(), OPTIONS, clients.__getitem__, lambda line: None) == arn
        calls.add_client_error("describe_hub_content", "ResourceNotFound", "no such model")
        for _ in range(4):
            uploads.add_response("put_object", {})
        with pytest.raises(TrainingError, match="describe_hub_content: ResourceNotFound: no such model"):
            submit(data, LoraRecipe(), OPTIONS, clients.__getitem__, lambda line: None)


def test_a_model_that_jumpstart_does_not_train() -> None:
    with pytest.raises(TrainingError, match=r"does not fine-tune it .*TrainingScriptUri"):
        job_request({**DOCUMENT, "TrainingScriptUri": None}, LoraRecipe(), OPTIONS, validation=False)


@pytest.mark.parametrize(
    ("role", "to", "name", "said"),
    [("me", "s3://b-u-c", "n", "--role"), (ROLE, "http://x", "n", "--to"), (ROLE, "s3://b-u-c", "n_n", "--name")],
)
def test_words_that_sagemaker_would_refuse(role: str, to: str, name: str, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        SageMakerOptions("model", role, to, name)
