"""The gripper steps of a plan: opened, closed on a piece, felt; what fails there ends the execution."""

from __future__ import annotations

from edgechess_robots.arm import Close, Open, Step, Verify
from edgechess_robots.conduct import Conduct, Ending, Interrupted, Progress
from edgechess_robots.dobot.gripper import Gripper
from edgechess_robots.dobot.gripper_protocol import GripState
from edgechess_robots.dobot.settings import DobotSettings
from edgechess_robots.dobot.sight import Sight
from edgechess_robots.errors import ArmRefused


class Fingers:
    def __init__(self, settings: DobotSettings, conduct: Conduct, sight: Sight) -> None:
        self._settings = settings
        self._conduct = conduct
        self._sight = sight

    async def begin_opening(self, step: Open, progress: Progress) -> Open:
        self._conduct.unless_interrupted()
        progress.sent = True
        try:
            await self._gripper().begin(step.width_mm)
        except ArmRefused as refused:
            raise Interrupted("gripper", str(refused)) from refused
        return step

    async def finish_opening(self, step: Open, progress: Progress) -> None:
        try:
            await self._gripper().opened(step.width_mm)
        except ArmRefused as refused:
            raise Interrupted("gripper", str(refused)) from refused
        self._conduct.let_go()
        self._conduct.unless_interrupted()
        progress.completed += 1

    async def grip(self, step: Step, progress: Progress) -> Ending | None:
        """One gripper step. Returns code and reason when it ends the plan."""
        self._conduct.unless_interrupted()
        progress.sent = True
        try:
            return await self._use(step, progress)
        except ArmRefused as refused:
            raise Interrupted("gripper", str(refused)) from refused

    async def _use(self, step: Step, progress: Progress) -> Ending | None:
        gripper, conduct = self._gripper(), self._conduct
        match step:
            case Open():
                await gripper.open(step.width_mm)
                conduct.let_go()
                conduct.unless_interrupted()
                return None
            case Close() | Verify():
                reading = await (gripper.close(step.width_mm) if isinstance(step, Close) else gripper.read())
                width_mm = self._settings.fingers.width_mm(reading.position)
                return conduct.felt(step, reading.grip == GripState.CAUGHT, width_mm, progress)
            case _:
                raise ValueError(f"{step} is no gripper step")

    def _gripper(self) -> Gripper:
        """Raises ArmLost."""
        gripper = self._sight.linked().gripper
        assert gripper is not None, "nothing is executed before the arm was made ready on this link"
        return gripper
