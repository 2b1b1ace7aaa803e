"""`bedrock:` and `imported:` over boto3's real wire, against a server that stands for Bedrock's runtime."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import anyio
import chess
import pytest

from edgechess_inference import bedrock_adapter
from edgechess_inference.bedrock_adapter import BedrockRuntime
from edgechess_inference.bedrock_player import FoundationVoice, ImportedVoice, parse_foundation, parse_imported
from edgechess_inference.errors import PlayerWordError
from edgechess_inference.ladder.voice import Rung, Voice, VoiceFailed
from edgechess_inference.registry import check_word

boto3 = pytest.importorskip("boto3")
pytestmark = [pytest.mark.anyio, pytest.mark.slow]  # a client of boto3 takes a fifth of a second to make

ARN = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc123"
MODEL = "amazon.nova-pro-v1:0"


class Runtime:
    """Answers in turn; the last one again and again. `(status, error code or None, body)`."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str | None, dict[str, Any]]] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                runtime.requests.append((unquote(self.path), json.loads(body)))
                status, code, answer = runtime.answers.pop(0) if len(runtime.answers) > 1 else runtime.answers[0]
                payload = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if code:
                    self.send_header("x-amzn-ErrorType", code)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def says(self, *answers: tuple[int, str | None, dict[str, Any]]) -> None:
        self.answers = list(answers)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    found = Runtime()
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", found.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    yield found
    found.close()


def message(text: str) -> tuple[int, None, dict[str, Any]]:
    answer = {
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1},
    }  # fmt: skip
    return 200, None, answer


def refused(code: str, text: str, status: int = 400) -> tuple[int, str, dict[str, Any]]:
    return status, code, {"message": text}


def foundation() -> FoundationVoice:
    model, region, options = parse_foundation(f"{MODEL}:region=us-east-1,temperature=0.3")
    return FoundationVoice(BedrockRuntime(model, region), model, options)


def imported() -> ImportedVoice:
    arn, region, options = parse_imported(ARN)
    return ImportedVoice(BedrockRuntime(arn, region), arn, options)


async def said(voice: Voice, time_s: float = 5.0) -> str:
    try:
        return (await voice.say(Rung(chess.Board(), 1, (), 3, anyio.current_time() + time_s))).text
    finally:
        await voice.close()


async def test_a_foundation_model_is_asked_by_converse(runtime: Runtime) -> None:
    runtime.says(message("<move>e4</move>"))
    assert await said(foundation()) == "<move>e4</move>"
    path, body = runtime.requests[0]
    assert path == f"/model/{MODEL}/converse"
    assert body["inferenceConfig"] == {"maxTokens": 200, "temperature": 0.3}
    assert chess.STARTING_FEN in body["messages"][0]["content"][0]["text"]
    assert "<move>" in body["system"][0]["text"]


@pytest.mark.parametrize(
    "answer",
    [
        {"generation": " <move>e4</move>"},
        {"outputs": [{"text": " <move>e4</move>"}]},
        {"choices": [{"text": " <move>e4</move>"}]},
        {"choices": [{"message": {"content": " <move>e4</move>"}}]},
    ],
)
async def test_an_imported_model_is_asked_by_invoke_at_the_samples_temperature(
    runtime: Runtime, answer: dict[str, Any]
) -> None:
    runtime.says((200, None, answer))
    assert await said(imported()) == " <move>e4</move>"
    path, body = runtime.requests[0]
    assert path == f"/model/{ARN}/invoke"
    assert (body["temperature"], body["top_p"]) == (0.5, 0.9)
    assert chess.STARTING_FEN in body["prompt"]


async def test_throttling_and_a_model_that_is_not_ready_are_waited_for(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bedrock_adapter, "NOT_READY_S", 0.01)
    runtime.says(
        refused("ModelNotReadyException", "wait", 429), refused("ThrottlingException", "slow down", 429), message("e4")
    )
    assert await said(foundation()) == "e4"
    assert len(runtime.requests) == 3


async def test_a_model_that_is_not_ready_in_time_is_not_waited_for(runtime: Runtime) -> None:
    runtime.says(refused("ModelNotReadyException", "wait", 429))
    with pytest.raises(VoiceFailed, match="not ready yet") as found:
        await said(foundation(), 5.0)
    assert found.value.failure == "unavailable"
    assert len(runtime.requests) == 1


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        ("AccessDeniedException", "no", f"no access to {MODEL} in us-east-1: no Ask for the model's access"),
        (
            "ResourceNotFoundException",
            "gone",
            f"Bedrock in us-east-1 has no model {MODEL}: gone Check its id and the region",
        ),
        ("ValidationException", "The provided model identifier is invalid.", f"has no model {MODEL}"),
        ("ValidationException", "too long", f"{MODEL}: ValidationException: too long"),
        ("UnrecognizedClientException", "bad token.", "AWS refuses the credentials .UnrecognizedClientException."),
        (
            "ExpiredTokenException",
            "expired.",
            "AWS refuses the credentials .ExpiredTokenException.: expired. Renew them",
        ),
    ],
)
async def test_refusals_name_cause_and_cure(runtime: Runtime, code: str, text: str, told: str) -> None:
    runtime.says(refused(code, text))
    with pytest.raises(VoiceFailed, match=told) as found:
        await said(foundation())
    assert (found.value.failure, found.value.again) == ("refused", False)


async def test_no_credentials_and_no_region(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(VoiceFailed, match="there are no AWS credentials: set AWS_PROFILE"):
        await said(foundation())
    with pytest.raises(PlayerWordError, match="no region is known; add :region=eu-central-1, or set AWS_REGION"):
        BedrockRuntime(MODEL, None)


async def test_a_region_that_does_not_answer(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:1")
    with pytest.raises(VoiceFailed, match="no Bedrock answers in region us-east-1"):
        await said(foundation())


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("bedrock:", "a model id is missing"),
        ("bedrock:m:planet=mars", "'planet' is unknown"),
        ("imported:abc123", "expected the ARN"),
        ("imported:arn:aws:s3:::bucket", "expected the ARN"),
    ],
)
def test_words_that_cannot_be(word: str, text: str) -> None:
    with pytest.raises(PlayerWordError, match=text):
        check_word(word)
