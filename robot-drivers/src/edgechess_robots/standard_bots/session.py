"""What belongs to one link to an RO1, and is thrown away with it."""

from __future__ import annotations

import dataclasses

from edgechess_robots.standard_bots.client import Client
from edgechess_robots.standard_bots.grippers import Gripper


@dataclasses.dataclass(slots=True, eq=False)
class Session:
    client: Client
    gripper: Gripper | None = None
    """None: the arm was not made ready on this link."""
    controlled: bool | None = None
    """The robot has motions that end when beats stay away; found out before anything moves, and None until then."""
