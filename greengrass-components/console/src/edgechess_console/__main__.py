"""`python -m edgechess_console --config FILE`: the console as a process of its own."""

from __future__ import annotations

import sys

from edgechess_console.component import run
from edgechess_console.settings import Settings
from edgechess_kit.entry import run_component


def main() -> int:
    """The exit code: 0 after a clean end, 2 for settings that cannot be."""
    return run_component("console", Settings, run)


if __name__ == "__main__":
    sys.exit(main())
