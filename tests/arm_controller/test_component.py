"""The component on a memory bus with scripted arms, in virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import chess
import pytest

from edgechess_kit.messages import (
    ArmControl,
    ArmControlResponse,
    ArmJob,
    ArmMoveResponse,
    ArmState,
    GameRequest,
    SessionState,
)

pytestmark = pytest.mark.anyio

START = chess.STARTING_FEN


def job(job_id: str, lan: str, fen: str = START, **more: Any) -> ArmJob:
    board = chess.Board(fen)
    board.push_uci(lan)
    return ArmJob(job_id=job_id, kind="move", session_id="s1", before=fen, after=board.fen(), lan=lan, **more)


def responses(desk: Any, request_id: str) -> list[ArmControlResponse]:
    return [m for _, m in desk.seen if isinstance(m, ArmControlResponse) and m.request_id == request_id]


def recover(request_id: str) -> ArmControl:
    return ArmControl(command="recover", request_id=request_id, confirmed_by="test")


async def test_a_quiet_move_is_done_and_the_arm_is_measured_parked(desk: Any) -> None:
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        result = await desk.result("j1")
    assert (result.outcome, result.parked, result.arm, result.token) == ("done", True, "white", 1)
    assert result.grasps[0].grasped
    assert result.grasps[0].released
    assert desk.bench.pieces["e4"] == "P"
    assert "e2" not in desk.bench.pieces
    kinds = [entry["kind"] for entry in desk.entries()]
    order = ["job-accepted", "lease-granted", "grasping", "placed", "lease-released", "job-ended"]
    assert [kind for kind in kinds if kind in order] == order


async def test_a_job_sent_twice_is_done_once_and_answered_twice(desk: Any) -> None:
    async with desk.running():
        for _ in range(3):
            await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        first = await desk.result("j1")
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        again = await desk.result("j1", count=2)
    assert first == again
    assert desk.arms["white"].executions == 1


async def test_another_job_while_busy_is_refused(desk: Any) -> None:
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        await desk.publish(desk.topics.arm_job, job("j2", "d2d4"))
        refused = await desk.result("j2")
        done = await desk.result("j1")
    assert (refused.outcome, refused.code) == ("refused", "busy")
    assert done.outcome == "done"


async def test_a_capture_fills_the_tray_and_the_state_shows_it(desk: Any) -> None:
    desk.bench.pieces = {"e4": "P", "d5": "p", "e1": "K", "e8": "k"}
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e4d5", "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1"))
        result = await desk.result("j1")
        await anyio.sleep(3)
        state = desk.shown()
    assert result.outcome == "done"
    assert [slot.piece for slot in state.tray if slot.slot == "tray-white-0"] == ["p"]
    assert desk.bench.pieces["tray-white-0"] == "p"
    assert [arm.mode for arm in state.arms] == ["parked", "parked"]
    assert state.lease_holder is None


async def test_a_passed_deadline_is_refused(desk: Any) -> None:
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4", deadline=1.0))
        assert (await desk.result("j1")).code == "deadline"
    assert desk.bench.motions() == 0


async def test_a_missed_grasp_raises_parks_and_reports_unknown(desk: Any) -> None:
    desk.arms["white"].misses = 1
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        result = await desk.result("j1")
        assert (result.outcome, result.code, result.parked) == ("unknown", "missed-grasp", True)
        assert result.grasps[0].grasped is False
        assert desk.bench.pieces["e2"] == "P"
        await desk.publish(desk.topics.arm_job, job("j2", "e2e4"))
        assert (await desk.result("j2")).outcome == "done"


async def test_a_lost_piece_is_told(desk: Any) -> None:
    desk.arms["white"].slips = 1
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        result = await desk.result("j1")
    assert (result.outcome, result.code, result.parked) == ("unknown", "lost-piece", True)
    assert (result.grasps[0].grasped, result.grasps[0].kept, result.grasps[0].released) == (True, False, False)


async def test_a_stop_in_the_middle_holds_until_a_person_recovers(desk: Any) -> None:
    async with desk.running() as controller:
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        await anyio.sleep(4.2)
        assert desk.arms["white"].holding == "P"
        await desk.publish(desk.topics.arm_control, ArmControl(command="stop", request_id="c1"))
        result = await desk.result("j1")
        assert (result.outcome, result.code, result.parked) == ("unknown", "stopped", False)
        assert responses(desk, "c1")[0].status == 200
        moved = desk.bench.motions()
        await desk.publish(desk.topics.arm_job, job("j2", "d2d4"))
        assert (await desk.result("j2")).code == "stopped"
        await anyio.sleep(100)
        assert desk.bench.motions() == moved
        assert desk.shown().stopped
        assert [arm.holding for arm in desk.shown().arms] == ["P", None]
        await desk.publish(desk.topics.arm_control, ArmControl(command="recover", request_id="c2"))
        await anyio.sleep(1)
        assert responses(desk, "c2")[0].status == 400
        await desk.publish(desk.topics.arm_control, recover("c3"))
        await anyio.sleep(20)
        assert responses(desk, "c3")[0].status == 200
        assert not desk.shown().stopped
        assert desk.arms["white"].holding is None
        assert desk.arms["white"].parked
        await desk.publish(desk.topics.arm_job, job("j3", "d2d4"))
        assert (await desk.result("j3")).outcome == "done"
        controller.stop("again")
        await anyio.sleep(1)
        await desk.publish(desk.topics.arm_control, recover("c3"))  # a late duplicate releases nothing
        await anyio.sleep(5)
        assert desk.shown().stopped


async def test_killed_in_the_middle_it_restarts_raises_parks_and_says_so(desk: Any) -> None:
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        await anyio.sleep(3.8)
        assert desk.arms["white"].holding == "P"
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        result = await desk.result("j1")
        assert (result.outcome, result.code, result.parked) == ("unknown", "restarted", True)
        assert result.grasps[0].from_place == "e2"
        await anyio.sleep(3)
        assert desk.shown().arms[0].holding == "P"
        await desk.publish(desk.topics.arm_job, job("j2", "d2d4"))
        assert (await desk.result("j2")).code == "not-ready"
        await desk.publish(desk.topics.arm_control, recover("c1"))
        await anyio.sleep(5)
        assert responses(desk, "c1")[0].status == 200
        await desk.publish(desk.topics.arm_job, job("j3", "d2d4"))
        assert (await desk.result("j3")).token == 4  # the interrupted job, the way home, the opening, this one
    assert len(desk.entries("job-accepted")) == 2


async def test_a_lost_link_stops_both_and_the_arm_comes_home_by_itself(desk: Any) -> None:
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        await anyio.sleep(1.5)
        desk.arms["white"].lose_link()
        result = await desk.result("j1")
        assert (result.outcome, result.code, result.parked) == ("unknown", "link-lost", False)
        assert any(name == "black" and what == "stop" for _, name, what in desk.bench.did)
        await anyio.sleep(30)
        desk.arms["white"].regain_link()
        await desk.publish(desk.topics.arm_job, job("j2", "e2e4"))
        assert (await desk.result("j2")).outcome == "done"


async def test_an_emergency_stop_needs_a_person(desk: Any) -> None:
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        await anyio.sleep(1.5)
        desk.arms["black"].press_estop()
        result = await desk.result("j1")
        assert (result.outcome, result.code) == ("unknown", "alarm")
        await desk.publish(desk.topics.arm_control, recover("c1"))
        await anyio.sleep(5)
        assert responses(desk, "c1")[0].status == 500
        desk.arms["black"].estop = False
        await desk.publish(desk.topics.arm_control, recover("c2"))
        await anyio.sleep(10)
        assert responses(desk, "c2")[0].status == 200
        await desk.publish(desk.topics.arm_job, job("j2", "e2e4"))
        assert (await desk.result("j2")).outcome == "done"


@pytest.mark.parametrize("why", ["offline", "was not seen to stand"])
async def test_a_stop_that_is_not_confirmed_is_no_success(desk: Any, why: str) -> None:
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        await anyio.sleep(1.5)
        if why == "offline":
            desk.arms["black"].lose_link()
        else:
            desk.arms["black"].runaway = True
        await desk.publish(desk.topics.arm_control, ArmControl(command="stop", request_id="c1"))
        await anyio.sleep(10)
        answer = responses(desk, "c1")[0]
        assert answer.status == 500
        assert answer.reason is not None
        assert "stop not confirmed: arm black" in answer.reason
        assert why in answer.reason
        assert "white" not in answer.reason
        assert desk.shown().stopped
        assert (await desk.result("j1")).outcome == "unknown"
    (entry,) = desk.entries("stop-unconfirmed")
    assert "arm black" in entry["data"]["problems"][0]


async def test_a_state_that_does_not_change_is_shown_every_two_seconds(desk: Any) -> None:
    async with desk.running():
        await anyio.sleep(3.0)
        before = len([m for _, m in desk.seen if isinstance(m, ArmState)])
        await anyio.sleep(20.5)
        assert len([m for _, m in desk.seen if isinstance(m, ArmState)]) - before == 10


async def test_the_samples_own_protocol(desk: Any) -> None:
    request = GameRequest(
        action="move",
        session_id="s1",
        task_token="token",
        before=START,
        after="rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq e3 0 1",
        lan="e2e4",
    )
    async with desk.running():
        for _ in range(2):
            await desk.publish(desk.topics.arm_move, request)
        await anyio.sleep(30)
        await desk.publish(desk.topics.arm_move, request)
        await anyio.sleep(30)
    answers = [m for _, m in desk.seen if isinstance(m, ArmMoveResponse)]
    assert [(answer.status, answer.lan) for answer in answers] == [(200, "e2e4"), (200, "e2e4")]
    assert desk.arms["white"].executions == 1


async def test_a_new_session_empties_the_tray_once(desk: Any) -> None:
    desk.bench.pieces = {"e4": "P", "d5": "p", "e1": "K", "e8": "k"}
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e4d5", "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1"))
        await desk.result("j1")
        await desk.publish(desk.topics.session_state, SessionState(status="running", session_id="s2"))
        await anyio.sleep(3)
        assert desk.shown().tray[0].piece is None
        await desk.publish(desk.topics.session_state, SessionState(status="running", session_id="s1"))
        await anyio.sleep(3)
    assert [entry["key"] for entry in desk.entries("table-reset")] == ["s1", "s2"]


async def test_malformed_messages_are_answered(desk: Any) -> None:
    async with desk.running():
        desk.broker.inject("test", desk.topics.arm_job.name, b'{"jobId": "bad", "kind": "dance"}')
        desk.broker.inject("test", desk.topics.arm_control.name, b"{")
        result = await desk.result("bad")
        await anyio.sleep(1)
    assert (result.outcome, result.code) == ("refused", "malformed")
    assert "kind" in (result.reason or "")
    assert any(isinstance(m, ArmControlResponse) and m.status == 400 for _, m in desk.seen)


async def test_both_arms_take_turns_with_rising_tokens(desk: Any) -> None:
    board = chess.Board()
    async with desk.running():
        for number, lan in enumerate(["e2e4", "d7d5", "e4d5", "d8d5", "g1f3"]):
            await desk.publish(desk.topics.arm_job, job(f"j{number}", lan, board.fen()))
            assert (await desk.result(f"j{number}")).outcome == "done"
            board.push_uci(lan)
    assert desk.bench.board() == {chess.square_name(s): p.symbol() for s, p in sorted(board.piece_map().items())} | {}
    assert desk.bench.tokens == sorted(desk.bench.tokens)


async def test_a_slot_out_of_reach_is_left_out(desk: Any) -> None:
    desk.bench.pieces = {"e4": "P", "d5": "p", "e1": "K", "e8": "k"}
    desk.arms["white"].unreachable = lambda place: place == "tray-white-0"
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e4d5", "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1"))
        assert (await desk.result("j1")).outcome == "done"
    assert desk.bench.pieces["tray-white-1"] == "p"


async def test_a_square_out_of_reach_is_refused_before_anything_moves(desk: Any) -> None:
    desk.arms["white"].unreachable = lambda place: place == "e4"
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        result = await desk.result("j1")
    assert (result.outcome, result.code, result.parked) == ("refused", "unreachable", True)
    assert desk.bench.motions() == 0


async def test_a_repair_carries_what_differs(desk: Any) -> None:
    desk.bench.pieces = {"e1": "K", "e8": "k", "a4": "P", "d5": "p", "rack-white-0": "Q"}
    async with desk.running():
        before, after = "4k3/8/8/3p4/P7/8/8/4K3 w - - 0 1", "4k3/8/8/8/8/8/P7/Q3K3 w - - 0 1"
        repair = ArmJob(job_id="j1", kind="repair", session_id="s1", before=before, after=after)
        await desk.publish(desk.topics.arm_job, repair)
        assert (await desk.result("j1")).outcome == "done"
    assert desk.bench.board() == {"e1": "K", "e8": "k", "a2": "P", "a1": "Q"}


async def test_park_brings_an_arm_home(desk: Any) -> None:
    async with desk.running():
        await anyio.sleep(1)
        desk.arms["black"].parked = False
        desk.arms["black"].changed()
        await anyio.sleep(5)
        assert desk.bench.motions() == 0  # somebody may be guiding it: it does not go home by itself
        await desk.publish(desk.topics.arm_control, ArmControl(command="park", request_id="p1"))
        await anyio.sleep(10)
        assert responses(desk, "p1")[0].status == 200
        assert desk.arms["black"].parked


async def test_a_controller_that_loses_the_bus_still_finishes_and_answers_later(desk: Any) -> None:
    async with desk.running():
        await desk.publish(desk.topics.arm_job, job("j1", "e2e4"))
        await anyio.sleep(1)
        bus = desk.broker._clients["arm-controller"]
        await bus.drop()
        await anyio.sleep(30)
        assert desk.bench.pieces["e4"] == "P"
        await bus.reconnect()
        assert (await desk.result("j1")).outcome == "done"
