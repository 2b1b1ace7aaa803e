"""What the process adds: settings that are refused early, and the stop by signal."""

from __future__ import annotations

import datetime
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgechess_arm_controller.__main__ import build_arms, main
from edgechess_arm_controller.settings import ArmSettings, Settings
from edgechess_kit.clock import RandomIds, SystemClock
from edgechess_kit.component import Context
from edgechess_kit.errors import SettingsError
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.settings import load
from edgechess_kit.topics import Topics
from edgechess_robots import calibration
from edgechess_robots.dobot.settings import DobotSettings


def calibration_file(folder: Path, serial: str) -> Path:
    path = folder / "white.toml"
    base = Settings().layout(("white",)).site("white").base
    calibration.save(calibration.nominal(base, arm_serial=serial, date=datetime.date(2024, 1, 1)), path)
    return path


def test_an_arm_beyond_this_machine_needs_the_word_live() -> None:
    with pytest.raises(ValueError, match="live = true"):
        Settings(arms=(ArmSettings(name="white", host="192.0.2.1"),))


def test_an_arm_beyond_this_machine_needs_a_calibration(tmp_path: Path) -> None:
    file = calibration_file(tmp_path, "CR10A-0042")
    arm = ArmSettings(name="white", host="192.0.2.1", calibration=str(file))
    assert list(build_arms(Settings(arms=(arm,), live=True))) == ["white"]
    with pytest.raises(ValueError, match=r"no calibration: .* calibration = FILE"):
        Settings(arms=(ArmSettings(name="white", host="192.0.2.1"),), live=True)
    with pytest.raises(SettingsError, match=r"arm white at 192\.0\.2\.1 has no calibration"):
        load(
            Settings,
            section="arm-controller",
            env={},
            flags={"live": "true", "arms": '[{"name":"white","host":"192.0.2.1"}]'},
        )


def test_a_calibration_of_another_arm_is_refused(tmp_path: Path) -> None:
    file = calibration_file(tmp_path, "CR10A-0042")

    def arm(serial: str) -> Settings:
        return Settings(arms=(ArmSettings(name="white", calibration=str(file), serial=serial),))

    assert list(build_arms(arm("CR10A-0042"))) == ["white"]
    with pytest.raises(SettingsError, match="'CR10A-0042', not 'CR10A-0043'"):
        build_arms(arm("CR10A-0043"))


def test_tool_and_gripper_of_an_arm_are_told_to_its_driver(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(
        """
        [[arm-controller.arms]]
        name = "white"
        tool_length_mm = 196.5
        tool_yaw_deg = 45
        load_kg = 1.2
        park_joints_deg = [-90, 10, -120, 20, 90, 0]
        gripper_open_is_high = false
        gripper_stroke_mm = 80
        gripper_force_percent = 50
        """
    )
    settings = load(Settings, section="arm-controller", file=file, env={}, flags={})
    driver = settings.driver(settings.arms[0])
    assert (driver.tool_length_mm, driver.tool_yaw_deg, driver.load_kg) == (196.5, 45.0, 1.2)
    assert driver.park_joints_deg == (-90.0, 10.0, -120.0, 20.0, 90.0, 0.0)
    assert (driver.fingers.position(80.0), driver.fingers.position(0.0)) == (0, 1000)
    assert driver.gripper_force_percent == 50


def test_what_is_not_set_of_an_arm_is_as_the_driver_has_it() -> None:
    settings = Settings()
    assert settings.driver(settings.arms[0]) == DobotSettings(max_tool_speed_mm_s=settings.speed_mm_s)


@pytest.mark.parametrize(
    "wrong", ["gripper_force_percent = 5", "park_joints_deg = [0, 0, 0]", "tool_length_mm = -1", "load_kg = 40"]
)
def test_a_tool_that_cannot_be_is_refused(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(f'[[arm-controller.arms]]\nname = "white"\n{wrong}\n')
    with pytest.raises(SettingsError, match=wrong.split(" ")[0]):
        load(Settings, section="arm-controller", file=file, env={}, flags={})


def test_arms_need_different_names() -> None:
    with pytest.raises(ValueError, match="different"):
        Settings(arms=(ArmSettings(name="white"), ArmSettings(name="white")))


def test_a_missing_calibration_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "white.toml"
    with pytest.raises(SettingsError, match=r"white\.toml"):
        build_arms(Settings(arms=(ArmSettings(name="white", calibration=str(missing)),)))


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(
        '[arm-controller]\narms = [{name = "white", host = "127.0.0.2", feedback_port = 30005}]\nracks = {white = "QN"}\n'
    )
    settings = load(Settings, section="arm-controller", file=file, env={})
    assert settings.arms[0].feedback_port == 30005
    assert settings.layout(("white",)).site("white").rack


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_sigusr1_stops_every_arm(anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where these arms are claimed: other tests have such too
    broker, clock = MemoryBroker(), SystemClock()
    journal = SqliteJournal(":memory:", clock)
    context: Context[Any] = Context(
        "arm-controller", Settings(), broker.client("arm-controller"), Topics(), journal, clock, RandomIds()
    )
    async with anyio.create_task_group() as group, broker.client("test").subscribe(context.topics.arm_state) as states:
        group.start_soon(main, context)
        await anext(states)
        os.kill(os.getpid(), signal.SIGUSR1)
        with anyio.fail_after(5):
            async for delivery in states:
                if delivery.decode(context.topics.arm_state).stopped:
                    break
        group.cancel_scope.cancel()
    entry = journal.last(kind="stopped")
    assert entry is not None
    assert entry.data == {"reason": "signal SIGUSR1"}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_arm_that_another_process_moves_is_not_taken(
    anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clock = SystemClock()
    journal = SqliteJournal(":memory:", clock)
    settings = Settings()
    context: Context[Any] = Context(
        "arm-controller", settings, MemoryBroker().client("arm-controller"), Topics(), journal, clock, RandomIds()
    )
    words = r"arm black at 127\.0\.0\.2:29999 is held by edgechess arm calibrate \(process \d+\): .*end that first"
    with settings.arms[1].claimed("edgechess arm calibrate"), pytest.raises(SettingsError, match=words):
        await main(context)
    with settings.arms[0].claimed("somebody"):
        pass  # the first one, which it had claimed already, is free again


def ro1(**more: object) -> ArmSettings:
    return ArmSettings(name="black", kind="ro1", options={"robot_kind": "simulated", **more})


def test_any_installed_kind_of_arm_is_opened_with_its_own_options(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("T0KEN\n")
    file = tmp_path / "edge.toml"
    file.write_text(
        f"""
        [[arm-controller.arms]]
        name = "white"
        feedback_port = 30005
        [[arm-controller.arms]]
        name = "black"
        kind = "ro1"
        tool_length_mm = 200
        options = {{ robot_kind = "simulated", token_file = "{token}", poll_s = 0.5 }}
        """
    )
    settings = load(Settings, section="arm-controller", file=file, env={}, flags={})
    assert [arm.kind for arm in build_arms(settings).values()] == ["dobot", "ro1"]
    options = settings.driver(settings.arms[1])
    assert (options.host, options.live, options.tool_length_mm, options.poll_s) == ("127.0.0.1", False, 200.0, 0.5)
    assert options.max_tool_speed_mm_s == settings.speed_mm_s


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (ArmSettings(name="black", kind="ur5"), r"arm black: there is no arm of kind 'ur5'; there are dobot, ro1"),
        (ArmSettings(name="black", kind="ro1"), "arm black: ro1 arm: option robot_kind is missing"),
        (ro1(robot_kind="live"), "a real arm would move; set live = true"),
        (ro1(feedback_port=30004), "there is no option feedback_port"),
        (ro1(stale_s="soon"), "option stale_s: Expected `float`"),
        (ro1(tool_length_mm=0.18), "are these metres"),
        (ArmSettings(name="black", options={"load_kg": "much"}), "option load_kg: Expected `float"),
        (ArmSettings(name="black", load_kg=1.0, options={"load_kg": 2.0}), "option load_kg is a setting of its own"),
    ],
)
def test_options_that_cannot_be_are_named(arm: ArmSettings, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(arms=(arm,))


def test_a_token_stands_in_a_file_and_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="arm black: option token_file is missing: the robot's app shows a token"):
        build_arms(Settings(arms=(ro1(),)))
    with pytest.raises(SettingsError, match=r"token_file: .*nowhere cannot be read: No such file"):
        build_arms(Settings(arms=(ro1(token_file=str(tmp_path / "nowhere")),)))
    (tmp_path / "token").write_text("two words")
    with pytest.raises(SettingsError, match="token is empty or holds characters") as caught:
        build_arms(Settings(arms=(ro1(token_file=str(tmp_path / "token")),)))
    assert "two words" not in str(caught.value)
