"""The operator's way in: a Unix socket in the root folder, mode 0600, one JSON line there, one JSON line back.

    {"command": "status"}                               {"components": [{"name": …, "state": …}, …]}
    {"command": "logs", "component": C, "lines": 40}    {"lines": ["…"]}
    {"command": "restart", "component": C}              {}
    {"command": "deploy", "document": PATH, …}          {"progress": "…"} at every step, then {}

What cannot be done is answered {"error": "…"}, with "document": true where the documents are to blame. A deployment
goes on when whoever ordered it leaves.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, assert_never

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from edgechess_nucleus.component import ComponentStatus
from edgechess_nucleus.deployer import Deploy, DeploymentRefused, Order
from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.errors import NucleusError
from edgechess_nucleus.runtime import Runtime

REQUEST_LIMIT_BYTES = 4096
ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
ANSWER_TIMEOUT_S = 5.0
LINES_LIMIT = 10_000
STEPS_LIMIT = 1000  # lines of one deployment that wait for their reader; a component may put it off for days


class ControlError(NucleusError):
    """The runtime does not answer, or refuses; the text says what to do. `document`: the documents are to blame."""

    def __init__(self, text: str, *, document: bool = False) -> None:
        super().__init__(text)
        self.document = document


class Status(msgspec.Struct, frozen=True, tag_field="command", tag="status"):
    """What every component is at."""


class Logs(msgspec.Struct, frozen=True, tag_field="command", tag="logs"):
    """The newest lines of one component's log."""

    component: str
    lines: Annotated[int, msgspec.Meta(ge=1, le=LINES_LIMIT)] = 40


class RestartComponent(msgspec.Struct, frozen=True, tag_field="command", tag="restart"):
    """One component anew, also a BROKEN one."""

    component: str


class DeployDocument(msgspec.Struct, frozen=True, tag_field="command", tag="deploy"):
    """Another deployment. Paths are absolute, and on the runtime's machine."""

    document: str
    recipes: str | None = None
    artifacts: str | None = None

    def order(self) -> Order:
        recipes, artifacts = (None if path is None else Path(path) for path in (self.recipes, self.artifacts))
        return Order(Path(self.document), recipes, artifacts)


Question = Status | Logs | RestartComponent
Request = Question | DeployDocument


async def serve_control(
    runtime: Runtime, deploy: Deploy, path: Path, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Until cancelled. The folder is locked: what lies at `path` is left over."""
    listener = await anyio.create_unix_listener(path, mode=0o600)

    async def handle(stream: anyio.abc.ByteStream) -> None:
        async with stream:
            try:
                with anyio.fail_after(ANSWER_TIMEOUT_S):
                    line = await BufferedByteReceiveStream(stream).receive_until(b"\n", REQUEST_LIMIT_BYTES)
            except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError, TimeoutError):
                return  # whoever it was did not mean it, or is gone
            try:
                request = msgspec.json.decode(line, type=Request)
            except msgspec.DecodeError as error:
                await _send(stream, {"error": str(error)})
                return
            if isinstance(request, DeployDocument):
                await _deploy(stream, deploy, request.order())
            else:
                await _send(stream, _answer(runtime, request))

    async with listener:
        task_status.started()
        await listener.serve(handle)


async def _send(stream: anyio.abc.ByteSendStream, answer: dict[str, Any]) -> None:
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
        with anyio.fail_after(ANSWER_TIMEOUT_S):
            await stream.send(json.dumps(answer).encode() + b"\n")


async def _deploy(stream: anyio.abc.ByteSendStream, deploy: Deploy, order: Order) -> None:
    steps, told = anyio.create_memory_object_stream[str](STEPS_LIMIT)

    def say(text: str) -> None:
        with contextlib.suppress(anyio.WouldBlock):
            steps.send_nowait(text)

    async def tell() -> None:
        async for text in told:
            await _send(stream, {"progress": text})

    answer: dict[str, Any] = {}
    async with told, anyio.create_task_group() as tasks:
        tasks.start_soon(tell, name="deployment's steps")
        with steps:
            try:
                await deploy(order, say)
            except NucleusError as error:
                answer = {"error": str(error), "document": isinstance(error, DocumentError | DeploymentRefused)}
    await _send(stream, answer)


def _answer(runtime: Runtime, request: Question) -> dict[str, Any]:
    try:
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
    except KeyError as error:
        return {"error": str(error.args[0])}


async def ask(path: Path, request: Question) -> dict[str, Any]:
    """Raises ControlError: nobody is there, or the answer is an error."""
    try:
        with anyio.fail_after(ANSWER_TIMEOUT_S):
            return await _asked(path, request, _unheard)
    except TimeoutError as error:
        raise _nobody(path) from error


async def order(path: Path, request: DeployDocument, say: Callable[[str], None]) -> None:
    """Returns when it is in force, however long components put it off. Raises ControlError."""
    await _asked(path, request, say)


def _unheard(text: str) -> None:
    return


async def _asked(path: Path, request: Request, say: Callable[[str], None]) -> dict[str, Any]:
    try:
        async with await anyio.connect_unix(path) as stream:
            await stream.send(msgspec.json.encode(request) + b"\n")
            buffered = BufferedByteReceiveStream(stream)
            while True:
                answer: dict[str, Any] = json.loads(await buffered.receive_until(b"\n", ANSWER_LIMIT_BYTES))
                if "error" in answer:
                    raise ControlError(str(answer["error"]), document=bool(answer.get("document")))
                if "progress" not in answer:
                    return answer
                say(str(answer["progress"]))
    except (OSError, anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError) as error:
        raise _nobody(path) from error


def _nobody(path: Path) -> ControlError:
    return ControlError(f"no runtime answers at {path}: is `edgechess up` running with this root?")


async def ask_status(path: Path) -> list[ComponentStatus]:
    return [ComponentStatus(**one) for one in (await ask(path, Status()))["components"]]
