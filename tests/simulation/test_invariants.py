"""The judge of the simulation finds a breach of each rule when there is one: nothing else makes its silence worth anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import chess

from edgechess_cli.invariants import STOP_S, Invariants, pieces_to_take
from edgechess_cli.virtual_time import run_virtual
from edgechess_kit import messages as m
from edgechess_kit.clock import VirtualClock
from edgechess_kit.topics import Topics
from edgechess_twin.table import Table

TOPICS = Topics()
START = chess.STARTING_FEN
E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"
JOB = m.ArmJob(job_id="j1", kind="move", session_id="s", before=START, after=E4, lan="e2e4")


def judged(act: Callable[[Invariants], Awaitable[None]]) -> list[str]:
    """The breaches that were found while `act` had its way with a table."""
    found: list[str] = []

    async def main() -> None:
        table = Table()
        async with anyio.create_task_group() as tasks:
            await tasks.start(table.run)
            await anyio.sleep(0.1)
            judge = Invariants(TOPICS, table)
            await act(judge)
            judge.at_the_end()
            found.extend(judge.breaches)
            tasks.cancel_scope.cancel()

    run_virtual(main, seed=1)
    return found


def tell(judge: Invariants, topic: object, message: m.Message) -> None:
    judge.observe("somebody", topic.name, topic.encode(message))  # type: ignore[attr-defined]


def move(judge: Invariants, arm: str, x: float, y: float, z: float, seconds: float = 1.0) -> None:
    """The world's own truth: the tip goes there in a straight line."""
    start, (a, b, c) = anyio.current_time(), judge.world.tip(arm)

    def path(at_s: float) -> tuple[float, float, float]:
        share = min(max((at_s - start) / seconds, 0.0), 1.0)
        return a + share * (x - a), b + share * (y - b), c + share * (z - c)

    judge.world.tip_path(arm, path, start, start + seconds)


async def nothing(judge: Invariants) -> None:
    tell(judge, TOPICS.arm_job, JOB)
    judge.world.closings += 1
    tell(judge, TOPICS.arm_job, JOB)


def test_a_table_that_behaves_is_left_alone() -> None:
    assert judged(nothing) == []


def test_a_job_executed_twice_is_found_by_its_grasps() -> None:
    async def act(judge: Invariants) -> None:
        await nothing(judge)
        judge.world.closings += 1
        tell(judge, TOPICS.arm_job, JOB)

    assert judged(act) == ["job j1 (e2e4) closed the fingers more than 1 times"]


def test_a_second_lease_for_a_job_is_found() -> None:
    def granted(seq: int, token: int) -> m.EdgeEvent:
        data = {"job_id": "j1", "token": token}
        return m.EdgeEvent(component="arm-controller", kind="lease-granted", seq=seq, at=0.0, data=data)

    async def act(judge: Invariants) -> None:
        tell(judge, TOPICS.events, granted(1, 1))
        tell(judge, TOPICS.events, granted(1, 1))  # a duplicate on the bus is none
        tell(judge, TOPICS.events, granted(2, 2))

    assert judged(act) == ["job j1 was given lease 1 and lease 2: executed twice"]


def arm_event(kind: str, **data: object) -> m.EdgeEvent:
    return m.EdgeEvent(component="arm-controller", kind=kind, seq=1, at=VirtualClock().unix_s(), data=data)


def test_a_repair_that_takes_more_pieces_than_it_said_and_one_repair_too_many_are_found() -> None:
    def repair(number: int) -> m.ArmJob:
        return m.ArmJob(job_id=f"j1-r{number}", kind="repair", session_id="s", before=START, after=E4)

    async def act(judge: Invariants) -> None:
        carries = [{"from_place": "hand-white", "to_place": "e4"}, {"from_place": "e2", "to_place": "e4"}]
        tell(judge, TOPICS.arm_job, repair(1))
        tell(judge, TOPICS.events, arm_event("job-accepted", job_id="j1-r1", carries=carries))
        judge.world.closings += 2
        for number in (1, 2, 3):
            tell(judge, TOPICS.arm_job, repair(number))

    assert judged(act) == [
        "job j1-r1 () closed the fingers more than 1 times",
        "a move got 3 repairs: j1-r3",
    ]


def test_a_lease_given_or_given_back_with_an_arm_above_the_board_is_found() -> None:
    async def act(judge: Invariants) -> None:
        tell(judge, TOPICS.events, arm_event("lease-granted", arm="white", token=1, job_id="j1"))
        move(judge, "white", 0.0, -50.0, 300.0)
        await anyio.sleep(2.0)
        tell(judge, TOPICS.events, arm_event("lease-granted", arm="white", token=2, job_id="j2"))
        tell(judge, TOPICS.events, arm_event("lease-granted", arm="black", token=3, job_id="j3"))
        tell(judge, TOPICS.events, arm_event("lease-released", arm="white", token=2))
        late = arm_event("lease-released", arm="white", token=2)
        await anyio.sleep(2.0)
        tell(judge, TOPICS.events, late)

    assert judged(act) == [
        "lease 3 was given to black with white above the board",
        "lease 2 was given back by white above the board",
    ]


def request(token: str) -> m.GameRequest:
    return m.GameRequest(action="move", session_id="s", task_token=token, before=START, after=E4, lan="e2e4")


def test_a_move_that_the_world_does_not_show_is_found() -> None:
    async def act(judge: Invariants) -> None:
        tell(judge, TOPICS.cloud_request, request("t"))
        tell(judge, TOPICS.cloud_response, m.GameResponse(status=200, task_token="t"))

    breaches = judged(act)
    assert len(breaches) == 1
    assert "e4 is empty, expected a white pawn" in breaches[0]


def test_a_table_that_is_not_set_up_although_somebody_says_so_is_found() -> None:
    async def act(judge: Invariants) -> None:
        wanted = m.GameRequest(action="setup", session_id="s", task_token="t", before=E4)
        tell(judge, TOPICS.cloud_request, wanted)
        tell(judge, TOPICS.cloud_response, m.GameResponse(status=200, task_token="t"))

    assert len(judged(act)) == 1


def test_a_second_answer_and_a_missing_one_are_found() -> None:
    async def act(judge: Invariants) -> None:
        tell(judge, TOPICS.cloud_request, request("t"))
        tell(judge, TOPICS.cloud_request, request("u"))
        tell(judge, TOPICS.cloud_response, m.GameResponse(status=400, task_token="t", reason="busy"))
        tell(judge, TOPICS.cloud_response, m.GameResponse(status=400, task_token="t", reason="busy"))
        tell(judge, TOPICS.cloud_response, m.GameResponse(status=500, task_token="t", reason="no"))

    breaches = judged(act)
    assert len(breaches) == 2
    assert "was answered" in breaches[0]
    assert breaches[1] == "token u was never answered"


def test_motion_after_a_stop_is_found_and_after_a_persons_word_is_none() -> None:
    async def stopped(judge: Invariants, *, recovered: bool) -> None:
        judge.stop_sent()
        await anyio.sleep(STOP_S + 0.1)
        await nothing(judge)
        if recovered:
            tell(judge, TOPICS.arm_control, m.ArmControl(command="recover", confirmed_by="me"))
        move(judge, "white", 0.0, -600.0, 400.0)
        await anyio.sleep(0.5)
        tell(judge, TOPICS.arm_job, JOB)

    assert judged(lambda judge: stopped(judge, recovered=True)) == []
    assert judged(lambda judge: stopped(judge, recovered=False)) == [
        "white moved although it was stopped and no person had said that it may"
    ]


def test_motion_while_the_emergency_button_is_pressed_is_found() -> None:
    async def act(judge: Invariants) -> None:
        judge.table.arms["black"].press_estop()
        await nothing(judge)
        await anyio.sleep(STOP_S + 0.1)
        tell(judge, TOPICS.arm_job, JOB)
        move(judge, "black", 0.0, 600.0, 400.0)
        await anyio.sleep(0.5)
        tell(judge, TOPICS.arm_job, JOB)

    assert judged(act) == ["black moved although it was stopped and no person had said that it may"]


def test_two_arms_above_the_board_are_found_even_between_two_messages() -> None:
    async def act(judge: Invariants) -> None:
        for arm, y in (("white", -50.0), ("black", 50.0)):
            move(judge, arm, 0.0, y, 300.0)
        await anyio.sleep(2.0)
        for arm, y in (("white", -600.0), ("black", 600.0)):
            move(judge, arm, 0.0, y, 300.0)
        await anyio.sleep(2.0)
        tell(judge, TOPICS.arm_job, JOB)

    breaches = judged(act)
    assert breaches
    assert all("were above the board together" in breach for breach in breaches)


def test_how_many_pieces_a_move_takes() -> None:
    def job(before: str, lan: str) -> m.ArmJob:
        return m.ArmJob(job_id="j", kind="move", session_id="s", before=before, after=before, lan=lan)

    assert pieces_to_take(job(START, "e2e4")) == 1
    assert pieces_to_take(job("4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "e4d5")) == 2
    assert pieces_to_take(job("4k3/8/8/8/8/8/8/4K2R w K - 0 1", "e1g1")) == 2
    assert pieces_to_take(job("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1", "e5d6")) == 2
    assert pieces_to_take(job("3rk3/4P3/8/8/8/8/8/4K3 w - - 0 1", "e7d8q")) == 3
