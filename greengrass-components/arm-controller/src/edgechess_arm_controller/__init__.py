"""Choreography: every arm of a table, its zone lease, tray and rack."""

from edgechess_arm_controller.component import Controller, run
from edgechess_arm_controller.settings import ArmSettings, Settings

__all__ = ["ArmSettings", "Controller", "Settings", "run"]
