"""A board and arms that answer at once, over the real bus: settling and motion take no time by construction."""

from __future__ import annotations

import anyio
from anyio.abc import TaskStatus

from edgechess_board.placement import Placement
from edgechess_cli.bench.wire import floor_topics
from edgechess_kit import messages as m
from edgechess_kit.bus import Bus
from edgechess_kit.topics import Topics

REPEAT_S = 0.5  # between two words of the sample's board, see `SampleDevices`


class ScriptedDevices:
    """One board and the arms of one table, each on a bus client of its own, as they are processes of their own.

    They also pass the hops of the floor on, so that the floor goes the manager's ways between the same processes.
    """

    def __init__(self, board: Bus, arms: Bus, topics: Topics) -> None:
        self.asked: list[str] = []
        """Whom the manager has addressed, in order: "board" or "arms"."""
        self._board = board
        self._arms = arms
        self._topics = topics
        self._floor = floor_topics(topics.prefix)
        self._placement = Placement.empty()

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._serve_board, name="scripted board")
            await tasks.start(self._serve_arms, name="scripted arms")
            task_status.started()

    async def _serve_board(self, *, task_status: TaskStatus[None]) -> None:
        topics, hops = self._topics, self._floor.peers["board"]
        async with self._board.subscribe(topics.board_start, topics.board_validate, hops) as deliveries:
            task_status.started()
            async for delivery in deliveries:
                if delivery.topic == hops.name:
                    await self._board.publish(self._floor.child, delivery.decode(hops))
                elif delivery.topic == topics.board_start.name:
                    await self._start(delivery.decode(topics.board_start))
                else:
                    await self._validate(delivery.decode(topics.board_validate))

    async def _start(self, request: m.GameRequest) -> None:
        self._placement = Placement.from_fen(request.before)
        answer = m.BoardStartResponse(
            status=200,
            task_token=request.task_token,
            request_id=request.request_id,
            placement=self._placement.fen,
        )
        await self._board.publish(self._topics.board_start_response, answer)

    async def _validate(self, request: m.BoardValidateRequest) -> None:
        self.asked.append("board")
        wanted = Placement.from_fen(request.before if request.expect == "before" else request.after)
        answer = m.BoardValidateResponse(
            status=200 if wanted == self._placement else 500,
            move=request.lan,
            task_token=request.task_token,
            request_id=request.request_id,
            placement=self._placement.fen,
        )
        await self._board.publish(self._topics.board_validate_response, answer)

    async def _serve_arms(self, *, task_status: TaskStatus[None]) -> None:
        topics, hops = self._topics, self._floor.peers["arms"]
        async with self._arms.subscribe(topics.arm_job, hops) as deliveries:
            task_status.started()
            async for delivery in deliveries:
                if delivery.topic == hops.name:
                    await self._arms.publish(self._floor.child, delivery.decode(hops))
                else:
                    await self._move(delivery.decode(topics.arm_job))

    async def _move(self, job: m.ArmJob) -> None:
        self.asked.append("arms")
        self._placement = Placement.from_fen(job.after)
        result = m.ArmJobResult(job_id=job.job_id, outcome="done", arm="white", parked=True, duration_s=0.0)
        await self._arms.publish(self._topics.arm_job_result, result)


class SampleDevices:
    """The same table for a manager of the AWS sample's kind. Everything it asks for is granted.

    The sample forgets a `board/processed` that comes before it looks for one, so the board here says it again and again:
    the third phase is as short as it can be.
    """

    def __init__(self, bus: Bus, topics: Topics) -> None:
        self._bus = bus
        self._topics = topics

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        topics = self._topics
        async with (
            self._bus.subscribe(topics.board_start, topics.board_validate, topics.arm_move) as deliveries,
            anyio.create_task_group() as tasks,
        ):
            task_status.started()
            moved: anyio.CancelScope | None = None
            async for delivery in deliveries:
                request = delivery.decode(topics.arm_move)
                if moved is not None:
                    moved.cancel()
                if delivery.topic == topics.board_start.name:
                    await self._bus.publish(topics.board_start_response, m.BoardStartResponse(status=200))
                elif delivery.topic == topics.board_validate.name:
                    answer = m.BoardValidateResponse(status=200, move=request.lan)
                    await self._bus.publish(topics.board_validate_response, answer)
                else:
                    await self._bus.publish(topics.arm_move_response, m.ArmMoveResponse(status=200, lan=request.lan))
                    moved = await tasks.start(self._say_processed, request.lan)

    async def _say_processed(self, lan: str, *, task_status: TaskStatus[anyio.CancelScope]) -> None:
        with anyio.CancelScope() as scope:
            task_status.started(scope)
            while True:
                await self._bus.publish(self._topics.board_processed, m.BoardProcessed(status=200, lan=lan))
                await anyio.sleep(REPEAT_S)
