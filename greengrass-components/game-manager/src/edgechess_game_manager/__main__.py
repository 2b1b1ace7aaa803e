"""`python -m edgechess_game_manager --config FILE.toml`: the game manager as a process."""

from __future__ import annotations

import sys

from edgechess_kit.entry import run_component

from edgechess_game_manager.component import run
from edgechess_game_manager.settings import Settings

if __name__ == "__main__":
    sys.exit(run_component("game-manager", Settings, run))
