"""`openai:` against scripted servers: what is sent, what is understood, what each failure says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import anyio
import chess
import httpx
import pytest

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.ladder.options import LadderOptions
from edgechess_inference.ladder.voice import Rung, Said, VoiceFailed
from edgechess_inference.openai_player import ChatVoice, parse_word, read_key
from edgechess_inference.player import Question
from edgechess_inference.registry import check_word, seated

pytestmark = pytest.mark.anyio

BASE = "http://127.0.0.1:8000/v1"


def answered(content: Any) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"role": "assistant", "content": content}}]})


class Server:
    def __init__(self, *responses: httpx.Response | Exception) -> None:
        self.responses = list(responses)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        response = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(response, Exception):
            raise response
        return response

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.requests[0].content)
        return found


async def say(server: Callable[[httpx.Request], httpx.Response], *, key: str | None = None, time_s: float = 5.0, **options: Any) -> Said:  # fmt: skip
    voice = ChatVoice(BASE, "qwen", LadderOptions(**options), key, httpx.MockTransport(server))
    try:
        return await voice.say(Rung(chess.Board(), 1, (), 3, anyio.current_time() + time_s, seed=7))
    finally:
        await voice.close()


async def failure(server: Callable[[httpx.Request], httpx.Response], **more: Any) -> VoiceFailed:
    with pytest.raises(VoiceFailed) as found:
        await say(server, **more)
    return found.value


async def test_the_prompt_goes_out_and_the_answer_comes_back() -> None:
    server = Server(answered("<move>e4</move>"))
    assert (await say(server, key="s3cret", temperature=0.5, top_p=0.9, max_tokens=50)).text == "<move>e4</move>"
    request = server.requests[0]
    assert str(request.url) == f"{BASE}/chat/completions"
    assert request.headers["Authorization"] == "Bearer s3cret"
    body = server.body
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (
        "qwen", 0.5, 0.9, 50, 7,
    )  # fmt: skip
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert chess.STARTING_FEN in body["messages"][1]["content"]


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (answered([{"type": "text", "text": "e"}, {"type": "text", "text": "4"}]), "e4"),
        (httpx.Response(200, json={"choices": [{"text": "e4"}]}), "e4"),
        (answered(None), ""),
    ],
)
async def test_servers_put_the_text_in_several_places(response: httpx.Response, text: str) -> None:
    assert (await say(Server(response))).text == text


async def test_constrained_asks_for_one_of_the_legal_moves_and_says_whether_it_was_so() -> None:
    server = Server(answered('{"move": "Nf3"}'))
    assert (await say(server, constrained=True)).constrained
    schema = server.body["response_format"]["json_schema"]["schema"]
    assert len(schema["properties"]["move"]["enum"]) == 20
    assert not (await say(Server(answered("Nf3")), constrained=True)).constrained
    assert not (await say(Server(answered('{"move": "Ke9"}')), constrained=True)).constrained


@pytest.mark.parametrize(
    ("response", "kind", "text"),
    [
        (httpx.ConnectError("refused"), "unavailable", "no server answers at http://127.0.0.1:8000/v1 .*is it running"),
        (httpx.Response(401, json={"error": "no"}), "refused", "refuses the key .401.: set EDGECHESS_OPENAI_KEY"),
        (httpx.Response(400, json={"error": {"message": "context\n too long"}}), "refused", "400: context too long"),
        (httpx.Response(200, text="<html>hello"), "no-answer", "no chat completion"),
        (httpx.Response(200, json={"choices": []}), "no-answer", "no chat completion"),
        (httpx.Response(200, content=b"x" * 2_000_000), "refused", "longer than"),
        (httpx.Response(500, text="boom"), "unavailable", "busy .500.: boom"),
    ],
)
async def test_failures_name_cause_and_cure(response: Any, kind: str, text: str) -> None:
    found = await failure(Server(response), time_s=0.01)
    assert found.failure == kind
    assert re.search(text, str(found)), str(found)


async def test_a_404_says_which_models_there_are() -> None:
    def server(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "llama"}, {"id": "gemma"}]})
        return httpx.Response(404, json={"error": {"message": "model not found"}})

    assert str(await failure(server)) == f"{BASE} has no model 'qwen'; it has llama, gemma"
    assert "is that the base of its API (usually …/v1)" in str(await failure(Server(httpx.Response(404, text="gone"))))


async def test_a_busy_server_is_asked_again_as_it_asks_for() -> None:
    server = Server(httpx.Response(429, headers={"Retry-After": "0.01"}), httpx.ReadError("reset"), answered("e4"))
    assert (await say(server)).text == "e4"
    assert len(server.requests) == 3


async def test_no_server_means_that_the_engine_moves() -> None:
    async with seated("openai:http://127.0.0.1:1/v1#m:engine=builtin") as player:
        answer = await player.choose(Question(chess.STARTING_FEN, (), 5.0))
    assert answer.account is not None
    assert answer.account.fallback
    assert answer.account.failures[0].failure == "unavailable"


@pytest.mark.parametrize(
    ("rest", "base", "model"),
    [
        ("http://127.0.0.1:11434#llama3:8b", "http://127.0.0.1:11434/v1", "llama3:8b"),
        ("https://api.example.com/openai/v1/#m/x:attempts=2", "https://api.example.com/openai/v1", "m/x"),
    ],
)
def test_words(rest: str, base: str, model: str) -> None:
    assert parse_word(rest)[:2] == (base, model)


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        ("http://h/v1", "the model is missing"),
        ("ftp://h#m", "no http or https URL"),
        ("#m", "no http or https URL"),
        ("http://h:99999#m", "openai:"),
        ("http://sk-123@h/v1#m", "no key belongs into a player's word"),
        ("http://h/v1?api_key=1#m", "no key belongs into a player's word"),
    ],
)
def test_words_that_cannot_be(rest: str, text: str) -> None:
    with pytest.raises(PlayerWordError, match=text) as found:
        check_word(f"openai:{rest}")
    assert "sk-123" not in str(found.value)


def test_the_key_comes_from_the_environment_or_a_file_and_never_travels_in_the_clear(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGECHESS_OPENAI_KEY", raising=False)
    assert read_key(BASE) is None
    (tmp_path / "key").write_text("from-file\n")
    monkeypatch.setenv("EDGECHESS_OPENAI_KEY_FILE", str(tmp_path / "key"))
    assert read_key(BASE) == "from-file"
    monkeypatch.setenv("EDGECHESS_OPENAI_KEY", "from-environment")
    assert read_key("https://far.example/v1") == "from-environment"
    with pytest.raises(PlayerWordError, match="in the clear") as found:
        read_key("http://far.example/v1")
    assert "from-environment" not in str(found.value)
    monkeypatch.setenv("EDGECHESS_OPENAI_KEY", "")
    monkeypatch.setenv("EDGECHESS_OPENAI_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(PlayerWordError, match="cannot be read"):
        read_key(BASE)
