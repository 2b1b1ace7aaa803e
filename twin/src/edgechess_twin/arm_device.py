"""What a table asks of an arm, whoever made it."""

from __future__ import annotations

from typing import Literal, Protocol

from anyio.abc import ByteStream

from edgechess_twin.arm_model import Joints, Point3

Kind = Literal["dobot", "ro1"]


class ArmBrain(Protocol):
    """As much of a controller as people who look at it can see."""

    @property
    def emergency(self) -> bool:
        """The emergency stop is pressed."""
        ...

    @property
    def enabled(self) -> bool:
        """It could move."""
        ...

    def joints(self) -> Joints:
        """Commanded joints now, degrees."""
        ...


class ArmDevice(Protocol):
    """One controller and its arm, at one site of the table."""

    name: str

    @property
    def controller(self) -> ArmBrain: ...

    async def run(self) -> None:
        """The arm lives, until cancelled."""
        ...

    async def serve(self, port: int, stream: ByteStream) -> None:
        """Speaks on one connection until it closes. Raises ValueError for a port that the controller does not have."""
        ...

    def press_estop(self) -> None: ...

    def release_estop(self) -> None: ...

    def collide(self) -> None:
        """The arm runs into something that it feels."""
        ...

    async def guide(self, point_mm: Point3) -> None:
        """A person drags the true fingertip to a point of the board frame. Raises TwinError."""
        ...
