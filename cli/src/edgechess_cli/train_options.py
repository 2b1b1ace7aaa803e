"""What the verbs of `edgechess train` have in common: where to compute, and how to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgechess_training.policy.compute import Device

ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="Of the processor (default: all cores).")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
LicenceOption = Annotated[str, typer.Option("--licence", help="SPDX expression for the packed model.")]


def prepared(device: str, threads: int | None) -> Device:
    """Where to compute. Raises TrainingError, or ImportError without torch."""
    from edgechess_training.policy.compute import device_of

    return device_of(device, threads)


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask to stop at the next step; a second Ctrl-C ends the process at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
