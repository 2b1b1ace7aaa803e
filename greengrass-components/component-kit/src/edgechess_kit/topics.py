"""Every topic: its name under the prefix, its message type, its side, whether it is retained. The one table of the wire."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Generic, Literal, TypeVar

import msgspec

from edgechess_kit import messages as m
from edgechess_kit.errors import WireError

M = TypeVar("M", bound=m.Message)

PREFIX = "robo-chess"

Side = Literal["cloud", "devices", "edge"]
"""Who is at the other end: a cloud workflow; a board or arms, which may be client devices; components and operators.
Each side travels by one transport, `[transport]` says which."""

SIDES: dict[str, Side] = {"cloud": "cloud", "devices": "devices", "edge": "edge", "inference": "edge"}
"""By the first part of a name after the prefix."""
REASON_LIMIT = 300  # characters; what a person reads, and far below what `reason` may hold


@dataclasses.dataclass(frozen=True, slots=True)
class Topic(Generic[M]):
    """A topic name (with its prefix), the one message type that travels on it, and the side that it belongs to."""

    name: str
    type: type[M]
    retain: bool = False
    side: Side = "edge"

    def encode(self, message: M) -> bytes:
        """JSON bytes of at most `SIZE_LIMIT_BYTES`. Raises WireError when the message is larger (our own fault)."""
        payload = msgspec.json.encode(message)
        if len(payload) > m.SIZE_LIMIT_BYTES:
            raise WireError(self.name, f"message of {len(payload)} bytes; the limit is {m.SIZE_LIMIT_BYTES}")
        return payload

    def decode(self, payload: bytes) -> M:
        """Raises WireError, whose `reason` names the field, when the payload is not a message of this topic."""
        if len(payload) > m.SIZE_LIMIT_BYTES:
            raise WireError(self.name, f"message of {len(payload)} bytes; the limit is {m.SIZE_LIMIT_BYTES}")
        try:
            message: M = _decoder(self.type).decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            # msgspec quotes the offending value, which may be as long as the message: the reason must fit an answer
            raise WireError(self.name, str(error)[:REASON_LIMIT]) from error
        return message


@cache
def _decoder(kind: type[M]) -> msgspec.json.Decoder[M]:
    return msgspec.json.Decoder(kind)


class Topics:
    """All topics under one prefix. `Topics()` is the AWS sample's own naming."""

    def __init__(self, prefix: str = PREFIX) -> None:
        self.prefix = prefix

        def topic(name: str, kind: type[M], *, retain: bool = False) -> Topic[M]:
            return Topic(f"{prefix}/{name}", kind, retain, SIDES[name.partition("/")[0]])

        # the sample's
        self.cloud_request = topic("cloud/request", m.GameRequest)
        self.cloud_response = topic("cloud/response", m.GameResponse)
        self.board_start = topic("devices/board/start", m.GameRequest)
        self.board_start_response = topic("devices/board/start/response", m.BoardStartResponse)
        self.board_validate = topic("devices/board/validate", m.BoardValidateRequest)
        self.board_validate_response = topic("devices/board/validate/response", m.BoardValidateResponse)
        self.board_processed = topic("devices/board/processed", m.BoardProcessed)
        self.arm_move = topic("devices/arm/move", m.GameRequest)
        self.arm_move_response = topic("devices/arm/move/response", m.ArmMoveResponse)
        # ours
        self.board_state = topic("devices/board/state", m.BoardState, retain=True)
        self.board_moved = topic("devices/board/moved", m.BoardMoved)
        self.arm_state = topic("devices/arm/state", m.ArmState, retain=True)
        self.arm_job = topic("devices/arm/job", m.ArmJob)
        self.arm_job_result = topic("devices/arm/job/result", m.ArmJobResult)
        self.arm_control = topic("devices/arm/control", m.ArmControl)
        self.arm_control_response = topic("devices/arm/control/response", m.ArmControlResponse)
        self.session_control = topic("edge/session/control", m.SessionControl)
        self.session_control_response = topic("edge/session/control/response", m.SessionControlResponse)
        self.session_state = topic("edge/session/state", m.SessionState, retain=True)
        self.status = topic("edge/status", m.EdgeStatus)
        self.events = topic("edge/events", m.EdgeEvent)
        self.inference_request = topic("inference/request", m.InferenceRequest)
        self.inference_response = topic("inference/response", m.InferenceResponse)
        self.inference_control = topic("inference/control", m.InferenceControl)
        self.inference_control_response = topic("inference/control/response", m.InferenceControlResponse)
        self.inference_status = topic("inference/status", m.InferenceStatus, retain=True)
