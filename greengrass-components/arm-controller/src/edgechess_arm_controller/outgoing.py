"""What the arm controller publishes: answers in their order, and its arms' state. A broker that is away never holds up an
arm or a stop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import msgspec

from edgechess_arm_controller.settings import Settings
from edgechess_kit.component import Context
from edgechess_kit.errors import LinkLost
from edgechess_kit.messages import ArmState, Message
from edgechess_kit.topics import Topic

STATE_PERIOD_S = 2.0  # a retained state older than a few of these means a dead controller
STATE_GAP_S = 0.5  # between states, whatever happens
OUTGOING_LIMIT = 200  # answers waiting for the broker; whoever misses one asks again and gets the recorded one
RETRY_S = 1.0  # before the bus is tried again


class Outgoing:
    """`send` and `changed` never wait; `run` and `run_state` are tasks, until cancelled."""

    def __init__(self, context: Context[Settings], state: Callable[[], ArmState]) -> None:
        """`state`: what is to be seen of the arms now, without time and number, so that two can be compared."""
        self._context = context
        self._state = state
        self._outgoing: deque[tuple[Topic[Any], Message]] = deque(maxlen=OUTGOING_LIMIT)
        self._outgoing_changed = anyio.Event()
        self._publishing = False
        self._changed = anyio.Event()
        self._seq = 0

    @property
    def empty(self) -> bool:
        """Everything that was sent is with the broker."""
        return not self._outgoing and not self._publishing

    def send(self, topic: Topic[Any], message: Message) -> None:
        self._outgoing.append((topic, message))
        self._outgoing_changed.set()

    def changed(self) -> None:
        """The state is another."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            while self._outgoing:
                topic, message = self._outgoing.popleft()
                self._publishing = True
                await self._publish(topic, message)
                self._publishing = False
            self._outgoing_changed = anyio.Event()
            await self._outgoing_changed.wait()

    async def _publish(self, topic: Topic[Any], message: Message) -> None:
        while True:
            try:
                await self._context.bus.publish(topic, message)
                return
            except LinkLost:
                await anyio.sleep(RETRY_S)

    async def run_state(self) -> None:
        """What happens is shown at once, where an arm on its way is every `motion_gap_s`, and everything now and then."""
        shown: ArmState | None = None
        shown_s = 0.0
        while True:
            self._changed = anyio.Event()
            now, now_s = self._state(), anyio.current_time()
            due_s = now_s if shown is None else shown_s + self._wait_s(shown, now)
            if now_s >= due_s:
                shown, shown_s = now, now_s
                await self._show_as(now)
                await anyio.sleep(STATE_GAP_S)
                continue
            with anyio.move_on_after(due_s - now_s):
                await self._changed.wait()

    def _wait_s(self, shown: ArmState, now: ArmState) -> float:
        if now == shown:
            return STATE_PERIOD_S
        moved = _without_places(now) == _without_places(shown)
        return self._context.settings.motion_gap_s if moved else STATE_GAP_S

    async def show(self) -> None:
        """The state as it is now, whether or not it is due."""
        await self._show_as(self._state())

    async def _show_as(self, state: ArmState) -> None:
        self._seq += 1
        stamped = msgspec.structs.replace(state, at=self._context.clock.unix_s(), seq=self._seq)
        await self._publish(self._context.topics.arm_state, stamped)


def _without_places(state: ArmState) -> ArmState:
    arms = tuple(msgspec.structs.replace(arm, joints_deg=(), tool_mm=()) for arm in state.arms)
    return msgspec.structs.replace(state, arms=arms)
