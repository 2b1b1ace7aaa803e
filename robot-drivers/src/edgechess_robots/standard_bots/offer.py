"""Which motions a release of the robot's software has, as far as its name tells. Pure."""

from __future__ import annotations

import re

CONTROLLED_SINCE = (2025, 8, 1)
"""The first release whose client has controlled motions and their heartbeat (reference, "SDK drift"). Those between it and
the last without, of 2024-10, have to be asked."""

_BUILD = re.compile(r"release/(\d{4})\.(\d{1,2})\.(\d{1,2})(?:\D|$)")


def promises_heart(build: str) -> bool:
    """Whether `health.build.name` names a release that is known to have controlled motions."""
    found = _BUILD.search(build)
    return found is not None and tuple(int(part) for part in found.groups()) >= CONTROLLED_SINCE
