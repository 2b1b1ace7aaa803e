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
STATE_GAP_S = 0.5  # joints change all the time while an arm moves; two states a second are enough to watch
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
        shown: ArmState | None = None
        due_s = 0.0  # whatever does not change is shown again then
        while True:
            self._changed = anyio.Event()
            now = self._state()
            if now != shown or anyio.current_time() >= due_s:
                shown, due_s = now, anyio.current_time() + STATE_PERIOD_S
                await self._show_as(now)
                await anyio.sleep(STATE_GAP_S)
                continue
            with anyio.move_on_after(due_s - anyio.current_time()):
                await self._changed.wait()

    async def show(self) -> None:
        """The state as it is now, whether or not it is due."""
        await self._show_as(self._state())

    async def _show_as(self, state: ArmState) -> None:
        self._seq += 1
        stamped = msgspec.structs.replace(state, at=self._context.clock.unix_s(), seq=self._seq)
        await self._publish(self._context.topics.arm_state, stamped)
