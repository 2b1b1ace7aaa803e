"""What is only seen when the drivers are built is a matter of settings, too: one sentence, no traceback, exit code 2."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from edgechess_arm_controller.__main__ import main
from edgechess_arm_controller.settings import ArmSettings, Settings
from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.errors import SettingsError
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.topics import Topics

pytestmark = pytest.mark.anyio

ARM = ArmSettings(name="white")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(arms=(ArmSettings(name="white", calibration="FOLDER/none.toml"),)), r"arm white: .*none\.toml"),
        (Settings(arms=(ARM,), set_file="FOLDER/none.toml"), r"arm-controller: .*none\.toml"),
        (Settings(arms=(ARM,), set_file="FOLDER"), "arm-controller: "),
        (
            Settings(arms=(ARM,), set_file="club-50", square_mm=55.0),
            "arm-controller: square_mm is 55, but the set club-50 is made for squares of 50 mm: leave square_mm out",
        ),
    ],
)
async def test_what_cannot_be_built_is_a_settings_error(settings: Settings, said: str, tmp_path: Path) -> None:
    settings = _in(tmp_path, settings)
    topics, clock = Topics(), VirtualClock()
    bus = MemoryBroker(topics).client("arm-controller")
    journal = SqliteJournal(":memory:", clock)
    context = Context("arm-controller", settings, bus, topics, journal, clock, SeededIds(1))
    with pytest.raises(SettingsError, match=said), anyio.fail_after(1):
        await main(context)


def _in(folder: Path, settings: Settings) -> Settings:
    arm = settings.arms[0]
    return Settings(
        arms=(ArmSettings(name=arm.name, calibration=arm.calibration.replace("FOLDER", str(folder))),),
        set_file=settings.set_file.replace("FOLDER", str(folder)),
        square_mm=settings.square_mm,
    )


def test_squares_are_those_of_the_set() -> None:
    def square_mm(settings: Settings) -> float:
        return settings.layout(("white",)).square_mm

    assert square_mm(Settings()) == 55.0
    assert square_mm(Settings(square_mm=58.0)) == 58.0  # nothing was said of the pieces
    assert square_mm(Settings(set_file="club-50")) == 50.0
    assert square_mm(Settings(set_file="club-50", square_mm=50.0)) == 50.0
