"""The kind "ro1" of the registry of arms."""

from __future__ import annotations

from pathlib import Path

from edgechess_robots.calibration import Calibration
from edgechess_robots.kinematics import RO1 as CHAIN
from edgechess_robots.registry import ArmKind, ArmLimits, Capabilities, Connect
from edgechess_robots.standard_bots.api_protocol import PORT, TUNNEL_PORT
from edgechess_robots.standard_bots.client import Token
from edgechess_robots.standard_bots.driver import StandardBotsArm
from edgechess_robots.standard_bots.settings import FACTORY_SPEED_MM_S, StandardBotsSettings


def _open(
    name: str, connect: Connect, options: StandardBotsSettings, calibration: Calibration | None
) -> StandardBotsArm:
    return StandardBotsArm(name, connect, options, _token(options), calibration)


def _token(options: StandardBotsSettings) -> Token:
    """Raises ValueError naming the file."""
    if not options.token_file:
        raise ValueError(
            "option token_file is missing: the robot's app shows a token under Settings, Configure Developer API; write it"
            " into a file that only you can read, and name the file"
        )
    path = Path(options.token_file).expanduser()
    try:
        return Token(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise ValueError(f"option token_file: {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"option token_file: {path}: {error}") from None  # which may quote the token


RO1 = ArmKind(
    name="ro1",
    title="Standard Bots RO1",
    ports=(PORT, TUNNEL_PORT),
    capabilities=Capabilities(rounds_corners=False, feels_grasp=True, dead_man="by release", guided_by_request=False),
    limits=ArmLimits(
        reach_mm=CHAIN.reach_mm,
        payload_kg=18.0,  # secondary sources (reference "standard-bots-ro1", limits)
        joints_deg=CHAIN.limits_deg,
        joint_speeds_deg_s=CHAIN.speeds_deg_s,
        tool_speed_mm_s=FACTORY_SPEED_MM_S,
    ),
    options=StandardBotsSettings,
    open=_open,
)
