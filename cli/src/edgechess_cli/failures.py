"""What can end a table with real processes, told as one line and not as a traceback."""

from __future__ import annotations

from edgechess_cli.child_process import ComponentDied
from edgechess_kit.errors import KitError
from edgechess_robots.errors import CalibrationRefused, RobotError
from edgechess_twin.errors import TwinError

FAILURES = (KitError, ComponentDied, TwinError, RobotError, CalibrationRefused, TimeoutError, OSError)


def told(error: BaseException) -> str:
    """The first of a group's errors, as text: it ended the table, the others followed from it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
