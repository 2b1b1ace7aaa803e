"""Amazon Bedrock through boto3, which blocks: each call runs in a worker thread that nobody waits for once it is late.

boto3's own retries are off: how long to wait is the ladder's business, which knows the deadline.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import anyio.to_thread

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.ladder.patience import Busy
from edgechess_inference.ladder.voice import VoiceFailed

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 120.0  # no move waits longer; it frees the thread
NOT_READY_S = 10.0  # an imported model is being brought back into memory (reference: aws-sample-wire.md)
BUSY_CODES = (
    "ThrottlingException", "TooManyRequestsException", "ServiceUnavailableException", "ModelTimeoutException",
    "InternalServerException", "ServiceQuotaExceededException", "ModelErrorException",
)  # fmt: skip
CREDENTIAL_CODES = (
    "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "InvalidClientTokenId",
    "IncompleteSignature", "MissingAuthenticationTokenException",
)  # fmt: skip
LENGTH_KEYS = ("max_gen_len", "max_tokens")  # of the imported architectures: Llama's, and the others'

ARN = re.compile(r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]+):\d{12}:[a-z-]+/\S+\Z")


class BedrockRuntime:
    """One model in one region. Calls may overlap: boto3's clients are safe to share between threads."""

    def __init__(self, model: str, region: str | None) -> None:
        """Raises PlayerWordError: boto3 is missing, or no region is known."""
        try:
            import boto3
            import botocore.config
            import botocore.exceptions
        except ImportError as error:
            raise PlayerWordError("bedrock: boto3 is not installed; install edgechess-inference[bedrock]") from error
        self._errors: Any = botocore.exceptions
        self._model = model
        config = botocore.config.Config(
            connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"total_max_attempts": 1}
        )
        try:
            # a session of its own: the process's default one keeps the credentials that it found first
            self._client: Any = boto3.session.Session().client("bedrock-runtime", region_name=region, config=config)
        except self._errors.NoRegionError as error:
            raise PlayerWordError(
                f"bedrock:{model}: no region is known; add :region=eu-central-1, or set AWS_REGION"
            ) from error
        except self._errors.BotoCoreError as error:
            raise PlayerWordError(f"bedrock:{model}: {error}") from error
        self.region = str(self._client.meta.region_name)

    async def converse(self, system: str, user: str, settings: dict[str, Any]) -> str:
        """Foundation models: one API for all of them. `settings`: inferenceConfig. Raises Busy, VoiceFailed."""
        request: dict[str, Any] = {
            "modelId": self._model,
            "messages": [{"role": "user", "content": [{"text": user}]}],
            "inferenceConfig": settings,
        }
        if system:
            request["system"] = [{"text": system}]
        answer = await self._call("converse", request)
        try:
            return "".join(part.get("text", "") for part in answer["output"]["message"]["content"])
        except (KeyError, TypeError, AttributeError) as error:
            raise VoiceFailed("no-answer", f"{self._model} sent no message", again=True) from error

    async def invoke(self, prompt: str, *, max_tokens: int, temperature: float, top_p: float) -> str:
        """Imported models take plain prompts. Raises Busy, VoiceFailed."""
        length = dict.fromkeys(LENGTH_KEYS, max_tokens)  # what an architecture does not know is passed over
        body = {"prompt": prompt, "temperature": temperature, "top_p": top_p, **length}
        request = {"modelId": self._model, "body": json.dumps(body), "contentType": "application/json"}
        answer = await self._call("invoke_model", request)
        try:
            return _generated(json.loads(answer["read_body"]))
        except ValueError as error:
            raise VoiceFailed("no-answer", f"{self._model} sent no text", again=True) from error

    async def close(self) -> None:
        await anyio.to_thread.run_sync(self._client.close)

    async def _call(self, operation: Literal["converse", "invoke_model"], request: dict[str, Any]) -> dict[str, Any]:
        return await anyio.to_thread.run_sync(self._blocking, operation, request, abandon_on_cancel=True)

    def _blocking(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        errors = self._errors
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**request)
            if "body" in answer:
                answer["read_body"] = answer["body"].read()
            return answer
        except errors.ClientError as error:
            raise self._explained(error.response.get("Error", {})) from error
        except (errors.NoCredentialsError, errors.PartialCredentialsError, errors.CredentialRetrievalError) as error:
            raise VoiceFailed(
                "refused", "there are no AWS credentials: set AWS_PROFILE, or run `aws configure`", again=False
            ) from error
        except errors.EndpointConnectionError as error:
            raise VoiceFailed(
                "unavailable", f"no Bedrock answers in region {self.region}: is there a network, and is the region right?",
                again=False,
            ) from error  # fmt: skip
        except (errors.ConnectTimeoutError, errors.ReadTimeoutError, errors.ConnectionClosedError) as error:
            raise Busy(f"Bedrock in {self.region} broke off: {error}") from error
        except errors.BotoCoreError as error:
            raise VoiceFailed("refused", f"{self._model}: {error}", again=False) from error

    def _explained(self, error: dict[str, Any]) -> Exception:
        code, text = str(error.get("Code", "")), str(error.get("Message", ""))
        if code == "ModelNotReadyException":
            return Busy(f"{self._model} is not ready yet: {text}", NOT_READY_S)
        if code in BUSY_CODES:
            return Busy(f"Bedrock in {self.region} is busy ({code}): {text}")
        if code in CREDENTIAL_CODES:
            why = f"AWS refuses the credentials ({code}): {text} Renew them, or set AWS_PROFILE to others"
        elif code == "AccessDeniedException":
            why = f"no access to {self._model} in {self.region}: {text} Ask for the model's access there, and allow bedrock:InvokeModel"
        elif code == "ResourceNotFoundException" or "model identifier" in text.lower():
            why = f"Bedrock in {self.region} has no model {self._model}: {text} Check its id and the region"
        else:
            why = f"{self._model}: {code}: {text}"
        return VoiceFailed("refused", why, again=False)


def _generated(answer: Any) -> str:
    """The text, wherever the imported architecture puts it. Raises ValueError."""
    if isinstance(answer, dict):
        for key in ("generation", "completion", "text"):
            if isinstance(answer.get(key), str):
                return str(answer[key])
        for key in ("outputs", "choices"):
            items = answer.get(key)
            if isinstance(items, list) and items and isinstance(items[0], dict):
                first = items[0]
                text = first.get("text", (first.get("message") or {}).get("content"))
                if isinstance(text, str):
                    return text
    raise ValueError("no text in the answer")
