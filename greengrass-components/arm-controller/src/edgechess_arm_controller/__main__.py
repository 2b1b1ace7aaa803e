"""The arm controller as a process: real arms that nobody else moves, bus and journal of its configuration, SIGUSR1 as the
stop, and an end in order."""

from __future__ import annotations

import contextlib
import datetime
import signal
import sys
from pathlib import Path

import anyio

from edgechess_arm_controller.component import Controller
from edgechess_arm_controller.settings import ArmSettings, Settings
from edgechess_kit.component import Context
from edgechess_kit.entry import run_component
from edgechess_kit.errors import SettingsError
from edgechess_robots import calibration
from edgechess_robots.arm import Arm
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot.tcp import connect_tcp_to
from edgechess_robots.errors import ArmClaimed, CalibrationRefused
from edgechess_robots.layout import TableLayout
from edgechess_robots.registry import arm_kind


def build_arms(settings: Settings) -> dict[str, Arm]:
    """The drivers of the arms that the settings name, in their order. Raises SettingsError."""
    layout = settings.layout(tuple(arm.name for arm in settings.arms))
    return {arm.name: _open(arm, settings, layout) for arm in settings.arms}


def _open(arm: ArmSettings, settings: Settings, layout: TableLayout) -> Arm:
    try:
        connect = connect_tcp_to(arm.host, arm.port_offset, settings.live)
        return arm_kind(arm.kind).open(arm.name, connect, settings.driver(arm), _calibration(arm, layout))
    except (ValueError, CalibrationRefused, OSError) as error:
        raise SettingsError(f"arm-controller.arms, arm {arm.name}: {error}") from error


def _calibration(arm: ArmSettings, layout: TableLayout) -> Calibration:
    if arm.calibration:
        return calibration.load(Path(arm.calibration).expanduser(), arm_serial=arm.serial or None)
    # no date of a measurement: nobody touched the board
    return calibration.nominal(layout.site(arm.name).base, arm_serial=arm.name, date=datetime.date.min)


async def main(context: Context[Settings]) -> None:
    """Serves until cancelled, and then brings home what is out (`Controller.end`). SIGUSR1 stops every arm without asking
    the broker. Raises SettingsError at the start, also where another process moves one of these arms."""
    settings = context.settings
    arms = build_arms(settings)
    with contextlib.ExitStack() as claims:
        for arm in settings.arms:
            try:
                claims.enter_context(arm.claimed("the arm controller"))
            except (ArmClaimed, OSError) as error:
                raise SettingsError(f"arm-controller.arms: {error}") from error
        await _serve(context, Controller(context, arms))


async def _serve(context: Context[Settings], controller: Controller) -> None:
    serving = anyio.CancelScope(shield=True)

    async def serve() -> None:
        with serving:
            async with anyio.create_task_group() as group:
                with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
                    await group.start(controller.run, name="arm-controller")
                    async for _ in signals:
                        controller.stop("signal SIGUSR1")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, name="arm-controller service")
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await controller.end(context.hurried)
            serving.cancel()


if __name__ == "__main__":
    sys.exit(run_component("arm-controller", Settings, main))
