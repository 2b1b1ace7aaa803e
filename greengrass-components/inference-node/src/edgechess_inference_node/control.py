"""What an operator asks of the node on `inference/control`: one command, done, and answered when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from edgechess_inference.errors import InferenceError
from edgechess_inference.move_model import AdapterError
from edgechess_inference_node.errors import RequestRefused
from edgechess_inference_node.models import NodeModels, why
from edgechess_kit.messages import SIZE_LIMIT_BYTES, AdapterState, InferenceControl, InferenceControlResponse

ROOM_BYTES = SIZE_LIMIT_BYTES - 300  # for the response around the list
FAILED = 500
REFUSED = 400


async def obey(control: InferenceControl, models: NodeModels) -> InferenceControlResponse:
    """The answer; never raises for what the command asks."""
    try:
        await _do(control, models)
    except (RequestRefused, AdapterError) as error:
        return _response(control, REFUSED, why(error), models)
    except InferenceError as error:
        return _response(control, FAILED, why(error), models)
    return _response(control, 200, None, models)


async def _do(control: InferenceControl, models: NodeModels) -> None:
    """Raises RequestRefused, InferenceError."""
    match control.command:
        case "load" | "swap":
            new = control.command == "load"
            await models.load(_given(control.model, "model"), _given(control.source, "source"), new=new)
        case "rollback":
            await models.rollback(_given(control.model, "model"))
        case "unload":
            await models.unload(_given(control.model, "model"))
        case "adapter-add" | "adapter-update":
            new = control.command == "adapter-add"
            await models.set_adapter(_given(control.adapter, "adapter"), _given(control.source, "source"), new=new)
        case "adapter-remove":
            models.remove_adapter(_given(control.adapter, "adapter"))
        case "list" | "status":
            return
        case _:
            assert_never(control.command)


def _given(value: str | None, name: str) -> str:
    if not value:
        raise RequestRefused(f"`{name}` is missing")
    return value


def _response(
    control: InferenceControl, status: int, reason: str | None, models: NodeModels
) -> InferenceControlResponse:  # fmt: skip
    base = InferenceControlResponse(
        request_id=control.request_id,
        command=control.command,
        status=200 if status == 200 else 400 if status == REFUSED else 500,
        reason=reason,
        models=models.states(),
    )
    if control.command != "list":
        return base
    adapters = [state for state in models.adapters() if state.adapter > control.after]
    return _filled(base, adapters)


def _filled(base: InferenceControlResponse, adapters: Sequence[AdapterState]) -> InferenceControlResponse:
    """As many adapters as fit."""
    size, taken = len(msgspec.json.encode(base)), 0
    for state in adapters:
        size += len(msgspec.json.encode(state)) + 1
        if size > ROOM_BYTES:
            break
        taken += 1
    return msgspec.structs.replace(base, adapters=tuple(adapters[:taken]), more=taken < len(adapters))
