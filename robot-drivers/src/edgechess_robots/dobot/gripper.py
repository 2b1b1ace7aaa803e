"""The gripper behind the controller: Modbus registers read and written through its command link."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

import anyio

from edgechess_robots.dobot import gripper_protocol as registers
from edgechess_robots.dobot import protocol
from edgechess_robots.dobot.gripper_protocol import GripState, InitState
from edgechess_robots.dobot.protocol import Command, Reply
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.errors import ArmProtocolError, ArmRefused

MASTERS = 5  # the controller's limit; a program that died leaves its own behind
STARTING_S = 0.1  # so long after a new position the registers may still show the old state
INIT_TIMEOUT_S = 6.0  # full initialisation runs both ways through the travel: about 3 s

Ask = Callable[[Command], Awaitable[Reply]]


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    init: int
    grip: int
    position: int


class Gripper:
    """One gripper on one link; `ask` sends a command and raises for anything but success."""

    def __init__(self, ask: Ask, settings: DobotSettings) -> None:
        self._ask = ask
        self._settings = settings
        self._index = 0

    async def prepare(self) -> bool:
        """Opens the Modbus path and initialises the gripper unless it is: initialising moves the fingers, and an arm
        that restarts may be holding something. Returns whether it holds. Raises ArmRefused, ArmLost."""
        settings = self._settings
        await self._ask(protocol.set_tool_power(True))
        await self._ask(protocol.set_tool_mode_485())
        await self._ask(protocol.set_tool_485(settings.gripper_baud))
        for index in range(MASTERS):
            try:
                await self._ask(protocol.modbus_close(index))
            except ArmRefused:
                continue  # it was not open
        index_reply = await self._ask(protocol.modbus_create_tool(settings.gripper_slave))
        created = index_reply.integer()
        if created is None:
            raise ArmProtocolError(f"ModbusCreate answered {index_reply.value!r}: expected an index")
        self._index = created
        if (await self._first_reading()).init != InitState.DONE:
            await self._write(registers.REGISTER_INIT, registers.INIT_FULL)
            await self._until_initialised()
        await self._write(registers.REGISTER_FORCE, settings.gripper_force_percent)
        return (await self.read()).grip == GripState.CAUGHT

    async def _first_reading(self) -> Reading:
        """Raises ArmRefused in words: the controller's own say only that a command failed."""
        try:
            return await self.read()
        except ArmRefused as refused:
            settings = self._settings
            raise ArmRefused(
                f"no gripper answers at the tool's RS485 connector ({refused}): is one fitted and plugged in there, and"
                f" is it at address {settings.gripper_slave} with {settings.gripper_baud} baud (gripper_slave,"
                f" gripper_baud)?",
                refused.code,
            ) from refused

    async def read(self) -> Reading:
        reply = await self._ask(protocol.get_hold_regs(self._index, registers.REGISTER_INIT_STATE, 3))
        values = [int(n) for n in reply.numbers()]
        if len(values) != 3:
            raise ArmProtocolError(f"GetHoldRegs answered {reply.value!r}: expected three registers")
        return Reading(*values)

    async def open(self, width_mm: float) -> Reading:
        """Raises ArmRefused when the fingers do not get there in time."""
        await self.begin(width_mm)
        return await self.opened(width_mm)

    async def begin(self, width_mm: float) -> None:
        """The fingers start towards a width; whoever waits for them asks `opened`."""
        await self._write(registers.REGISTER_POSITION, self._settings.fingers.position(width_mm))

    async def opened(self, width_mm: float) -> Reading:
        """Until they stand at the width. Raises ArmRefused when they do not get there in time."""
        return await self._until(width_mm, lambda _reading: False)

    async def close(self, width_mm: float) -> Reading:
        """Until something is caught, or the width is reached. Raises ArmRefused when neither happens in time."""
        before = await self.read()
        began_s = anyio.current_time()
        await self.begin(width_mm)
        started = False

        def ended(reading: Reading) -> bool:
            nonlocal started
            started = started or reading.grip == GripState.MOVING or reading.position != before.position
            if reading.grip not in (GripState.CAUGHT, GripState.DROPPED):
                return False
            return started or anyio.current_time() >= began_s + STARTING_S

        return await self._until(width_mm, ended)

    async def _until(self, width_mm: float, ended: Callable[[Reading], bool]) -> Reading:
        target = self._settings.fingers.position(width_mm)
        with anyio.move_on_after(self._settings.gripper_timeout_s):
            while True:
                reading = await self.read()
                near = abs(reading.position - target) <= self._settings.gripper_tolerance
                if (reading.grip == GripState.REACHED and near) or ended(reading):
                    return reading
                await anyio.sleep(self._settings.gripper_poll_s)
        raise ArmRefused(f"the gripper did not reach {target} per mille in {self._settings.gripper_timeout_s} s")

    async def _until_initialised(self) -> None:
        with anyio.move_on_after(INIT_TIMEOUT_S):
            while True:
                await anyio.sleep(self._settings.gripper_poll_s)
                if (await self.read()).init == InitState.DONE:
                    return
        raise ArmRefused(f"the gripper was not initialised in {INIT_TIMEOUT_S} s")

    async def _write(self, address: int, value: int) -> None:
        await self._ask(protocol.set_hold_regs(self._index, address, (value,)))
