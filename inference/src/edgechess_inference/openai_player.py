"""`openai:URL#MODEL[:options]`: any server that speaks OpenAI's chat API (vLLM, llama.cpp, Ollama, …), through the ladder.

`URL` is the server's base (`http://127.0.0.1:8000/v1`; without a path, `/v1`). A key is taken from the environment
(EDGECHESS_OPENAI_KEY, or a file named by EDGECHESS_OPENAI_KEY_FILE), is sent over https or to this machine only, and
is never in the word. `constrained=yes` asks the server for JSON in which the move is one of the legal ones.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import anyio
import chess
import httpx
import msgspec

from edgechess_inference.errors import PlayerFailed, PlayerWordError
from edgechess_inference.ladder.options import (
    LadderOptions,
    parse_options,
    refuse_inline,
    seat_on_ladder,
    split_settings,
)
from edgechess_inference.ladder.patience import Busy, patiently
from edgechess_inference.ladder.voice import Rung, Said, VoiceFailed
from edgechess_inference.player import Player, PlayerOptions
from edgechess_inference.prompts.prompt_set import load_prompts

KEY_VARIABLE = "EDGECHESS_OPENAI_KEY"
KEY_FILE_VARIABLE = "EDGECHESS_OPENAI_KEY_FILE"
CONNECT_TIMEOUT_S = 5.0
BODY_LIMIT_BYTES = 1 << 20  # of an answer; a move and its reasons have some kilobytes
TEXT_LIMIT = 300  # characters of a server's own words in an error
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EXAMPLE = "openai:http://127.0.0.1:8000/v1#MODEL"
MODELS_NAMED = 8


def parse_word(rest: str) -> tuple[str, str, LadderOptions]:
    """(base URL, model, options). Raises PlayerWordError."""
    address, settings = split_settings(rest)
    url, mark, model = address.partition("#")
    if not mark or not model:
        raise PlayerWordError(f"openai:{rest}: the model is missing; write for example {EXAMPLE}")
    parts = _parts(url, rest)
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}", model, parse_options("openai", settings, tuned=False)[0]


def _parts(url: str, rest: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError as error:
        raise PlayerWordError(f"openai:{rest}: {error}; write for example {EXAMPLE}") from error
    if not usable:
        raise PlayerWordError(f"openai:{rest}: {url!r} is no http or https URL; write for example {EXAMPLE}")
    if "@" in parts.netloc or parts.query:
        raise PlayerWordError(f"openai: no key belongs into a player's word; set {KEY_VARIABLE} instead")
    return parts


def read_key(base: str) -> str | None:
    """The key for a server, None where none is set. Raises PlayerWordError; never tells the key."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    file = os.environ.get(KEY_FILE_VARIABLE)
    if not key and file:
        try:
            key = Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise PlayerWordError(f"{KEY_FILE_VARIABLE}: {file} cannot be read: {error}") from error
    if not key:
        return None
    parts = urlsplit(base)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise PlayerWordError(f"openai:{base}: the key would travel in the clear; use https, or unset {KEY_VARIABLE}")
    if not key.isascii() or not key.isprintable():
        raise PlayerWordError(f"{KEY_VARIABLE} holds characters that no key has")
    return key


class ChatVoice:
    """One model of one server."""

    def __init__(
        self, base: str, model: str, options: LadderOptions, key: str | None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:  # fmt: skip
        """`transport`: where the bytes go instead of the network."""
        self.name = f"{model} at {urlsplit(base).netloc}"
        self._base = base
        self._model = model
        self._options = options
        self._prompts = load_prompts(options.prompt)
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            transport=transport,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
        )

    async def say(self, rung: Rung) -> Said:
        body = self._body(rung)
        text = await patiently(lambda: self._ask(body), rung)
        legal = body.get("response_format") is not None and _move_of(text) in _legal(rung.board)
        return Said(text, constrained=legal)

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):  # closes sockets; nothing is waited for
            await self._client.aclose()

    def _body(self, rung: Rung) -> dict[str, Any]:
        prompt, options = self._prompts.render(rung), self._options
        messages = [{"role": "user", "content": prompt.user}]
        if prompt.system:
            messages.insert(0, {"role": "system", "content": prompt.system})
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "max_tokens": options.max_tokens,
            "temperature": options.temperature,
            "seed": rung.seed,
        }
        if options.top_p < 1:
            body["top_p"] = options.top_p
        if options.constrained:
            body["response_format"] = _only(_legal(rung.board))
        return body

    async def _ask(self, body: dict[str, Any]) -> str:
        """Raises Busy, VoiceFailed."""
        try:
            async with self._client.stream("POST", f"{self._base}/chat/completions", json=body) as response:
                content = await _read(response)
        except httpx.ConnectError as error:
            raise VoiceFailed(
                "unavailable", f"no server answers at {self._base} ({_cause(error)}): is it running?", again=False
            ) from error
        except httpx.TimeoutException as error:
            raise VoiceFailed(
                "unavailable", f"{self._base} does not accept a connection in time", again=False
            ) from error
        except httpx.HTTPError as error:
            raise Busy(f"{self._base} broke off: {_cause(error)}") from error
        if response.status_code == 200:
            return _content(content, self._base)
        raise await self._explained(response, content)

    async def _explained(self, response: httpx.Response, content: bytes) -> Exception:
        status, said = response.status_code, _error_text(content)
        if status in (429, 500, 502, 503, 504):
            return Busy(f"{self._base} is busy ({status}): {said}", _retry_after(response))
        if status in (401, 403):
            return VoiceFailed(
                "refused",
                f"{self._base} refuses the key ({status}): set {KEY_VARIABLE} to one that it takes",
                again=False,
            )
        if status == 404:
            return VoiceFailed("refused", await self._no_such_model(said), again=False)
        return VoiceFailed("refused", f"{self._base} answers {status}: {said}", again=False)

    async def _no_such_model(self, said: str) -> str:
        """What a 404 means: the URL, or the model; the server is asked for those that it has."""
        try:
            answer = await self._client.get(f"{self._base}/models", timeout=CONNECT_TIMEOUT_S)
            names = [str(entry["id"]) for entry in answer.json()["data"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return f"{self._base} answers 404: is that the base of its API (usually …/v1)? It says: {said}"
        some = ", ".join(names[:MODELS_NAMED]) + (" …" if len(names) > MODELS_NAMED else "")
        return f"{self._base} has no model {self._model!r}; it has {some or 'none'}"


def _legal(board: chess.Board) -> list[str]:
    return sorted(board.san(move) for move in board.legal_moves)


def _only(moves: list[str]) -> dict[str, Any]:
    """Structured output as vLLM, llama.cpp, Ollama and OpenAI understand it: `{"move": one of these}`."""
    schema = {
        "type": "object",
        "properties": {"move": {"type": "string", "enum": moves}},
        "required": ["move"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "move", "strict": True, "schema": schema}}


def _move_of(text: str) -> str | None:
    try:
        value = msgspec.json.decode(text, type=dict[str, Any]).get("move")
    except (msgspec.MsgspecError, RecursionError):
        return None
    return value if isinstance(value, str) else None


async def _read(response: httpx.Response) -> bytes:
    content = b""
    async for part in response.aiter_bytes():
        content += part
        if len(content) > BODY_LIMIT_BYTES:
            raise VoiceFailed("refused", f"the answer is longer than {BODY_LIMIT_BYTES} bytes", again=True)
    return content


def _content(content: bytes, base: str) -> str:
    """What the model wrote, wherever this server puts it. Raises VoiceFailed."""
    try:
        choice = msgspec.json.decode(content)["choices"][0]
        said = choice["message"]["content"] if "message" in choice else choice["text"]
        if isinstance(said, list):  # parts, as newer servers send them
            said = "".join(part.get("text", "") for part in said)
    except (msgspec.MsgspecError, RecursionError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise VoiceFailed("no-answer", f"{base} sent no chat completion", again=True) from error
    return said if isinstance(said, str) else ""


def _error_text(content: bytes) -> str:
    """A server's own words, on one line."""
    try:
        value = msgspec.json.decode(content)
        error = value.get("error", value.get("message", value.get("detail", ""))) if isinstance(value, dict) else value
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        text = content.decode(errors="replace")
    return " ".join(text.split())[:TEXT_LIMIT] or "no reason given"


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(float(response.headers["Retry-After"]), 0.0)
    except (KeyError, ValueError):
        return None


def _cause(error: Exception) -> str:
    return str(error)[:TEXT_LIMIT] or type(error).__name__


def check(rest: str) -> None:
    """Raises PlayerWordError."""
    read_key(parse_word(rest)[0])


async def open_player(rest: str, options: PlayerOptions) -> Player:
    """The factory of the word `openai`. Connects at the first question. Raises PlayerWordError, PlayerFailed."""
    base, model, ladder = parse_word(rest)
    refuse_inline("openai", options)
    voice = ChatVoice(base, model, ladder, read_key(base))
    try:
        return await seat_on_ladder(f"openai:{rest}", voice, ladder, options)
    except PlayerFailed:
        await voice.close()
        raise
