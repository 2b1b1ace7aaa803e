"""The seeded person at the software table, as an agent on the bus: moves when asked to, puts right what went wrong.

It sees what a person would see (the manager's answer with its squares, the session's request, the arms' state) and
touches the table only through the twin's hand.
"""

from __future__ import annotations

import contextlib
from typing import Protocol

import anyio
import chess

from edgechess_board.placement import Placement
from edgechess_kit import messages as m
from edgechess_kit.bus import Bus, Delivery
from edgechess_kit.clock import Ids
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topics
from edgechess_twin.errors import TwinError

REACTION_S = 2.0  # reading the message and reaching over the table


class Hand(Protocol):
    """What the agent needs of the twin's person (in process, or over the control socket)."""

    async def play(self, uci: str, before_fen: str) -> None: ...
    async def arrange(self, placement_fen: str) -> None: ...
    async def take_from(self, arm: str) -> None: ...


class PersonAgent:
    """Serves one table: listens all the time, acts on what is true when the hand is there. `reaction_s` is scaled by
    whoever speeds the motion."""

    def __init__(self, bus: Bus, topics: Topics, hand: Hand, ids: Ids, reaction_s: float = REACTION_S) -> None:
        self._bus = bus
        self._topics = topics
        self._hand = hand
        self._ids = ids
        self._reaction_s = reaction_s
        self._session = m.SessionState(status="idle")
        self._arms: m.ArmState | None = None
        self._failure: m.ResponseDetail | None = None
        self._played: tuple[str | None, int, str] | None = None
        self._news = anyio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, name="person listens")
            while True:
                if not await self._act():
                    self._news = anyio.Event()
                    await self._news.wait()

    async def _listen(self) -> None:
        t = self._topics
        async with self._bus.subscribe(t.session_state, t.cloud_response, t.arm_state) as deliveries:
            async for delivery in deliveries:
                try:
                    self._hear(delivery)
                except WireError:
                    continue  # a message that is none of ours to judge
                self._news.set()

    def _hear(self, delivery: Delivery) -> None:
        t = self._topics
        if delivery.topic == t.session_state.name:
            self._session = delivery.decode(t.session_state)
        elif delivery.topic == t.arm_state.name:
            self._arms = delivery.decode(t.arm_state)
        elif delivery.topic == t.cloud_response.name:
            response = delivery.decode(t.cloud_response)
            self._failure = response.detail if response.status == 500 else None

    async def _act(self) -> bool:
        """One act, the most urgent first. False when there is nothing to do."""
        if self._arms is not None and self._wanted(self._arms):
            await self._free_the_arms()
        elif self._failure is not None and is_for_a_person(self._failure, self._session):
            await self._put_right()
        elif self._asked() not in (None, self._played):
            await self._play()
        else:
            return False
        return True

    def _wanted(self, arms: m.ArmState) -> bool:
        """Whether the arms wait for a person. Where one only holds a piece, nobody was told as long as a move is under way:
        the manager may let it put the piece down."""
        return arms.job_id is None and (
            halted(arms) or (self._session.phase is None and any(arm.holding is not None for arm in arms.arms))
        )

    def _asked(self) -> tuple[str | None, int, str] | None:
        session = self._session
        if session.expecting != "person" or session.lan is None or session.fen is None:
            return None
        return session.session_id, session.ply, session.lan

    async def _play(self) -> None:
        asked, session = self._asked(), self._session
        await anyio.sleep(self._reaction_s)
        if asked is None or self._asked() != asked:
            return
        self._played = asked
        assert session.fen is not None
        assert session.lan is not None
        board = chess.Board(session.fen)
        with contextlib.suppress(TwinError):  # it may have been made already: then there is nothing to take
            await self._hand.play(session.lan, session.fen)
        board.push_uci(session.lan)
        await self._hand.arrange(board.board_fen())  # a glance at the table: everything stands where it should

    async def _put_right(self) -> None:
        """After a failure, complete what the manager expected."""
        failure = self._failure
        await anyio.sleep(self._reaction_s)
        if failure is None or failure is not self._failure or failure.expected is None:
            return
        self._failure = None
        await self._hand.arrange(failure.expected)

    async def _free_the_arms(self) -> None:
        """Arms that were stopped, a faulty one, or one that still holds a piece, wait for a person's word."""
        await anyio.sleep(self._reaction_s)
        arms = self._arms
        if arms is None or not self._wanted(arms):
            return
        for arm in arms.arms:
            if arm.holding is not None:
                await self._hand.take_from(arm.name)
        self._arms = None  # judged again by what is measured after the recovery
        await self._bus.publish(
            self._topics.arm_control,
            m.ArmControl(command="recover", request_id=self._ids.new("recover"), confirmed_by="person at the twin"),
        )


def is_for_a_person(failure: m.ResponseDetail, session: m.SessionState) -> bool:
    """Something stands wrong. Where the board still shows what is confirmed, the director asks again by itself."""
    if failure.expected is None:
        return False
    if session.status != "running":  # a table is set up: its position is no game's
        return failure.found is None or Placement.from_fen(failure.found) != Placement.from_fen(failure.expected)
    confirmed = session.fen or failure.expected
    untouched = failure.found is not None and Placement.from_fen(failure.found) == Placement.from_fen(confirmed)
    return not untouched or Placement.from_fen(failure.expected) == Placement.from_fen(confirmed)


def halted(arms: m.ArmState) -> bool:
    return arms.stopped or any(arm.mode == "fault" for arm in arms.arms)
