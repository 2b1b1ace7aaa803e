"""The seeded person at the software table, as an agent on the bus: moves when asked to, puts right what went wrong.

It sees what a person would see (the manager's answer with its squares, the session's request, the arms' state) and
touches the table only through the twin's hand.
"""

from __future__ import annotations

from typing import Protocol

import anyio
import chess

from edgechess_kit import messages as m
from edgechess_kit.bus import Bus, Delivery
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topics

REACTION_S = 2.0  # reading the message and reaching over the table
PUTS_RIGHT = ("before-mismatch", "deadline")  # codes after which the table may stand wrong although nothing moved now


class Hand(Protocol):
    """What the agent needs of the twin's person (in process, or over the control socket)."""

    async def play(self, uci: str, before_fen: str) -> None: ...
    async def arrange(self, placement_fen: str) -> None: ...
    async def take_from(self, arm: str) -> None: ...


class PersonAgent:
    """Serves one table. `reaction_s` is scaled by whoever speeds the motion."""

    def __init__(self, bus: Bus, topics: Topics, hand: Hand, reaction_s: float = REACTION_S) -> None:
        self._bus = bus
        self._topics = topics
        self._hand = hand
        self._reaction_s = reaction_s
        self._played: set[tuple[str | None, int, str]] = set()
        self._session = m.SessionState(status="idle")
        self._arms: m.ArmState | None = None
        self.arranged = 0

    async def run(self) -> None:
        """Until cancelled. One act at a time: a person has one mind."""
        t = self._topics
        async with self._bus.subscribe(t.session_state, t.cloud_response, t.arm_state) as deliveries:
            async for delivery in deliveries:
                try:
                    await self._serve(delivery)
                except WireError:
                    continue  # a message that is none of ours to judge

    async def _serve(self, delivery: Delivery) -> None:
        t = self._topics
        if delivery.topic == t.session_state.name:
            self._session = delivery.decode(t.session_state)
            await self._play_if_asked(self._session)
        elif delivery.topic == t.cloud_response.name:
            await self._put_right(delivery.decode(t.cloud_response))
        elif delivery.topic == t.arm_state.name:
            self._arms = delivery.decode(t.arm_state)
            await self._free_the_arms(self._arms)

    async def _play_if_asked(self, session: m.SessionState) -> None:
        if session.expecting != "person" or session.lan is None or session.fen is None:
            return
        asked = (session.session_id, session.ply, session.lan)
        if asked in self._played:
            return
        self._played.add(asked)
        await anyio.sleep(self._reaction_s)
        board = chess.Board(session.fen)
        board.push_uci(session.lan)
        await self._hand.play(session.lan, session.fen)
        await self._hand.arrange(board.board_fen())  # a glance at the table: everything stands where it should

    async def _put_right(self, response: m.GameResponse) -> None:
        """After a failure, complete what the manager expected, unless the table was never touched."""
        detail = response.detail
        if response.status != 500 or detail is None or detail.expected is None or detail.code == "unchanged":
            return
        await anyio.sleep(self._reaction_s)
        await self._hand.arrange(detail.expected)
        self.arranged += 1
        if self._arms is not None:
            await self._free_the_arms(self._arms)

    async def _free_the_arms(self, arms: m.ArmState) -> None:
        """A stopped or faulty arm, or one that still holds a piece, waits for a person's word."""
        if arms.job_id is not None or not needs_a_person(arms):
            return
        await anyio.sleep(self._reaction_s)
        for arm in arms.arms:
            if arm.holding is not None:
                await self._hand.take_from(arm.name)
        await self._bus.publish(
            self._topics.arm_control, m.ArmControl(command="recover", confirmed_by="person at the twin")
        )


def needs_a_person(arms: m.ArmState) -> bool:
    return arms.stopped or any(arm.mode in ("stopped", "fault") or arm.holding is not None for arm in arms.arms)
