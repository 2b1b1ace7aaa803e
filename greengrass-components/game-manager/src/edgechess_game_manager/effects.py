"""What the manager wants done. Effects are carried out in their order; a `Write` is on the disk before the next one."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from edgechess_game_manager.events import TimerName
from edgechess_kit import messages as m
from edgechess_kit.journal import Draft


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """Journal entries that become durable together, with one commit, or not at all."""

    drafts: tuple[Draft, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class AskBoardStart:
    """On `devices/board/start`."""

    request: m.GameRequest


@dataclasses.dataclass(frozen=True, slots=True)
class AskBoard:
    """On `devices/board/validate`."""

    request: m.BoardValidateRequest


@dataclasses.dataclass(frozen=True, slots=True)
class GiveJob:
    """On `devices/arm/job`. May be given again and again: its id makes it one job."""

    job: m.ArmJob


@dataclasses.dataclass(frozen=True, slots=True)
class MoveSampleArm:
    """On `devices/arm/move`. Has no id, so it is given exactly once, and never after a restart."""

    request: m.GameRequest


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """On `cloud/response`."""

    response: m.GameResponse


@dataclasses.dataclass(frozen=True, slots=True)
class Desire:
    """Into the named shadow, where there is one: this request is under way."""

    request: m.GameRequest


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """Into the named shadow: this request has this answer."""

    request: m.GameRequest
    response: m.GameResponse


@dataclasses.dataclass(frozen=True, slots=True)
class StartTimer:
    """A `TimerFired(name)` after `after_s`. A timer of the same name that runs is replaced."""

    name: TimerName
    after_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class CancelTimer:
    name: TimerName


@dataclasses.dataclass(frozen=True, slots=True)
class CancelTimers:
    """All of them."""


Effect: TypeAlias = (
    Write
    | AskBoardStart
    | AskBoard
    | GiveJob
    | MoveSampleArm
    | Answer
    | Desire
    | Report
    | StartTimer
    | CancelTimer
    | CancelTimers
)
