"""A player that climbs the ladder: a voice that may say anything, and an engine that always has a move."""

from __future__ import annotations

import dataclasses
import math
import random

import anyio
import anyio.abc
from anyio.streams.memory import MemoryObjectSendStream

from edgechess_inference.errors import PlayerFailed
from edgechess_inference.ladder import machine as m
from edgechess_inference.ladder.latency import Latency
from edgechess_inference.ladder.reading import read_answer
from edgechess_inference.ladder.reserve import EngineReserve, Reserved
from edgechess_inference.ladder.voice import Rung, Voice, VoiceFailed
from edgechess_inference.player import Answer, Question, Seat

ENGINE_AFTER = 2.0  # times what the model is expected to take the engine leaves the processor to it
SEED_BITS = 31  # what samplers take


@dataclasses.dataclass(slots=True)
class Ladder:
    """What a ladder player is made of. `seed`: of everything that the voice draws. `owned`: the reserve is closed with
    the player. `tasks`: where attempts run, which a blocked model may keep from ending when they are cancelled."""

    voice: Voice
    reserve: EngineReserve
    attempts: int
    tasks: anyio.abc.TaskGroup
    seed: int = 0
    owned: bool = True
    latency: Latency = dataclasses.field(default_factory=Latency)


class LadderPlayer:
    """Every answer is a legal move within the question's time; its account says who made it and how it came about."""

    seat: Seat = "answers"

    def __init__(self, word: str, ladder: Ladder) -> None:
        self.word = word
        self._ladder = ladder

    async def choose(self, question: Question) -> Answer:
        """Raises PlayerFailed where neither model nor engine has a move: the game is over."""
        board = question.board()
        if not any(board.legal_moves):
            await anyio.lowlevel.checkpoint()
            raise PlayerFailed("there is no legal move: the game is over")
        finish = await _Ascent(self._ladder, question).run()
        if finish.uci is None:
            raise PlayerFailed(f"{self.word}: {finish.reason}")
        return Answer(finish.uci, by=finish.by, reason=finish.reason, account=finish.account)

    async def close(self) -> None:
        await self._ladder.voice.close()
        if self._ladder.owned:
            await self._ladder.reserve.close()


class _Ascent:
    """One question: events from the voice, the engine and the clock into the machine, its effects into deeds."""

    def __init__(self, ladder: Ladder, question: Question) -> None:
        self._ladder = ladder
        self._question = question
        self._board = question.board()
        self._asking = anyio.CancelScope()
        self._over = False
        self._send: MemoryObjectSendStream[m.Event]

    async def run(self) -> m.Finish:
        ladder, question = self._ladder, self._question
        self._send, inbox = anyio.create_memory_object_stream[m.Event](math.inf)  # at most one per attempt, and three
        expected_s = ladder.latency.expected_s
        reserved = ladder.reserve.begin(question, after_s=ENGINE_AFTER * expected_s)
        rules = m.Rules(ladder.voice.name, ladder.attempts)
        climb, effects = m.begin(rules, at=anyio.current_time(), timeout_s=question.timeout_s, expected_s=expected_s)
        if climb.number == 0:
            ladder.latency.passed_over()
        try:
            async with self._send, inbox, anyio.create_task_group() as tasks:
                tasks.start_soon(self._hear_the_engine, reserved, name="ladder engine")
                tasks.start_soon(self._watch_the_clock, climb.cutoff, name="ladder clock")
                finish = self._do(climb, effects)
                while finish is None:
                    if climb.stage == "waiting" or climb.attempts:
                        reserved.hurry()
                    climb, effects = m.decide(climb, await inbox.receive())
                    finish = self._do(climb, effects)
                tasks.cancel_scope.cancel()
        finally:
            self._over = True
            reserved.drop()
            self._asking.cancel()  # not waited for: a model that computes notices it when it can
        assert finish is not None  # the loop ends with it
        return finish

    def _do(self, climb: m.Climb, effects: list[m.Effect]) -> m.Finish | None:
        for effect in effects:
            match effect:
                case m.AskModel():
                    self._asking = anyio.CancelScope()
                    self._ladder.tasks.start_soon(self._ask, climb, effect, self._asking, name="ladder attempt")
                case m.StopModel():
                    self._asking.cancel()
                    self._ladder.latency.measured(anyio.current_time() - climb.asked_at)
                case m.Finish():
                    return effect
        return None

    async def _ask(self, climb: m.Climb, ask: m.AskModel, scope: anyio.CancelScope) -> None:
        ladder = self._ladder
        draw = random.Random(f"{ladder.seed} {self._question.start_fen} {self._question.moves} {ask.number}")
        rung = Rung(
            self._board.copy(), ask.number, ask.failures, ladder.attempts, ask.until, draw.getrandbits(SEED_BITS)
        )
        event: m.Event
        with scope:
            try:
                said = await ladder.voice.say(rung)
            except VoiceFailed as error:
                now = anyio.current_time()
                if error.failure == "late":
                    ladder.latency.measured(now - climb.asked_at)
                event = m.Failed(
                    now, ask.number, error.failure, str(error), ladder.latency.expected_s, error.again
                )  # fmt: skip
            else:
                if self._over:
                    return
                now = anyio.current_time()
                ladder.latency.measured(now - climb.asked_at)
                event = m.Said(
                    now,
                    ask.number,
                    said.text,
                    read_answer(self._board, said.text),
                    ladder.latency.expected_s,
                    said.constrained,
                    said.instead,
                    said.adapter,
                    said.weights,
                )
            if not self._over:
                self._send.send_nowait(event)

    async def _hear_the_engine(self, reserved: Reserved) -> None:
        await reserved.ready.wait()
        now, answer = anyio.current_time(), reserved.answer
        if answer is None or answer.uci is None:
            self._send.send_nowait(m.EngineLost(now, reserved.failure or "the engine gave no move"))
        else:
            self._send.send_nowait(m.EngineMoved(now, answer.uci, answer.by, reserved.took_s, answer.reason))

    async def _watch_the_clock(self, cutoff: float) -> None:
        await anyio.sleep_until(cutoff)
        self._send.send_nowait(m.CutOff(anyio.current_time()))
