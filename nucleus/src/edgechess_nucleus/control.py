"""The operator's way in: a Unix socket in the root folder, mode 0600, one JSON line there, one JSON line back.

    {"command": "status"}                               {"components": [{"name": …, "state": …}, …]}
    {"command": "logs", "component": C, "lines": 40}    {"lines": ["…"]}
    {"command": "restart", "component": C}              {}

What cannot be done is answered {"error": "…"}.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, assert_never

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from edgechess_nucleus.component import ComponentStatus
from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.runtime import Runtime

REQUEST_LIMIT_BYTES = 4096
ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
ANSWER_TIMEOUT_S = 5.0
LINES_LIMIT = 10_000


class ControlError(NucleusError):
    """The runtime does not answer, or refuses; the text says what to do."""


class Status(msgspec.Struct, frozen=True, tag_field="command", tag="status"):
    """What every component is at."""


class Logs(msgspec.Struct, frozen=True, tag_field="command", tag="logs"):
    """The newest lines of one component's log."""

    component: str
    lines: Annotated[int, msgspec.Meta(ge=1, le=LINES_LIMIT)] = 40


class RestartComponent(msgspec.Struct, frozen=True, tag_field="command", tag="restart"):
    """One component anew, also a BROKEN one."""

    component: str


Request = Status | Logs | RestartComponent


async def serve_control(
    runtime: Runtime, path: Path, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Until cancelled. The folder is locked: what lies at `path` is left over."""
    listener = await anyio.create_unix_listener(path, mode=0o600)

    async def handle(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            try:
                with anyio.fail_after(ANSWER_TIMEOUT_S):
                    line = await BufferedByteReceiveStream(stream).receive_until(b"\n", REQUEST_LIMIT_BYTES)
                    await stream.send(json.dumps(_answer(runtime, line)).encode() + b"\n")
            except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError, TimeoutError):
                return  # whoever it was did not mean it, or is gone

    async with listener:
        task_status.started()
        await listener.serve(handle)


def _answer(runtime: Runtime, line: bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(line, type=Request)
        match request:
            case Status():
                return {"components": [dataclasses.asdict(status) for status in runtime.status()]}
            case Logs(component, lines):
                return {"lines": runtime.log_of(component).tail(lines)}
            case RestartComponent(component):
                runtime.restart(component)
                return {}
            case _:
                assert_never(request)
    except (msgspec.DecodeError, KeyError) as error:
        return {"error": str(error.args[0]) if error.args else "unknown"}


async def ask(path: Path, request: Request) -> dict[str, Any]:
    """Raises ControlError: nobody is there, or the answer is an error."""
    try:
        with anyio.fail_after(ANSWER_TIMEOUT_S):
            async with await anyio.connect_unix(path) as stream:
                await stream.send(msgspec.json.encode(request) + b"\n")
                line = await BufferedByteReceiveStream(stream).receive_until(b"\n", ANSWER_LIMIT_BYTES)
    except (OSError, anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError, TimeoutError) as error:
        raise ControlError(f"no runtime answers at {path}: is `edgechess up` running with this root?") from error
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer


async def ask_status(path: Path) -> list[ComponentStatus]:
    return [ComponentStatus(**one) for one in (await ask(path, Status()))["components"]]
