"""What belongs to one link to a Dobot, and is thrown away with it."""

from __future__ import annotations

import dataclasses

from edgechess_robots.dobot.gripper import Gripper
from edgechess_robots.dobot.link import CommandLink


@dataclasses.dataclass(slots=True, eq=False)
class Session:
    link: CommandLink
    gripper: Gripper | None = None
    """None: the arm was not made ready on this link."""
