"""Which arm a command means: one of a configuration file, of a running twin, or at an address; and its driver."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio

from edgechess_arm_controller.settings import ArmSettings, Settings
from edgechess_cli.calibrate import GuidedArm
from edgechess_kit.errors import SettingsError
from edgechess_kit.settings import load
from edgechess_robots.arm import Arm
from edgechess_robots.calibration import Calibration
from edgechess_robots.dobot.tcp import connect_tcp_to
from edgechess_robots.errors import ArmLost
from edgechess_robots.registry import arm_kind
from edgechess_twin.control import ControlClient, find_running

HINT = "is anything else connected to this controller, or does another machine have that address?"
TWIN_STALE_S = 1.0  # a twin shares its cores with whatever else runs; a real controller's 0.1 s would be a false alarm


@dataclasses.dataclass(frozen=True, slots=True)
class ArmChoice:
    """One arm of `settings`. `control`: the control socket of the twin that it belongs to, None for other arms."""

    settings: Settings
    name: str
    control: str | None = None

    @property
    def arm(self) -> ArmSettings:
        return next(arm for arm in self.settings.arms if arm.name == self.name)

    @property
    def calibration_file(self) -> Path:
        return Path(self.arm.calibration or f"calibration-{self.name}.toml").expanduser()

    @property
    def serial(self) -> str:
        return self.arm.serial or self.name

    def open(self, calibration: Calibration | None) -> GuidedArm:
        """The driver, not connected yet. Raises SettingsError."""
        arm = self.arm
        try:
            connect = connect_tcp_to(arm.host, arm.port_offset, self.settings.live)
            opened: Arm = arm_kind(arm.kind).open(arm.name, connect, self.settings.driver(arm), calibration)
        except (ValueError, OSError) as error:
            raise SettingsError(f"arm {arm.name}: {error}") from error
        if not isinstance(opened, GuidedArm):
            raise SettingsError(
                f"arm {arm.name}: a {arm.kind} measures no fingertips, so it cannot be calibrated by hand"
            )
        return opened


def from_file(path: Path, name: str) -> ArmChoice:
    """Raises SettingsError naming the file, and the arms that are in it."""
    settings = load(Settings, section="arm-controller", file=path, env=os.environ)
    return _named(settings, name, str(path))


def at_address(host: str, name: str, kind: str, options: dict[str, Any], *, live: bool, out: Path | None) -> ArmChoice:
    """Raises SettingsError."""
    try:
        calibration = str(out) if out is not None else f"calibration-{name}.toml"
        arm = ArmSettings(name=name, kind=kind, host=host, calibration=calibration, options=options)
        settings = Settings(arms=(arm,), live=live, racks={})
    except ValueError as error:
        raise SettingsError(str(error).replace("set live = true", "say --live")) from error
    return ArmChoice(settings, name)


async def of_the_twin(name: str, folder: Path) -> ArmChoice:
    """An arm of the twin that runs; its calibration lies in `folder`, a token beside the twin's own papers. Raises
    TwinError, SettingsError or OSError."""
    control = find_running()
    async with ControlClient(control) as client:
        status = await client.status()
    addresses = status["devices"]["arm_addresses"]
    tokens = Path(control).parent
    arms = tuple(twin_arm(arm, address, folder, tokens) for arm, address in addresses.items())
    return dataclasses.replace(_named(Settings(arms=arms), name, "the twin"), control=control)


def twin_arm(name: str, address: dict[str, Any], folder: Path, tokens: Path | None = None) -> ArmSettings:
    """Settings of one arm of a served twin. `address` as `edgechess twin --json` prints it; its token is written into
    `tokens`, by default `folder`. Raises OSError."""
    calibration = str(folder / f"calibration-{name}.toml")
    ports = {int(vendor): int(used) for vendor, used in address["ports"].items()}
    vendor, used = next(iter(ports.items()))
    if address["kind"] != "ro1":
        return ArmSettings(
            name=name, host=address["host"], port_offset=used - vendor, stale_after_s=TWIN_STALE_S, calibration=calibration
        )  # fmt: skip
    token = (tokens or folder) / f"token-{name}"
    token.touch(mode=0o600)
    token.write_text(str(address["token"]), encoding="utf-8")
    options = {"robot_kind": "simulated", "token_file": str(token)}
    return ArmSettings(
        name=name, kind="ro1", host=address["host"], port_offset=used - vendor, calibration=calibration, options=options
    )  # fmt: skip


@contextlib.asynccontextmanager
async def linked(arm: Arm) -> AsyncIterator[None]:
    """The arm is served as long as the block. Raises RobotError: `ensure_ready` says what is wrong with the link."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(arm.run, name=f"arm {arm.name}")
        try:
            try:
                await arm.ensure_ready()  # with deadlines of its own
            except ArmLost as lost:
                if "closed" not in str(lost):
                    raise
                raise ArmLost(f"{lost}: {HINT}") from lost
            yield
        finally:
            tasks.cancel_scope.cancel()


def _named(settings: Settings, name: str, where: str) -> ArmChoice:
    names = [arm.name for arm in settings.arms]
    if name not in names:
        raise SettingsError(f"{where} has no arm {name!r}; there are {', '.join(names)}")
    return ArmChoice(settings, name)
