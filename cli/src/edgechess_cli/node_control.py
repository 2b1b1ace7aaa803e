"""One command to an inference node over the bus, and its answer: what `edgechess adapter` and `edgechess node` share."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import anyio
import msgspec
import typer

from edgechess_cli.bus_connection import (
    DEFAULT_BROKER,
    BrokerOption,
    CaOption,
    CertOption,
    Connection,
    GreengrassOption,
    KeyOption,
    NoBroker,
    PrefixOption,
    connect,
)
from edgechess_kit import messages as m
from edgechess_kit.bus import Bus, Subscription
from edgechess_kit.errors import KitError, SettingsError, WireError
from edgechess_kit.topics import PREFIX, Topics

EXIT_OF_STATUS = {200: 0, 400: 4, 500: 5}
EXIT_NO_ANSWER = 6
EXIT_USAGE = 2
REPEAT_S = 2.0  # the same command again: it is done once all the same

TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds to wait for the answer.", min=0.1)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON line.")]
SourceArgument = Annotated[str, typer.Argument(help="Path or address of the packed weights: …/NAME.json.")]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Where the node is, and how its answer is shown: what every command to a node takes."""

    broker: BrokerOption = DEFAULT_BROKER
    prefix: PrefixOption = PREFIX
    ca: CaOption = None
    cert: CertOption = None
    key: KeyOption = None
    greengrass: GreengrassOption = False
    as_json: JsonOption = False

    @property
    def connection(self) -> Connection:
        return Connection(self.broker, self.prefix, self.ca, self.cert, self.key, greengrass=self.greengrass)


def command(connection: Connection, control: m.InferenceControl, timeout_s: float) -> list[m.InferenceControlResponse]:
    """The answers: one, or for a long list several. Ends the process with one line and an exit code where there is none."""
    try:
        return anyio.run(_commanded, connection, control, timeout_s)
    except SettingsError as error:
        _fail(str(error), EXIT_USAGE)
    except (NoBroker, KitError) as error:
        _fail(str(error), EXIT_NO_ANSWER)
    except TimeoutError:
        _fail(f"no inference node answered within {timeout_s:g} s: is one running there?", EXIT_NO_ANSWER)


def new_id() -> str:
    return f"cli-{uuid.uuid4().hex[:16]}"


def absolute(source: str) -> str:
    """The node has another working folder than we."""
    return source if "://" in source else str(Path(source).expanduser().absolute())


def finish(answers: Sequence[m.InferenceControlResponse], as_json: bool, lines: Sequence[str]) -> NoReturn:
    """Prints, and ends with the exit code of the answer's status."""
    last = answers[-1]
    if as_json:
        joined = msgspec.structs.replace(last, adapters=tuple(state for answer in answers for state in answer.adapters))
        typer.echo(json.dumps(msgspec.to_builtins(joined)))
    elif last.status == 200:
        for line in lines:
            typer.echo(line)
    else:
        typer.echo(f"the node answers {last.status}: {last.reason}", err=True)
    raise typer.Exit(EXIT_OF_STATUS[last.status])


def model_line(state: m.ModelState) -> str:
    """`chess: serving chess-2 (82c64be86c60), 1 swap; on its way: chess-3, 43 % at 1.2 GB/s`."""
    parts = [f"{state.model}: {state.state}"]
    if state.name:
        parts[0] += f" {state.name} ({(state.weights or '')[:12]})"
    if state.swaps:
        parts.append(f"{state.swaps} swap{'s' if state.swaps > 1 else ''}")
    if state.loading:
        parts.append(f"on its way: {state.loading}{_part(state)}")
    parts += [text for text in (state.remarks, state.problem) if text]
    return "; ".join(parts)


def _part(state: m.ModelState) -> str:
    if not state.total_bytes:
        return ""
    text = f", {100 * (state.landed_bytes or 0) // state.total_bytes} %"
    return f"{text} at {state.rate_bytes_s / 1e6:.0f} MB/s" if state.rate_bytes_s else text


async def _commanded(
    connection: Connection, control: m.InferenceControl, timeout_s: float
) -> list[m.InferenceControlResponse]:
    answers: list[m.InferenceControlResponse] = []
    async with connect(connection) as bus:
        with anyio.fail_after(timeout_s):
            while True:
                answer = await ask(bus, connection.topics, control)
                answers.append(answer)
                if not answer.more:
                    return answers
                control = msgspec.structs.replace(control, request_id=new_id(), after=answer.adapters[-1].adapter)


async def ask(bus: Bus, topics: Topics, control: m.InferenceControl) -> m.InferenceControlResponse:
    """The node's answer, however long it takes; the command is repeated with its id, which is harmless. Raises KitError."""
    found: list[m.InferenceControlResponse] = []
    async with bus.subscribe(topics.inference_control_response) as deliveries, anyio.create_task_group() as tasks:
        tasks.start_soon(_repeat, bus, topics, control, name="repeat")
        async for response in _answers(deliveries, topics):
            if response.request_id == control.request_id:
                found.append(response)
                break
        tasks.cancel_scope.cancel()
    return found[0]


async def _repeat(bus: Bus, topics: Topics, control: m.InferenceControl) -> None:
    while True:
        await bus.publish(topics.inference_control, control)
        await anyio.sleep(REPEAT_S)


async def _answers(deliveries: Subscription, topics: Topics) -> AsyncIterator[m.InferenceControlResponse]:
    async for delivery in deliveries:
        try:
            yield delivery.decode(topics.inference_control_response)
        except WireError:
            continue  # somebody else's


def _fail(text: str, code: int) -> NoReturn:
    typer.echo(f"edgechess: {text}", err=True)
    raise typer.Exit(code)


def control(word: str, **fields: Any) -> m.InferenceControl:
    """A command with a fresh id. Ends the process for names that no message takes."""
    values = {"command": word, "requestId": new_id(), **{key: value for key, value in fields.items() if value}}
    try:
        return msgspec.convert(values, m.InferenceControl)
    except msgspec.ValidationError as error:
        _fail(str(error), EXIT_USAGE)
