"""Asking a Dobot's controller for something, and hearing what it says to it."""

from __future__ import annotations

import anyio

from edgechess_robots.dobot import protocol
from edgechess_robots.dobot.protocol import Command, NotTcpMode, Reply
from edgechess_robots.dobot.sight import Sight
from edgechess_robots.errors import ArmLost, ArmRefused

COMMAND_TIMEOUT_S = 2.0  # immediate commands answer in milliseconds; a busy controller was seen to take one second
NOT_TCP_MODE = (
    "the controller is not in TCP mode: choose TCP/IP control in its app, or disable the arm there, so that it lets itself"
    " be switched over"
)


class Commands:
    """On the link that is up. A command that is not answered ends it."""

    def __init__(self, sight: Sight) -> None:
        self.unstopped = False
        """A motion was commanded, and neither its end nor an answered Stop was seen; on whatever link."""
        self._sight = sight

    async def ask(self, command: Command, timeout_s: float = COMMAND_TIMEOUT_S) -> Reply:
        """Raises ArmLost, ArmProtocolError, ArmStopped, ArmRefused (with the controller's error id)."""
        answer = await self.exchange(command, timeout_s)
        if isinstance(answer, NotTcpMode):
            raise ArmRefused(f"{command.name}: {NOT_TCP_MODE}")
        if not answer.ok:
            raise ArmRefused(f"{command.name}: {protocol.error_text(answer.error_id)}", answer.error_id)
        return answer

    async def exchange(self, command: Command, timeout_s: float) -> Reply | NotTcpMode:
        link = self._sight.linked().link
        pending = link.submit(command)
        try:
            with anyio.fail_after(timeout_s):
                return await pending.wait()
        except TimeoutError:
            # What the controller did with it is unknown, and a late reply would be taken for the next one's.
            link.fail(ArmLost(f"{command.name} was not answered within {timeout_s:.0f} s"))
            raise ArmLost(f"{command.name} was not answered within {timeout_s:.0f} s") from None
        finally:
            pending.withdrawn = True
