"""Setups and repairs at the table: where pieces come from and go to, what stays known, a hand that is full."""

from __future__ import annotations

from typing import Any

import anyio
import chess
import pytest

from edgechess_arm_controller.choreography import Carry, Share, from_hand, rearrangement, setup_carries
from edgechess_arm_controller.errors import JobRefused
from edgechess_arm_controller.slots import Slots
from edgechess_kit.messages import ArmControl, ArmControlResponse, ArmJob, ArmState, SessionState, SlotState
from edgechess_robots.layout import standard_layout

START = chess.STARTING_FEN
BOARD = chess.STARTING_BOARD_FEN
FRESH = Slots.filled(standard_layout(), {"white": "QQRBN", "black": "qqrbn"})


def setup(job_id: str, before: str, after: str, arm: str | None, kind: Any = "setup", session: str = "s1") -> ArmJob:
    return ArmJob(job_id=job_id, kind=kind, session_id=session, before=before, after=after, arm=arm)


def test_a_setup_takes_captured_pieces_before_spare_ones_and_a_move_the_other_way() -> None:
    slots = FRESH.put("tray-black-3", "Q").put("tray-white-5", "Q")
    without = BOARD.replace("Q", "1")
    assert setup_carries(without, BOARD, Share("white", 8), slots) == (Carry("Q", "tray-white-5", "d1"),)
    assert setup_carries(without, BOARD, Share("black", 8), slots) == (Carry("Q", "tray-black-3", "d1"),)
    assert rearrangement(without, BOARD, "white", slots) == (Carry("Q", "rack-white-0", "d1"),)


def test_what_a_rack_lacks_goes_back_to_it() -> None:
    slots = FRESH.put("rack-white-1", None)
    promoted = BOARD.replace("8/8/8/8", "8/Q7/8/8")
    assert setup_carries(promoted, BOARD, Share("white", 8), slots) == (Carry("Q", "a5", "rack-white-1"),)
    assert setup_carries(promoted, BOARD, Share("white", 8), FRESH) == (Carry("Q", "a5", "tray-white-0"),)
    assert rearrangement(promoted, BOARD, "white", slots) == (Carry("Q", "a5", "tray-white-0"),)


def test_spare_pieces_are_brought_home_from_the_own_tray_when_the_board_is_done() -> None:
    slots = FRESH.put("rack-white-0", None).put("rack-black-4", None)
    slots = slots.put("tray-white-2", "Q").put("tray-white-3", "P").put("tray-black-0", "n")
    assert setup_carries(BOARD, BOARD, Share("white", 8), slots) == (Carry("Q", "tray-white-2", "rack-white-0"),)
    assert setup_carries(BOARD, BOARD, Share("black", 8), slots) == (Carry("n", "tray-black-0", "rack-black-4"),)
    assert rearrangement(BOARD, BOARD, "white", slots) == ()


def test_what_is_known_of_the_slots_survives_a_journal() -> None:
    slots = FRESH.put("rack-white-1", None).put("tray-black-0", "P").doubt("tray-white-7")
    assert FRESH.with_known(slots.known()) == slots
    assert FRESH.known() == {}


def test_where_a_held_piece_goes() -> None:
    lifted, after = BOARD.replace("PPPPPPPP", "PPPP1PPP"), "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR"
    assert from_hand(lifted, after, "white", "P", FRESH) == Carry("P", "hand-white", "e4")
    assert from_hand(lifted, after, "white", "p", FRESH) == Carry("p", "hand-white", "tray-white-0")
    with pytest.raises(JobRefused, match="something stands"):
        from_hand(lifted.replace("8/8/8/8", "8/8/4n3/8"), after, "white", "P", FRESH)


@pytest.mark.anyio
async def test_the_arms_set_the_table_up_and_know_what_they_did_over_sessions_and_restarts(desk: Any) -> None:
    bare = "4k3/8/8/8/8/8/PPPPPPPP/RNBQKBNR"
    async with desk.running():
        first = setup("j1", f"{BOARD} w - - 0 1", f"{bare} w - - 0 1", "black")
        await desk.publish(desk.topics.arm_job, first)
        assert (await desk.result("j1", within_s=400.0)).outcome == "done"
        assert desk.bench.board() == {**desk.bench.board(), "e8": "k", "a2": "P"}
        assert len([piece for place, piece in desk.bench.pieces.items() if place.startswith("tray-black")]) == 15
    async with desk.running():
        session = SessionState(status="running", session_id="s2", fen=START)
        await desk.publish(desk.topics.session_state, session)
        await anyio.sleep(5)
        shown: ArmState = desk.shown()
        assert len([slot for slot in shown.tray if slot.piece]) == 15, "the arms know what lies there"
        second = setup("j2", f"{bare} w - - 0 1", START, "black", session="s2")
        await desk.publish(desk.topics.arm_job, second)
        assert (await desk.result("j2", within_s=400.0)).outcome == "done"
        assert len(desk.bench.board()) == 32
        await anyio.sleep(3)
        assert not [slot for slot in desk.shown().tray if slot.piece]


@pytest.mark.anyio
async def test_without_a_setup_people_have_emptied_the_trays_of_a_new_session(desk: Any) -> None:
    async with desk.running():
        before, after = "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "4k3/8/8/3P4/8/8/8/4K3 b - - 0 1"
        desk.bench.pieces = {"e8": "k", "d5": "p", "e4": "P", "e1": "K"}
        await desk.publish(
            desk.topics.arm_job,
            ArmJob(job_id="j1", kind="move", session_id="s1", before=before, after=after, lan="e4d5"),
        )
        await desk.result("j1")
        await anyio.sleep(3)
        assert SlotState(slot="tray-white-0", piece="p") in desk.shown().tray
        await desk.publish(desk.topics.session_state, SessionState(status="running", session_id="s2", fen=START))
        await anyio.sleep(5)
        assert not [slot for slot in desk.shown().tray if slot.piece]


@pytest.mark.anyio
async def test_a_piece_in_the_hand_after_a_lost_link_is_put_down_by_a_repair_of_its_own(desk: Any) -> None:
    lifted, after = BOARD.replace("PPPPPPPP", "PPPP1PPP"), "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR"
    async with desk.running():
        move = ArmJob(
            job_id="j1", kind="move", session_id="s1", before=START, after=f"{after} b KQkq - 0 1", lan="e2e4"
        )
        await desk.publish(desk.topics.arm_job, move)
        await anyio.sleep(3.5)
        assert desk.arms["white"].holding == "P"
        desk.arms["white"].lose_link()
        assert (await desk.result("j1")).outcome == "unknown"
        desk.arms["white"].regain_link()
        await anyio.sleep(15)
        white = desk.shown().arms[0]
        assert (white.holding, white.parked, white.alarm) == ("P", True, white.alarm)
        assert "still holds the white pawn" in (white.alarm or "")
        for name, kind in (("j2", "setup"), ("j3", "repair")):
            other = setup(name, f"{lifted} w - - 0 1", f"{after} w - - 0 1", "black", kind=kind)
            await desk.publish(desk.topics.arm_job, other)
            assert (await desk.result(name)).code == "not-ready"
        repair = setup("j4", f"{lifted} w - - 0 1", f"{after} b KQkq - 0 1", "white", kind="repair")
        await desk.publish(desk.topics.arm_job, repair)
        result = await desk.result("j4")
        assert (result.outcome, result.parked, result.holding) == ("done", True, None)
        assert (result.grasps[0].from_place, result.grasps[0].kept, result.grasps[0].released) == (
            "hand-white",
            True,
            True,
        )
        assert desk.bench.pieces["e4"] == "P"
        await anyio.sleep(3)
        assert desk.shown().arms[0].holding is None
        more = ArmJob(
            job_id="j5", kind="move", session_id="s1", before=f"{after} b KQkq - 0 1",
            after="rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2", lan="e7e5",
        )  # fmt: skip
        await desk.publish(desk.topics.arm_job, more)
        assert (await desk.result("j5")).outcome == "done"


@pytest.mark.anyio
@pytest.mark.parametrize("goal", ["e4", "tray", "blocked", "too far", "no slot"])
async def test_a_setup_goes_on_with_what_a_killed_controller_has_left_in_a_hand(desk: Any, goal: str) -> None:
    """The piece goes where it is wanted, else into a tray, and to the next place where the arm cannot do the first."""
    lifted, after = BOARD.replace("PPPPPPPP", "PPPP1PPP"), "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR"
    async with desk.running():
        await desk.publish(desk.topics.arm_job, setup("j1", START, f"{after} w - - 0 1", None))
        await anyio.sleep(3.5)
        assert desk.arms["white"].holding == "P"
    async with desk.running():
        assert (await desk.result("j1")).code == "restarted"
        found = lifted
        if goal == "tray":
            after = lifted
        elif goal == "blocked":
            found = lifted.replace("rnbqkbnr", "r1bqkbnr").replace("8/8/8/8", "8/8/4n3/8", 1)
            desk.bench.pieces["e4"] = desk.bench.pieces.pop("b8")
        elif goal == "too far":
            desk.arms["white"].unreachable = lambda place: place in ("e4", "tray-white-0", "tray-white-1")
        elif goal == "no slot":
            desk.arms["white"].unreachable = lambda place: place == "e4" or place.startswith("tray")
        await desk.publish(desk.topics.arm_job, setup("j2", f"{found} w - - 0 1", f"{after} w - - 0 1", None))
        result = await desk.result("j2")
        if goal == "no slot":
            assert (result.outcome, result.code) == ("refused", "unreachable")
            assert "e4" in (result.reason or "")
            return
        place = {"e4": "e4", "too far": "tray-white-2"}.get(goal, "tray-white-0")
        carried = [(grasp.from_place, grasp.to_place) for grasp in result.grasps]
        assert (result.outcome, carried) == ("done", [("hand-white", place)])
        assert desk.bench.pieces[place] == "P"
        await anyio.sleep(3)
        shown = desk.shown()
        assert (shown.arms[0].holding, shown.arms[0].mode) == (None, "parked")
        assert [slot.slot for slot in shown.tray if slot.piece] == ([] if goal == "e4" else [place])


@pytest.mark.anyio
async def test_a_piece_in_a_hand_is_in_its_slot_no_more(desk: Any) -> None:
    """Whoever counts what there is would count it twice, and a setup would look for it."""
    without = BOARD.replace("PPPPPPPP", "PPPP1PPP")
    desk.bench.pieces.pop("e2")
    async with desk.running():
        desk.bench.pieces["d3"] = "N"
        aside = without.replace("8/8/8/8", "8/8/8/3N4", 1)
        await desk.publish(desk.topics.arm_job, setup("j1", f"{aside} w - - 0 1", f"{without} w - - 0 1", "white"))
        assert (await desk.result("j1", within_s=100.0)).outcome == "done"
        assert desk.bench.pieces["tray-white-0"] == "N"
        await desk.publish(desk.topics.arm_job, setup("j2", f"{without} w - - 0 1", f"{aside} w - - 0 1", "white"))
        await anyio.sleep(3.5)
        assert desk.arms["white"].holding == "N"
    async with desk.running():
        assert (await desk.result("j2")).code == "restarted"
        await anyio.sleep(3)
        shown = desk.shown()
        assert (shown.arms[0].holding, [slot.slot for slot in shown.tray if slot.piece]) == ("N", [])


@pytest.mark.anyio
async def test_a_person_may_take_the_piece_instead(desk: Any) -> None:
    async with desk.running():
        desk.arms["white"].holding = "P"  # nobody knows of it: it was in the gripper when everything was switched on
        await anyio.sleep(5)
        assert desk.shown().arms[0].mode == "fault"
        await desk.publish(
            desk.topics.arm_control, ArmControl(command="recover", request_id="c1", confirmed_by="somebody")
        )
        await anyio.sleep(15)
        assert desk.arms["white"].holding is None
        assert desk.shown().arms[0].mode == "parked"


@pytest.mark.anyio
async def test_a_person_says_that_trays_are_empty_and_racks_full(desk: Any) -> None:
    """Once the arms have set a table up they go on believing what they know of the slots: only a word corrects it."""
    before, after = "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "4k3/8/8/8/4P3/8/8/4K3 w - - 0 1"
    desk.bench.pieces = {"e8": "k", "d5": "p", "e4": "P", "e1": "K"}
    async with desk.running():
        await desk.publish(desk.topics.arm_job, setup("j1", before, after, "white"))
        assert (await desk.result("j1", within_s=300.0)).outcome == "done"
        await anyio.sleep(3)
        assert [slot.piece for slot in desk.shown().tray if slot.piece] == ["p"]
        for word in (
            ArmControl(command="refilled", request_id="c0"),
            ArmControl(command="refilled", confirmed_by="somebody"),
            ArmControl(command="refilled", request_id="c1", confirmed_by="somebody"),
            ArmControl(command="refilled", request_id="c1", confirmed_by="somebody"),
        ):
            await desk.publish(desk.topics.arm_control, word)
            await anyio.sleep(3)
        answers = [m for _, m in desk.seen if isinstance(m, ArmControlResponse)]
        assert [answer.status for answer in answers] == [400, 400, 200, 200]
        assert not [slot for slot in desk.shown().tray if slot.piece or slot.doubtful]
    assert [entry["data"]["confirmedBy"] for entry in desk.entries("refilled")] == ["somebody"]
    async with desk.running():
        await anyio.sleep(5)
        assert not [slot for slot in desk.shown().tray if slot.piece or slot.doubtful]


@pytest.mark.anyio
async def test_what_a_person_put_on_the_board_during_a_setup_may_be_out_of_a_slot(desk: Any) -> None:
    before, after = "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1", "4k3/8/8/8/4P3/8/8/4K3 w - - 0 1"
    desk.bench.pieces = {"e8": "k", "d5": "p", "e4": "P", "e1": "K"}
    async with desk.running():
        await desk.publish(desk.topics.arm_job, setup("j1", before, after, "white"))
        assert (await desk.result("j1", within_s=300.0)).outcome == "done"
        helped = "4k3/8/8/8/3pP3/8/8/4K3 w - - 0 1"
        desk.bench.pieces["d4"] = desk.bench.pieces.pop("tray-white-0")
        await desk.publish(desk.topics.arm_job, setup("j2", helped, "4k3/8/8/8/3p4/8/8/4K3 w - - 0 1", "white"))
        assert (await desk.result("j2", within_s=300.0)).outcome == "done"
        await anyio.sleep(3)
        doubtful = [(slot.slot, slot.piece) for slot in desk.shown().tray if slot.doubtful]
        assert doubtful == [("tray-white-0", "p")]
