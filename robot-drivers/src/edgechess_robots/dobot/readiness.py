"""Getting a Dobot ready: TCP mode, alarms, power, brakes, frames, gripper. Moves nothing."""

from __future__ import annotations

import anyio

from edgechess_robots.conduct import Conduct, MayClear
from edgechess_robots.dobot import done, protocol
from edgechess_robots.dobot.commands import COMMAND_TIMEOUT_S, NOT_TCP_MODE, Commands
from edgechess_robots.dobot.dead_man import DeadMan
from edgechess_robots.dobot.gripper import Gripper
from edgechess_robots.dobot.protocol import NotTcpMode, RobotMode
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.dobot.sight import Sight
from edgechess_robots.errors import ArmAlarm, ArmProtocolError, ArmRefused, ArmStopped

POWER_ON_TIMEOUT_S = 15.0  # PowerOn takes about ten seconds (reference section 6)
ENABLE_TIMEOUT_S = 10.0  # brakes release in two or three
MODE_POLL_S = 0.2


class Readiness:
    def __init__(
        self, name: str, settings: DobotSettings, conduct: Conduct, sight: Sight, commands: Commands, dead_man: DeadMan
    ) -> None:
        self._name = name
        self._settings = settings
        self._conduct = conduct
        self._sight = sight
        self._commands = commands
        self._dead_man = dead_man

    async def prepare(self, stops: int, may_clear: MayClear) -> None:
        """As `Ways.prepare`: from any state of the controller to enabled, limited and with a gripper. A stop in between raises ArmStopped."""
        conduct = self._conduct
        await self._dead_man.there()
        if conduct.last_resort is not None:
            await self._commands.ask(protocol.emergency_stop(False))
            conduct.last_resort = None
        await self._enable(stops, may_clear)
        await self._commands.ask(protocol.speed_factor(self._settings.speed_factor_percent))
        await self._plain_frames()
        gripper = Gripper(self._commands.ask, self._settings)
        conduct.holding = await gripper.prepare()
        self._sight.linked().gripper = gripper
        frame = await self._sight.new()
        while frame.robot_mode != RobotMode.ENABLED or not done.standing(frame):
            frame = await self._sight.new()
        self._unless_stopped_since(stops)
        trouble = done.trouble(self._sight.fresh())
        if trouble is not None:
            raise ArmAlarm(f"arm {self._name}: {trouble.reason}")

    async def _plain_frames(self) -> None:
        """What is measured and what is commanded must be the flange in the base frame: user 0, tool 0."""
        frame = await self._sight.new()
        if frame.user:
            await self._commands.ask(protocol.user(0))
        if frame.tool:
            await self._commands.ask(protocol.tool(0))

    def _unless_stopped_since(self, stops: int) -> None:
        self._conduct.unless_stopped_since(
            stops, emergency=self._sight.newest is not None and done.pressed(self._sight.newest)
        )

    async def _enable(self, stops: int, may_clear: MayClear) -> None:
        cleared = False
        while True:
            self._unless_stopped_since(stops)
            mode = await self._robot_mode()
            match mode:
                case RobotMode.ENABLED:
                    return
                case RobotMode.ERROR | RobotMode.COLLISION:
                    if cleared:
                        alarms = await self.alarms()
                        raise ArmAlarm(f"arm {self._name}: {protocol.alarms_text(alarms)} stays", alarms)
                    await self._clear(may_clear)
                    cleared = True
                case RobotMode.POWER_OFF:
                    await self._commands.ask(protocol.power_on(), POWER_ON_TIMEOUT_S)
                    await self._until_mode_changes(mode)
                case RobotMode.DISABLED | RobotMode.BRAKE_OPEN:
                    await self._commands.ask(protocol.enable_robot(self._settings.load_kg), ENABLE_TIMEOUT_S)
                    await self._until_mode_changes(mode)
                case RobotMode.DRAG:
                    await self._commands.ask(protocol.stop_drag())
                    await self._until_mode_changes(mode)
                case RobotMode.RUNNING | RobotMode.SINGLE_MOVE | RobotMode.PAUSE:
                    await self._commands.ask(protocol.stop())
                    await self._until_mode_changes(mode)
                case _:
                    await anyio.sleep(MODE_POLL_S)  # it is still starting

    async def _robot_mode(self) -> int:
        answer = await self._commands.exchange(protocol.robot_mode(), COMMAND_TIMEOUT_S)
        if isinstance(answer, NotTcpMode):
            try:
                await self._commands.ask(protocol.request_control())
            except ArmRefused as refused:
                raise ArmRefused(f"{NOT_TCP_MODE} ({refused})", refused.code) from refused
            answer = await self._commands.ask(protocol.robot_mode())
        mode = answer.integer()
        if not answer.ok or mode is None:
            raise ArmProtocolError(f"RobotMode answered {answer}")
        return mode

    async def _until_mode_changes(self, mode: int) -> None:
        """Until the controller reports another mode: the caller's deadline ends the wait."""
        while True:
            await anyio.sleep(MODE_POLL_S)
            if await self._robot_mode() != mode:
                return

    async def _clear(self, may_clear: MayClear) -> None:
        alarms = await self.alarms()
        words = protocol.alarms_text(alarms)
        await self._sight.new()
        if done.pressed(await self._sight.new()):  # the first may be from before a release
            raise ArmStopped(f"arm {self._name}: an emergency stop is pressed ({words})")
        pressed = bool(protocol.EMERGENCY_STOP_ALARMS.intersection(alarms))
        if may_clear == "nothing" or (pressed and may_clear == "alarms"):
            raise ArmAlarm(f"arm {self._name}: {words}", alarms)
        await self._commands.ask(protocol.clear_error())
        await anyio.sleep(MODE_POLL_S)  # the mode follows a moment after the answer

    async def alarms(self) -> tuple[int, ...]:
        return (await self._commands.ask(protocol.get_error_id())).alarms()
