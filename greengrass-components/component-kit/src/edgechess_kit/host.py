"""Whoever runs this process: a Greengrass nucleus, or nobody in particular."""

from __future__ import annotations

from typing import Literal, Protocol

from edgechess_kit.shadow import Shadow

Status = Literal["starting", "ready", "degraded", "stopping", "stopped", "lost"]


class Host(Protocol):
    """What a component and its host say to each other, besides messages. Nothing here waits."""

    def heard(self, status: Status) -> None:
        """The component's health has changed."""

    @property
    def trouble(self) -> str | None:
        """Why messages may be missing now, in one sentence; None when all is well. Health is then "degraded"."""

    def shadow(self, name: str) -> Shadow | None:
        """A named shadow of this core device; None where there is none."""


class NoHost:
    """A process on a laptop."""

    trouble: str | None = None

    def heard(self, status: Status) -> None:
        return

    def shadow(self, name: str) -> Shadow | None:
        return None
