"""The room's errors, named by whose fault they are. One root: `RobotError`."""

from __future__ import annotations


class RobotError(Exception):
    """Root of every error that an arm raises."""


class ArmLost(RobotError):
    """The link is down or its state is stale. What the arm is doing is not known."""


class ArmProtocolError(RobotError):
    """The peer broke its protocol (or is not the controller that the settings say)."""


class ArmRefused(RobotError):
    """The controller refused a command. `code` is its own number, where it has one."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class ArmAlarm(RobotError):
    """The controller is in an error state. `codes` are its own alarm numbers."""

    def __init__(self, reason: str, codes: tuple[int, ...] = ()) -> None:
        super().__init__(reason)
        self.codes = codes


class ArmStopped(RobotError):
    """A stop is in force (ours, or the emergency stop). Nothing moves until `recover`."""


class PlanRefused(RobotError):
    """We refused the plan before anything moved. The text says which motion, and which limit or object is in the way.

    `code` is one of "unreachable", "limits", "clearance", "empty", "stale-token".
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class CalibrationRefused(RobotError):
    """The touched points do not fit the board: too few, mirrored, wrong scale, or residual too large. Says which."""


class ArmClaimed(RobotError):
    """Another process of this machine moves that arm. The text says which."""
