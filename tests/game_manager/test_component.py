"""The manager on a memory bus with a scripted table, in virtual time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import anyio
import chess
import msgspec
import pytest

from edgechess_game_manager.answers import REFUSALS_KEPT
from edgechess_kit import messages as m
from edgechess_kit.clock import VirtualClock
from edgechess_kit.errors import LinkLost

pytestmark = pytest.mark.anyio

Make = Callable[..., m.GameRequest]
Rig = Callable[..., Any]


async def play(r: Any, move: Make, moves: list[str], fen: str = chess.STARTING_FEN) -> str:
    board = chess.Board(fen)
    for ply, lan in enumerate(moves):
        response = await r.cloud.ask(move(board.fen(), lan, f"t-{ply}"))
        assert response.status == 200, response
        board.push_uci(lan)
        assert r.table.placement == board.board_fen()
    return board.fen()


async def test_a_short_game_to_mate(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        assert (await r.cloud.ask(start("t-start"))).status == 200
        await play(r, move, ["f2f3", "e7e5", "g2g4", "d8h4"])
        last = r.cloud.answers[-1]
        assert last.detail.result == "0-1"
        assert last.detail.termination == "checkmate"
        assert set(last.detail.timings_s) == {"board-before", "arm", "board-after", "total"}
        assert last.detail.timings_s["arm"] == pytest.approx(4.0, abs=0.1)
        assert r.state.status == "ended"
        assert r.state.result == "0-1"
        assert len(r.table.executed) == len(set(r.table.executed)) == 4
        refused = await r.cloud.ask(move(r.state.fen, "a2a3", "t-more"))
        assert (refused.status, refused.detail.code) == (400, "session-ended")
        assert r.kinds[:9] == [
            *("received", "started", "answered"),
            *("received", "validated", "commanded", "moved", "confirmed", "answered"),
        ]
        assert r.kinds.count("ended") == 1


async def test_a_token_has_one_answer_for_ever(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        request = move(chess.STARTING_FEN, "e2e4", "t-1")
        await r.cloud.send(request)
        await r.cloud.send(request)
        await r.cloud.ask(request)
        await anyio.sleep(30)
        assert [a.task_token for a in r.cloud.answers].count("t-1") == 1
        other = move(chess.STARTING_FEN, "d2d4", "t-1", session="elsewhere")
        await r.cloud.ask(other)
        r.scope.cancel()
        await anyio.sleep(1)
        r.group.start_soon(r.manage)
        await anyio.sleep(1)
        await r.cloud.ask(request)
        r.cloud.send_raw(b'{"taskToken": "t-1", "action": 5}')
        await anyio.sleep(1)
        same = [raw for raw in r.cloud.raw if b'"t-1"' in raw]
        assert len(same) == 5  # first, repeat, once more after the restart, repeat, malformed repeat
        assert len(set(same)) == 1
        assert len(r.table.executed) == 1


async def test_everything_that_is_refused_touches_nothing(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        assert (await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-0"))).detail.code == "no-session"
        await r.cloud.ask(start("t-start"))
        good = move(chess.STARTING_FEN, "e2e4", "?")
        cases = {
            "wrong-session": msgspec.structs.replace(good, session_id="s2"),
            "out-of-turn": move("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR b KQkq - 0 1", "e7e5", "?"),
            "illegal": move(chess.STARTING_FEN, "e2e5", "?"),
            "after-mismatch": msgspec.structs.replace(good, after=chess.STARTING_FEN),
            "position-mismatch": move("rnbqkbnr/pppppppp/8/8/8/4P3/PPPP1PPP/RNBQKBNR w KQkq - 0 1", "e3e4", "?"),
            "malformed": msgspec.structs.replace(good, before="no position at all"),
        }
        asked = len(r.table.questions)
        for code, request in cases.items():
            response = await r.cloud.ask(msgspec.structs.replace(request, task_token=f"t-{code}"))
            assert (response.status, response.detail.code) == (400, code)
            assert response.reason
        assert r.table.jobs_heard == []
        assert len(r.table.questions) == asked
        assert (await r.cloud.ask(msgspec.structs.replace(good, task_token="t-good"))).status == 200


async def test_payloads_that_do_not_parse(rig: Rig, start: Make) -> None:
    async with rig() as r:
        payloads = [
            b"not json",
            b'{"action":"move","sessionId":"s1","taskToken":"t-9"}',
            b"[" * 9000,
            b'{"taskToken":"t-8","pad":"' + b"x" * 8000 + b'"}',
            b'{"taskToken":"' + b"x" * 3000 + b'","action":"start"}',
            b"\xff\xfe\x00",
            msgspec.json.encode(start("\u20ac" * 2000)),
        ]
        for payload in payloads:
            r.cloud.send_raw(payload)
        await anyio.sleep(1)
        answers = r.cloud.answers
        assert [a.status for a in answers] == [400] * len(payloads)
        assert [a.task_token for a in answers] == [None, "t-9", None, "t-8", None, None, None]
        assert [a.detail.code for a in answers] == [
            *("malformed", "malformed", "oversized", "oversized", "malformed", "malformed", "oversized")
        ]
        assert "before" in answers[1].reason
        assert r.state.status == "idle"


@pytest.mark.slow  # thousands of requests
async def test_a_flood_of_refusals_does_not_fill_the_journal(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        done = await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-1"))
        size = len(r.kinds)
        for number in range(1, REFUSALS_KEPT + 201):
            if number % 2:
                r.cloud.send_raw(b'{"taskToken":"m-%d","action":"move"}' % number)
            else:
                await r.cloud.send(move(chess.STARTING_FEN, "e2e4", f"m-{number}"))  # out of turn by now
            r.cloud.send_raw(b'{"action":"move"}')  # without a token there is nothing to be remembered for
            await anyio.sleep(0.01)
        assert len(r.kinds) == size + REFUSALS_KEPT
        assert r.kinds.count("refused") == REFUSALS_KEPT
        assert {answer.status for answer in r.cloud.answers[2:]} == {400}
        newest = next(raw for raw in r.cloud.raw if f'"m-{REFUSALS_KEPT + 200}"'.encode() in raw)
        await r.cloud.ask(move(r.state.fen, "e7e5", f"m-{REFUSALS_KEPT + 200}"))
        assert r.cloud.raw[-1] == newest
        # what was done for a token is remembered, whatever was refused since
        assert await r.cloud.ask(move(r.state.fen, "e7e5", "t-1")) == done


async def test_busy(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        await r.cloud.send(move(chess.STARTING_FEN, "e2e4", "t-1"))
        await anyio.sleep(2)
        assert (r.state.phase, r.state.expecting, r.state.lan) == ("arm", "arm", "e2e4")
        busy = await r.cloud.ask(move(chess.STARTING_FEN, "d2d4", "t-2"))
        assert (busy.status, busy.detail.code) == (400, "busy")
        assert "new taskToken" in busy.reason
        assert (await r.cloud.ask(start("t-3", "s2"))).detail.code == "busy"
        await anyio.sleep(10)
        assert r.state.fen.startswith("rnbqkbnr/pppppppp/8/8/4P3/8")
        again = await r.cloud.ask(move(chess.STARTING_FEN, "d2d4", "t-2"))
        assert again == busy, "one token has one answer"


async def test_a_silent_board_is_asked_three_times(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        r.table.board_silent = 2
        assert (await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-1"))).status == 200
        assert [q.move_type for q in r.table.questions] == [None, "RETRY", "RETRY", None]
        r.table.board_silent = 3
        failed = await r.cloud.ask(move(r.state.fen, "e7e5", "t-2"))
        assert (failed.status, failed.detail.phase, failed.detail.code) == (500, "board-before", "board-blind")
        assert len(r.table.executed) == 1


async def test_a_blind_board_is_asked_again_after_a_pause(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        r.table.board_blind = 1
        assert (await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-1"))).status == 200
        r.table.board_blind = 3
        failed = await r.cloud.ask(move(r.state.fen, "e7e5", "t-2"))
        assert failed.detail.code == "board-blind"


async def test_the_wrong_position_before_is_named(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        r.table.placement = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKB1R"
        failed = await r.cloud.ask(start("t-start"))
        assert (failed.status, failed.detail.code) == (500, "before-mismatch")
        assert "g1 is empty, expected a white knight" in failed.reason
        assert failed.detail.differences == (m.SquareDifference(square="g1", expected="N"),)
        assert failed.detail.found == r.table.placement
        assert r.state.status == "idle"


async def test_a_lost_job_is_given_again_and_done_once(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        r.table.arm_silent = 3
        assert (await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-1"))).status == 200
        assert len(r.table.jobs_heard) == 4
        assert len({job.job_id for job in r.table.jobs_heard}) == 1
        assert len({job.deadline for job in r.table.jobs_heard}) == 1
        assert len(r.table.executed) == 1


async def test_a_move_that_did_not_happen_is_not_confirmed(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        r.table.arm_moves = False
        failed = await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-1"))
        assert (failed.status, failed.detail.code, failed.detail.phase) == (500, "unchanged", "board-after")
        assert failed.detail.found == chess.STARTING_BOARD_FEN
        assert failed.detail.expected == "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR"
        r.table.arm_outcome = "refused"
        refused = await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-2"))
        assert (refused.status, refused.detail.code) == (500, "arm-refused")
        assert r.state.ply == 0
        r.table.arm_moves, r.table.arm_outcome = True, "done"
        assert (await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-3"))).status == 200


async def test_unknown_waits_for_the_arms_to_rest(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        r.table.arm_outcome, r.table.arm_parked = "unknown", False
        await r.cloud.send(move(chess.STARTING_FEN, "e2e4", "t-1"))
        await anyio.sleep(6)  # the result came; the arms' own word was before it and does not count
        assert len(r.cloud.raw) == 1
        bus = r.broker.client("arm again")
        await r.table.show_arm(bus, "parked", None)
        await anyio.sleep(1)
        assert r.cloud.answers[-1].status == 200
        lost = await r.cloud.ask(move(r.state.fen, "e7e5", "t-2"))
        assert (lost.status, lost.detail.code, lost.detail.phase) == (500, "arm-lost", "board-after")
        assert r.state.ply == 1


async def test_a_dead_arm_ends_in_arm_lost(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        r.table.arm_silent = 1000
        lost = await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-1"))
        assert (lost.status, lost.detail.code) == (500, "arm-lost")
        assert lost.detail.timings_s["total"] == pytest.approx(201, abs=2)
        assert r.table.executed == []


async def test_a_person_moves_the_pieces(rig: Rig, start: Make, move: Make) -> None:
    async with rig(robot_enabled=False) as r:
        await r.cloud.ask(start("t-start"))
        await r.cloud.send(move(chess.STARTING_FEN, "e2e4", "t-1"))
        await anyio.sleep(2)
        assert (r.state.expecting, r.state.robot_enabled) == ("person", False)
        hand = r.broker.client("hand")
        r.table.placement = "rnbqkbnr/pppppppp/8/8/8/8/PPPP1PPP/RNBQKBNR"
        await r.table.show(hand)
        await anyio.sleep(60)
        assert len(r.cloud.raw) == 1
        r.table.placement = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR"
        await r.table.show(hand)
        await anyio.sleep(1)
        assert r.cloud.answers[-1].status == 200
        assert r.table.jobs_heard == []
        # the next one has been made before it is asked for
        r.table.placement = "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR"
        await r.table.show(hand)
        assert (await r.cloud.ask(move(r.state.fen, "e7e5", "t-2"))).status == 200
        late = await r.cloud.ask(move(r.state.fen, "g1f3", "t-3"))
        assert (late.status, late.detail.code) == (500, "deadline")
        assert "g1 holds a white knight, expected nothing" in late.reason


async def test_a_restart_with_a_piece_in_the_persons_hand(rig: Rig, start: Make, move: Make) -> None:
    async with rig(robot_enabled=False) as r:
        await r.cloud.ask(start("t-start"))
        await r.cloud.send(move(chess.STARTING_FEN, "e2e4", "t-1"))
        await anyio.sleep(2)
        hand = r.broker.client("hand")
        r.table.placement = "rnbqkbnr/pppppppp/8/8/8/8/PPPP1PPP/RNBQKBNR"
        await r.table.show(hand)
        r.scope.cancel()
        await anyio.sleep(1)
        r.group.start_soon(r.manage)
        await anyio.sleep(60)
        assert (r.state.expecting, r.state.phase, len(r.cloud.raw)) == ("person", "arm", 1)
        r.table.placement = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR"
        await r.table.show(hand)
        await anyio.sleep(1)
        assert r.cloud.answers[-1].status == 200
        # moved while the manager was away: the board's retained state tells
        await r.cloud.send(move(r.state.fen, "e7e5", "t-2"))
        await anyio.sleep(2)
        r.scope.cancel()
        await anyio.sleep(1)
        r.table.placement = "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR"
        await r.table.show(hand)
        r.group.start_soon(r.manage)
        await anyio.sleep(2)
        assert (r.cloud.answers[-1].task_token, r.cloud.answers[-1].status) == ("t-2", 200)
        # and the time goes on while the manager is away
        await r.cloud.send(move(r.state.fen, "g1f3", "t-3"))
        await anyio.sleep(2)
        r.scope.cancel()
        await anyio.sleep(590)
        r.group.start_soon(r.manage)
        await anyio.sleep(12)
        late = r.cloud.answers[-1]
        assert (late.task_token, late.status, late.detail.code) == ("t-3", 500, "deadline")


async def test_a_request_is_not_begun_after_its_deadline(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        now = VirtualClock().unix_s()
        late = await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-1", deadline=now - 1))
        assert (late.status, late.detail.code) == (500, "deadline")
        r.table.board_silent = 1
        late = await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-2", deadline=now + 3))
        assert (late.status, late.detail.code) == (500, "deadline")
        assert r.table.executed == []


@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.6, 2.0, 4.6, 5.0, 5.5])
async def test_killed_anywhere_it_goes_on(rig: Rig, start: Make, move: Make, after_s: float) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        await r.cloud.send(move(chess.STARTING_FEN, "e2e4", "t-1"))
        await anyio.sleep(after_s + 0.001)
        r.scope.cancel()
        await anyio.sleep(7.0)
        r.group.start_soon(r.manage)
        await anyio.sleep(60)
        answers = [raw for raw in r.cloud.raw if b'"t-1"' in raw]
        assert len(set(answers)) == 1
        assert b'"status":200' in answers[0]
        assert len(r.table.executed) == 1
        assert r.state.moves == ("e2e4",)


async def test_a_new_start_replaces_a_session_at_rest(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        fen = await play(r, move, ["e2e4"])
        again = await r.cloud.ask(start("t-again", fen=fen))
        assert again.status == 200
        assert r.state.ply == 1  # the same session at the same position: its history is kept
        assert (await r.cloud.ask(start("t-other", "s2"))).detail.code == "before-mismatch"
        assert r.state.session_id == "s1"
        r.table.placement = chess.STARTING_BOARD_FEN
        assert (await r.cloud.ask(start("t-third", "s2"))).status == 200
        assert (r.state.session_id, r.state.ply) == ("s2", 0)
        # the same id from the beginning is a new game as well
        assert (await r.cloud.ask(move(chess.STARTING_FEN, "e2e4", "t-5", session="s2"))).status == 200
        r.table.placement = chess.STARTING_BOARD_FEN
        assert (await r.cloud.ask(start("t-fourth", "s2"))).status == 200
        assert r.state.ply == 0


async def test_the_shadow_mirrors_and_never_hinders(rig: Rig, start: Make) -> None:
    class Broken:
        updates: list[Any] = []

        async def update(self, *, desired: Any = None, reported: Any = None) -> None:
            self.updates.append((desired, reported))
            raise LinkLost("no cloud today")

    shadow = Broken()
    async with rig(shadow=shadow) as r:
        assert (await r.cloud.ask(start("t-start"))).status == 200
    (desired, _), (_, reported) = shadow.updates
    assert desired["gameRequest"] == reported["gameRequest"]
    assert reported["gameResponse"]["status"] == 200


async def test_the_owner_of_the_match_ends_it_and_nobody_else(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        await r.cloud.ask(start("t-start"))
        fen = await play(r, move, ["e2e4"])

        async def say(request_id: str, **fields: Any) -> str:
            control = m.SessionControl(request_id=request_id, **fields)
            await r.cloud.bus.publish(r.topics.session_control, control)
            await anyio.sleep(1)
            return str(r.state.status)

        # what a player or an operator wishes goes to the director
        assert await say("wish-1", command="resign", session_id="s1", color="b") == "running"
        assert await say("wish-2", command="draw", session_id="s1") == "running"
        assert await say("odd-1", command="pause", session_id="s1", result="1-0") == "running"
        assert await say("odd-2", command="resign", result="1-0") == "running"
        assert await say("odd-3", command="resign", session_id="s2", result="1-0") == "running"
        await r.cloud.send(move(fen, "e7e5", "t-under-way"))
        await anyio.sleep(1)
        assert await say("end", command="draw", session_id="s1", result="1/2-1/2") == "running"
        await anyio.sleep(20)
        assert r.cloud.answers[-1].status == 200
        assert (r.state.status, r.state.ply) == ("ended", 2)
        assert (r.state.result, r.state.termination) == ("1/2-1/2", "agreement")
        assert await say("end", command="draw", session_id="s1", result="1/2-1/2") == "ended"
        assert r.kinds.count("ended") == 1
        r.scope.cancel()
        await anyio.sleep(1)
        r.group.start_soon(r.manage)
        await anyio.sleep(1)
        assert (r.state.status, r.state.termination) == ("ended", "agreement")
        refused = await r.cloud.ask(move(r.state.fen, "a2a3", "t-more"))
        assert (refused.status, refused.detail.code) == (400, "session-ended")


async def test_session_states_are_numbered_over_restarts(rig: Rig, start: Make, move: Make) -> None:
    async with rig() as r:
        shown: list[m.SessionState] = []

        async def look() -> None:
            async with r.broker.client("onlooker").subscribe(r.topics.session_state) as deliveries:
                async for delivery in deliveries:
                    state = delivery.decode(r.topics.session_state)
                    shown.append(state)

        r.group.start_soon(look)
        await r.cloud.ask(start("t-start"))
        await play(r, move, ["e2e4"])
        r.scope.cancel()
        await anyio.sleep(1)
        r.group.start_soon(r.manage)
        await anyio.sleep(1)
        await r.cloud.ask(move(r.state.fen, "e7e5", "t-2"))
        await anyio.sleep(1)
        numbers = [state.seq for state in shown if state.seq is not None]
        assert len(numbers) == len(shown)
        assert numbers == sorted(numbers)
        assert numbers[-1] == len(r.kinds)
        for one, next_one in itertools.pairwise(shown):
            if one.seq == next_one.seq:
                assert msgspec.structs.replace(one, phase=next_one.phase) == next_one
