"""Asking components before a deployment touches them, and telling them afterwards.

SubscribeToComponentUpdates and DeferComponentUpdate on one side, the runtime on the other:

    await server.updates.ready("deployment-1", restarting=False)    # components had their say
    …
    server.updates.done("deployment-1")

Source: reference "greengrass-ipc" section 5; the order of events and refusals is the Java nucleus's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import anyio
import msgspec

from edgechess_nucleus.refusal import Refused

ANSWER_TIMEOUT_S = 60.0  # componentUpdatePolicy.timeoutInSeconds of a deployment that says none
RECHECK_LIMIT_MS = 24 * 3600 * 1000  # a component that defers for longer than a day has mistaken the unit

Emit = Callable[[bytes], None]
"""ComponentUpdatePolicyEvents."""

Deferred = Callable[[str, int, str], None]
"""A component puts the deployment off: its name, by how many milliseconds, and why (it may not say)."""


def _unheard(component: str, recheck_after_ms: int, why: str) -> None:
    return


@dataclasses.dataclass(eq=False, slots=True)
class Listener:
    """One subscription."""

    component: str
    emit: Emit


class ComponentUpdates:
    """Who listens, and whose answer is still missing."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._asked: dict[str, int | None] = {}
        """By component: None until it answered, then its recheckAfterMs."""
        self._answered = anyio.Event()
        self._deferred: Deferred = _unheard

    def subscribe(self, component: str, emit: Emit) -> Listener:
        made = Listener(component, emit)
        self._listeners.append(made)
        return made

    def unsubscribe(self, listener: Listener) -> None:
        """Who is gone has nothing to say any more."""
        self._listeners.remove(listener)
        if not any(other.component == listener.component for other in self._listeners):
            self._asked.pop(listener.component, None)
            self._answered.set()

    def defer(self, component: str, recheck_after_ms: int, why: str = "") -> None:
        """A component's answer; 0 is consent. Raises Refused."""
        if not any(listener.component == component for listener in self._listeners):
            raise Refused("InvalidArgumentsError", "Component is not subscribed to component update events")
        if not 0 <= recheck_after_ms <= RECHECK_LIMIT_MS:
            raise Refused("InvalidArgumentsError", f"recheckAfterMs must be 0 to {RECHECK_LIMIT_MS}")
        if self._asked.get(component, 0) is not None:
            raise Refused("ServiceError", "Time limit to respond to PreComponentUpdateEvent exceeded")
        self._asked[component] = recheck_after_ms
        if recheck_after_ms:
            self._deferred(component, recheck_after_ms, why)
        self._answered.set()

    async def ready(
        self,
        deployment_id: str,
        *,
        restarting: bool,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        deferred: Deferred = _unheard,
    ) -> None:
        """Asks all listeners until none of them defers; silence is consent. How long in all is the caller's affair."""
        self._deferred = deferred
        event = {"preUpdateEvent": {"deploymentId": deployment_id, "isGgcRestarting": restarting}}
        while self._listeners:
            self._asked = {listener.component: None for listener in self._listeners}
            self._tell(event)
            with anyio.move_on_after(answer_timeout_s):
                while None in self._asked.values():
                    self._answered = anyio.Event()
                    await self._answered.wait()
            recheck_ms = max((answer or 0 for answer in self._asked.values()), default=0)
            self._asked = {}
            if recheck_ms == 0:
                return
            await anyio.sleep(recheck_ms / 1000.0)

    def done(self, deployment_id: str) -> None:
        """The deployment is over."""
        self._tell({"postUpdateEvent": {"deploymentId": deployment_id}})

    def _tell(self, event: Mapping[str, object]) -> None:
        payload = msgspec.json.encode(event)
        for listener in list(self._listeners):
            listener.emit(payload)
