"""What the bus says to the arm controller, as events of its own; and the answers to what cannot be one."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

import msgspec

from edgechess_arm_controller import controller as c
from edgechess_arm_controller.outgoing import Outgoing
from edgechess_arm_controller.settings import Settings
from edgechess_arm_controller.table import result_of
from edgechess_kit.bus import Delivery
from edgechess_kit.component import Context
from edgechess_kit.errors import WireError
from edgechess_kit.messages import (
    ArmControl,
    ArmControlResponse,
    ArmJob,
    ArmJobResult,
    ArmMoveResponse,
    GameRequest,
    SessionState,
)

log = logging.getLogger(__name__)

FOREIGN = "foreign-"  # job ids made for managers that speak only the sample's `devices/arm/move`


class Inbox:
    """`handle` takes an event, `stop` what does not wait for a decision; `state` is what the controller knows."""

    def __init__(
        self,
        context: Context[Settings],
        outgoing: Outgoing,
        handle: Callable[[c.Event], None],
        stop: Callable[[str, ArmControl], None],
        state: Callable[[], c.State],
    ) -> None:
        self._context = context
        self._outgoing = outgoing
        self._handle = handle
        self._stop = stop
        self._state = state

    def receive(self, delivery: Delivery) -> None:
        topics = self._context.topics
        try:
            if delivery.topic == topics.arm_control.name:
                self._control(delivery.decode(topics.arm_control))
            elif delivery.topic == topics.arm_job.name:
                self._job(delivery.decode(topics.arm_job))
            elif delivery.topic == topics.arm_move.name:
                self._foreign_move(delivery.decode(topics.arm_move))
            elif delivery.topic == topics.session_state.name:
                self._session(delivery.decode(topics.session_state))
        except WireError as error:
            self._malformed(delivery, error)

    def _control(self, control: ArmControl) -> None:
        if control.command == "stop":
            self._stop(control.reason or "asked on the bus", control)
            return
        kind, request_id = "recovered" if control.command == "recover" else control.command, control.request_id
        repeated = request_id is not None and self._context.journal.last(kind=kind, key=request_id) is not None
        self._handle(c.ControlAsked(control, repeated))

    def _job(self, job: ArmJob) -> None:
        entry = self._context.journal.last(kind="job-ended", key=job.job_id)
        recorded = result_of(entry) if entry is not None else None
        self._handle(c.JobAsked(job, recorded, self._session_known(job.session_id)))

    def _foreign_move(self, request: GameRequest) -> None:
        """The sample's arm protocol. The task token makes it idempotent, however often that manager retries."""
        if request.action != "move":
            answer = ArmMoveResponse(status=500, lan=request.lan, reason="only moves move an arm")
            self._outgoing.send(self._context.topics.arm_move_response, answer)
            return
        digest = hashlib.sha256(request.task_token.encode()).hexdigest()[:32]
        self._job(
            ArmJob(
                job_id=FOREIGN + digest,
                kind="move",
                session_id=request.session_id,
                before=request.before,
                after=request.after,
                lan=request.lan,
                deadline=request.deadline,
            )
        )

    def _session(self, session: SessionState) -> None:
        name = session.session_id
        if session.status == "running" and name is not None and name != self._state().table.session_id:
            self._handle(c.SessionSeen(name, self._session_known(name)))

    def _session_known(self, session_id: str) -> bool:
        """Was the table reset for it already? An old session's message, come late, must not empty the tray."""
        return self._context.journal.last(kind="table-reset", key=session_id) is not None

    def _malformed(self, delivery: Delivery, error: WireError) -> None:
        log.warning("%s", error)
        topics = self._context.topics
        if delivery.topic == topics.arm_control.name:
            self._outgoing.send(
                topics.arm_control_response, ArmControlResponse(status=400, command="unknown", reason=error.reason)
            )
        elif delivery.topic == topics.arm_move.name:
            self._outgoing.send(topics.arm_move_response, ArmMoveResponse(status=500, reason=error.reason))
        elif delivery.topic == topics.arm_job.name:
            job_id = _job_id_of(delivery.payload)
            if job_id is not None:
                result = ArmJobResult(job_id=job_id, outcome="refused", code="malformed", reason=error.reason)
                self._outgoing.send(topics.arm_job_result, result)


def foreign_answer(result: ArmJobResult, lan: str) -> ArmMoveResponse:
    return ArmMoveResponse(status=200 if result.outcome == "done" else 500, lan=lan, reason=result.reason)


def _job_id_of(payload: bytes) -> str | None:
    """The job id of a message that is otherwise unusable, so that its sender can be answered."""
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    job_id = found.get("jobId") if isinstance(found, dict) else None
    return job_id if isinstance(job_id, str) and 1 <= len(job_id) <= 128 else None
