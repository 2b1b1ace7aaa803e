"""UpdateState, SubscribeToComponentUpdates, DeferComponentUpdate, and PutComponentMetric, which is refused."""

from __future__ import annotations

from typing import Any

from edgechess_nucleus.component_updates import ComponentUpdates
from edgechess_nucleus.host import Host, ReportedState
from edgechess_nucleus.ipc_call import EMPTY, Call, Operation, Request
from edgechess_nucleus.ipc_protocol import event
from edgechess_nucleus.refusal import Refused

EVENT = event("ComponentUpdatePolicyEvents")


class UpdateState(Request, frozen=True):
    state: ReportedState


class SubscribeToComponentUpdates(Request, frozen=True):
    pass


class DeferComponentUpdate(Request, frozen=True):
    deployment_id: str
    recheck_after_ms: int = 0
    message: str = ""


class PutComponentMetric(Request, frozen=True):
    metrics: list[dict[str, Any]]


class LifecycleOperations:
    """What a component says of itself, and of deployments."""

    def __init__(self, host: Host, updates: ComponentUpdates) -> None:
        self._host = host
        self._updates = updates

    def rows(self) -> tuple[Operation, ...]:
        return (
            Operation("UpdateState", UpdateState, self._update_state),
            Operation("SubscribeToComponentUpdates", SubscribeToComponentUpdates, self._subscribe, streaming=True),
            Operation("DeferComponentUpdate", DeferComponentUpdate, self._defer),
            Operation("PutComponentMetric", PutComponentMetric, self._put_metric),
        )

    def _update_state(self, call: Call, request: UpdateState) -> bytes:
        self._host.report_state(call.component, request.state)
        return EMPTY

    def _subscribe(self, call: Call, request: SubscribeToComponentUpdates) -> bytes:
        made = self._updates.subscribe(call.component, lambda payload: call.emit(EVENT, payload))
        call.at_end(lambda: self._updates.unsubscribe(made))
        return EMPTY

    def _defer(self, call: Call, request: DeferComponentUpdate) -> bytes:
        self._updates.defer(call.component, request.recheck_after_ms, request.message)
        return EMPTY

    def _put_metric(self, call: Call, request: PutComponentMetric) -> bytes:
        """Metrics go to the cloud, and there is none. The Java nucleus takes them of `aws.` components alone."""
        raise Refused(
            "UnauthorizedError",
            f"{call.component} may not put metrics: only components of AWS may, and here nobody does",
        )
