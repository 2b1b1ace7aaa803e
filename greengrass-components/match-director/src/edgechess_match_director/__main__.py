"""`python -m edgechess_match_director --config FILE`: the director as a process of its own, on MQTT."""

from __future__ import annotations

import sys

from edgechess_kit.entry import run_component
from edgechess_match_director.component import run
from edgechess_match_director.settings import Settings


def main() -> int:
    """The exit code: 0 after a clean end, 2 for settings that cannot be."""
    return run_component("match-director", Settings, run)


if __name__ == "__main__":
    sys.exit(main())
