"""`python -m edgechess_game_manager --config FILE.toml`: the game manager as a process."""

from __future__ import annotations

import os
import sys

from edgechess_game_manager.component import run
from edgechess_game_manager.settings import Settings
from edgechess_kit.component import Context
from edgechess_kit.entry import run_component
from edgechess_kit.shadow import open_shadow


async def main(context: Context[Settings]) -> None:
    """Under a nucleus the shadow is the core's; elsewhere it is on the bus where a thing is named, else in memory."""
    name = context.settings.core_device_main_named_shadow
    thing = os.environ.get("AWS_IOT_THING_NAME", "")
    await run(
        context,
        context.host.shadow(name) or open_shadow(context.bus, context.ids, thing_name=thing, shadow_name=name),
    )


if __name__ == "__main__":
    sys.exit(run_component("game-manager", Settings, main))
