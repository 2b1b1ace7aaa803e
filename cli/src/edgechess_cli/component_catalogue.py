"""Which components there are, what each says and hears, and how it is set: what recipes and artifacts are made from.

One entry here is all that a new component needs: its recipe is written from it (`edgechess recipes write`), its
artifact built (`edgechess build`), its policies checked. A test compares `says` and `hears` with what the code does.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from typing import Any

import msgspec

from edgechess_kit.greengrass_configuration import OF_THE_KIT
from edgechess_kit.settings import BusSettings, JournalSettings, TransportSettings

NAME_PREFIX = "io.edgechess"
OF_EVERY_COMPONENT = ("status", "events")  # health, and the journal as a stream
FOR_TESTS = "chaos_"  # settings of the kit that no core device should ever see
KIT_SETTINGS: dict[str, type[msgspec.Struct]] = {
    "bus": BusSettings,
    "transport": TransportSettings,
    "journal": JournalSettings,
}
assert set(KIT_SETTINGS) == set(OF_THE_KIT)


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """One component. `says` and `hears` are names of `edgechess_kit.topics.Topics`, beside those of every component.

    `shadow`: the setting that names a shadow of the core device, if it mirrors to one. `requires`: what its artifact
    holds beyond its distribution's own requirements. `shutdown_s`: its time to end well.
    """

    short: str
    description: str
    says: tuple[str, ...]
    hears: tuple[str, ...]
    shadow: str = ""
    requires: tuple[str, ...] = ("edgechess-kit[greengrass]",)
    shutdown_s: int = 15

    @property
    def bus_name(self) -> str:
        """GameManager is game-manager on the bus, in settings and in journals."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", self.short).lower()

    @property
    def distribution(self) -> str:
        return f"edgechess-{self.bus_name}"

    @property
    def package(self) -> str:
        return self.distribution.replace("-", "_")

    def settings(self) -> type[msgspec.Struct]:
        """Imported when it is asked for: an arm's drivers take a second."""
        found: Any = importlib.import_module(f"{self.package}.settings").Settings
        kind: type[msgspec.Struct] = found
        return kind


CATALOGUE = (
    Room(
        "GameManager",
        "Three-phase validation of every move: board, arm, board. The only one who decides.",
        says=("cloud_response", "board_start", "board_validate", "arm_job", "arm_move", "session_state"),
        hears=(
            "cloud_request",
            "board_start_response",
            "board_validate_response",
            "board_processed",
            "board_state",
            "arm_job_result",
            "arm_move_response",
            "arm_state",
            "session_control",
        ),
        shadow="core_device_main_named_shadow",
    ),
    Room(
        "BoardSensor",
        "A DGT board on the bus: settled placements, validation, recognition of moves that people make.",
        says=("board_start_response", "board_validate_response", "board_processed", "board_state", "board_moved"),
        hears=("board_start", "board_validate", "session_state"),
    ),
    Room(
        "ArmController",
        "Every arm of one table: choreography, zone lease, tray and rack.",
        says=("arm_job_result", "arm_move_response", "arm_control_response", "arm_state"),
        hears=("arm_job", "arm_move", "arm_control", "session_state"),
        shutdown_s=60,  # a carry under way ends, the arms go up, park and are measured
    ),
    Room(
        "MatchDirector",
        "Plays a match when no cloud does: whose turn, ask the player, request the move, keep the record.",
        says=("cloud_request", "session_control", "session_control_response", "inference_request"),
        hears=(
            "cloud_response",
            "session_state",
            "session_control",
            "board_state",
            "board_moved",
            "arm_state",
            "inference_response",
        ),
    ),
    Room(
        "InferenceNode",
        "Players for any number of tables: streamed models and adapters, an engine behind them, every move in time.",
        says=("inference_response", "inference_control_response", "inference_status"),
        hears=("inference_request", "inference_control"),
        requires=("edgechess-kit[greengrass]", "edgechess-inference[onnx,s3,sign]"),
    ),
    Room(
        "Console",
        "The page an operator looks at: the table as believed and as felt, and the match to run from it.",
        says=("session_control", "arm_control", "cloud_request"),
        hears=(
            "session_state",
            "board_state",
            "arm_state",
            "cloud_response",
            "status",
            "events",
            "session_control_response",
            "arm_control_response",
            "inference_status",
        ),
    ),
)


def room_of(component: str) -> Room | None:
    """By the last part of its name, whatever the prefix."""
    return next((room for room in CATALOGUE if room.short == component.rpartition(".")[2]), None)


def camel(key: str) -> str:
    """How a setting is spelled in recipes."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), key)
