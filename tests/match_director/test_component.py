"""The director on the memory bus, in virtual time, against a scripted game manager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import chess
import chess.pgn
import pytest

from edgechess_inference.errors import PlayerFailed, PlayerWordError
from edgechess_inference.player import Answer, Player, PlayerOptions, Question, Seat
from edgechess_kit.errors import SettingsError
from edgechess_kit.messages import (
    BoardMoved,
    BoardState,
    GameRequest,
    GameResponse,
    ResponseDetail,
    SessionControl,
    SessionControlResponse,
)
from edgechess_kit.topics import Topics
from edgechess_match_director.component import run
from edgechess_match_director.settings import Settings

pytestmark = pytest.mark.anyio

Script = Callable[[GameRequest], list[GameResponse]]


def settings(**changes: Any) -> Settings:
    usual: dict[str, Any] = {
        "autostart": True,
        "exit_when_done": True,
        "white": "random",
        "black": "random",
        "session_id": "s1",
        "inline": True,
    }
    return Settings(**(usual | changes))


async def played(table: Any, settings: Settings, **ports: Any) -> None:
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.manager.serve)
        with anyio.fail_after(100_000):
            await table.play(settings, **ports)
        tasks.cancel_scope.cancel()


async def test_a_random_game_goes_to_its_natural_end(table: Any, tmp_path: Path) -> None:
    path = tmp_path / "out" / "game.pgn"
    await played(table, settings(seed=4, pgn_path=str(path)))
    summary = table.summary
    assert list(summary) == [
        "result", "termination", "plies", "confirmed", "repaired", "helped", "final_fen", "seconds",
        "model_moves", "fallback_moves",
    ]  # fmt: skip
    with path.open() as file:
        game = chess.pgn.read_game(file)
    assert game is not None
    assert not game.errors
    assert game.headers["Result"] == summary["result"]
    assert game.end().board().fen() == summary["final_fen"]
    assert summary["plies"] == summary["confirmed"] == game.end().ply() == len(table.manager.moves)
    first = game.next()
    assert first is not None
    assert first.comment == "[%emt 0:00:00.0] board 0.4 s, arm 9.8 s, board 0.6 s"
    assert summary["seconds"] == pytest.approx(0.5 * summary["plies"])


class Obstinate:
    """A player that fails as it is told, then plays legally. `faults` are used up one per question."""

    seat: Seat = "answers"

    def __init__(self, word: str, faults: list[str]) -> None:
        self.word = word
        self.faults = faults
        self.closed = False

    async def choose(self, question: Question) -> Answer:
        fault = self.faults.pop(0) if self.faults else ""
        match fault:
            case "dies":
                raise PlayerFailed("it died")
            case "hangs":
                await anyio.sleep_forever()
            case "illegal":
                return Answer("e2e5", by=self.word)
            case "nothing":
                return Answer(None, by=self.word)
            case "resigns":
                return Answer(None, by=self.word, resigns=True)
        moves = sorted(move.uci() for move in question.board().legal_moves)
        return Answer(moves[0], by=self.word)

    async def close(self) -> None:
        self.closed = True


class Seats:
    """An opener of Obstinate players; remembers them."""

    def __init__(self, *faults: str, refuse_open: int = 0) -> None:
        self.faults = list(faults)
        self.refuse_open = refuse_open
        self.opened: list[Obstinate] = []

    async def __call__(self, word: str, options: PlayerOptions) -> Player:
        if self.refuse_open:
            self.refuse_open -= 1
            raise PlayerFailed("no engine")
        self.opened.append(Obstinate(word, self.faults))
        return self.opened[-1]


@pytest.mark.parametrize("fault", ["dies", "hangs", "illegal", "nothing"])
async def test_a_player_that_fails_is_asked_again_and_the_match_goes_on(table: Any, fault: str) -> None:
    seats = Seats(fault, fault)
    await played(table, settings(max_plies=2), opener=seats)
    assert table.summary["plies"] == 2
    assert len(table.of("player-failed")) == 2
    assert all(player.closed for player in seats.opened)


async def test_a_player_that_keeps_failing_ends_the_match_with_the_reason(table: Any) -> None:
    await played(table, settings(), opener=Seats("dies", "dies", "dies"))
    assert table.summary["termination"] == "abandoned: engine failed"
    assert table.summary["result"] == "*"
    assert table.of("ended")[0]["reason"] == "it died"
    assert table.manager.moves == []


async def test_an_engine_that_does_not_start_is_started_again(table: Any) -> None:
    await played(table, settings(max_plies=2), opener=Seats(refuse_open=3))
    assert table.summary["plies"] == 2


async def test_a_player_may_resign(table: Any) -> None:
    await played(table, settings(), opener=Seats("", "resigns"))
    assert (table.summary["result"], table.summary["termination"]) == ("1-0", "resignation")


async def test_a_silent_manager_is_given_the_same_token_again(new_table: Any, usual_answer: Script) -> None:
    silent = [True, True, False]

    def script(request: GameRequest) -> list[GameResponse]:
        return usual_answer(request)

    table = new_table(script)

    async def deaf(*, task_status: Any) -> None:
        async with table.manager.bus.subscribe(Topics().cloud_request) as deliveries:
            task_status.started()
            async for delivery in deliveries:
                request = delivery.decode(Topics().cloud_request)
                table.manager.requests.append(request)
                if request.lan and silent.pop(0):
                    continue
                for response in usual_answer(request):
                    await table.manager.bus.publish(Topics().cloud_response, response)

    table.manager.serve = deaf
    await played(table, settings(max_plies=1))
    asked = [request for request in table.manager.requests if request.lan]
    assert len(asked) == 3
    assert asked[0] == asked[1] == asked[2]


async def test_every_answer_may_come_twice_and_late(new_table: Any, usual_answer: Script) -> None:
    given: list[GameResponse] = []

    def script(request: GameRequest) -> list[GameResponse]:
        given.extend(usual_answer(request) * 2)
        return given[-6:]

    table = new_table(script)
    await played(table, settings(max_plies=12))
    assert table.summary["confirmed"] == 12
    assert len(table.manager.moves) == 12


async def test_a_move_that_a_person_put_right_counts_as_helped(new_table: Any, usual_answer: Script) -> None:
    def script(request: GameRequest) -> list[GameResponse]:
        if request.lan and request.executor is None and len(table.manager.moves) == 2:
            detail = ResponseDetail(
                phase="board-after", code="dropped", found="8/8/8/8/8/8/8/8", expected=request.after
            )
            table.wrong.set()
            return [GameResponse(status=500, task_token=request.task_token, reason="e4 is empty", detail=detail)]
        return usual_answer(request)

    table = new_table(script)
    table.wrong = anyio.Event()

    async def person() -> None:
        await table.wrong.wait()
        await anyio.sleep(30)
        await table.manager.show(table.manager.requests[-1].after)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(person)
        await played(table, settings(max_plies=3))
    assert table.summary["helped"] == 1
    assert table.of("failed")[0]["reason"] == "e4 is empty"
    assert table.of("confirmed")[1]["helped"]
    assert [request.executor for request in table.manager.requests if request.lan] == [None, None, "person", None]


async def test_killed_at_any_entry_the_match_goes_on_to_the_same_end(new_table: Any) -> None:
    whole = new_table()
    await played(whole, settings(max_plies=2, seed=3))
    entries = len(whole.events)
    for kill_at in range(1, entries):
        table = new_table()

        class Killed(Exception):
            pass

        def hear(kind: str, data: Any, table: Any = table, kill_at: int = kill_at) -> None:
            table.events.append((kind, data))
            if len(table.events) == kill_at:
                raise Killed

        async def die(table: Any = table, hear: Any = hear) -> None:
            with pytest.raises(BaseExceptionGroup) as caught:
                await run(table.context(settings(max_plies=2, seed=3)), on_event=hear)
            assert caught.group_contains(Killed)

        async with anyio.create_task_group() as tasks:
            await tasks.start(table.manager.serve)
            await die()
            with anyio.fail_after(1000):
                await table.play(settings(max_plies=2, seed=3))
            tasks.cancel_scope.cancel()
        unsure = {"seconds": None}
        assert table.summary | unsure == whole.summary | unsure
        tokens = [request.task_token for request in table.manager.requests]
        by_move = {request.lan: request.task_token for request in table.manager.requests}
        assert len(set(tokens)) == len(by_move) == 3  # the start and two moves, each with one token however often sent


async def test_a_match_that_was_over_shows_its_summary_again(table: Any) -> None:
    await played(table, settings(max_plies=2))
    first = table.summary
    moves = list(table.manager.moves)
    await played(table, settings(max_plies=2))
    assert table.of("summary") == [first, first]
    assert table.manager.moves == moves


async def test_a_paused_match_stays_paused_over_a_restart_unless_the_settings_say_otherwise(table: Any) -> None:
    async def pause() -> None:
        await anyio.sleep(2.2)
        control = SessionControl(command="pause", request_id="r1")
        await table.manager.bus.publish(Topics().session_control, control)

    for unpause, limit_s in ((False, 100), (False, 100), (True, 1000)):
        async with anyio.create_task_group() as tasks:
            await tasks.start(table.manager.serve)
            if not table.of("paused"):
                tasks.start_soon(pause)
            with anyio.move_on_after(limit_s) as scope:
                await table.play(settings(max_plies=8, unpause=unpause))
            tasks.cancel_scope.cancel()
        assert scope.cancelled_caught == (not unpause)
    assert table.summary["plies"] == 8


async def test_a_person_at_the_board_plays_against_a_player(table: Any) -> None:
    async def person() -> None:
        board = chess.Board()
        while len(board.move_stack) < 4:
            await anyio.sleep(20)
            for lan in table.manager.moves[len(board.move_stack) :]:
                board.push_uci(lan)
            if board.turn == chess.BLACK:
                continue
            before, move = board.fen(), min(board.legal_moves, key=chess.Move.uci)
            san = board.san(move)
            board.push(move)
            moved = BoardMoved(session_id="s1", lan=move.uci(), san=san, before=before, after=board.fen())
            await table.manager.bus.publish(Topics().board_moved, moved)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(person)
        await played(table, settings(white="human", max_plies=4))
        tasks.cancel_scope.cancel()
    assert [request.executor for request in table.manager.requests if request.lan] == ["person", None, "person", None]
    assert [data["by"] for data in table.of("confirmed")] == ["human", "random", "human", "random"]
    assert table.of("confirmed")[0]["think_s"] == pytest.approx(19.5)


async def test_a_person_at_the_prompt_is_asked_again_until_the_move_is_legal(table: Any) -> None:
    asked: list[str] = []
    typed = ["e5", "", "e2e4"]

    async def ask(prompt: str) -> str:
        asked.append(prompt)
        return typed.pop(0)

    await played(table, settings(white="human", max_plies=1), ask=ask)
    assert table.manager.moves == ["e2e4"]
    assert table.manager.requests[-1].executor is None
    assert "e5 is no legal move here" in asked[1]


async def test_the_hand_is_asked_for_moves_that_it_makes_itself(table: Any) -> None:
    await played(table, settings(white="hand", black="hand", max_plies=4))
    assert {request.executor for request in table.manager.requests if request.lan} == {"person"}


async def test_without_robots_every_move_is_a_persons(table: Any) -> None:
    await played(table, settings(robot_enabled=False, max_plies=2))
    assert {request.executor for request in table.manager.requests if request.lan} == {"person"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"white": "nobody"}, r"^white: .*there is no player 'nobody'"),
        ({"black": "pgn:/no/such/file.pgn"}, r"^black: .*no file"),
        ({"fen": "8/8/8/8/8/8/8/8 w - - 0 1"}, "not a possible chess position"),
        ({"fen": "7k/5Q2/8/8/8/8/8/K7 b - - 0 1"}, "over already: stalemate"),
    ],
)
async def test_settings_that_cannot_be_are_refused_by_name(table: Any, changes: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        await table.play(settings(**changes))


async def test_a_match_that_goes_on_needs_its_players(table: Any) -> None:
    async def gone(word: str, options: PlayerOptions) -> Player:
        raise PlayerWordError(f"{word} was uninstalled")

    async with anyio.create_task_group() as tasks:
        await tasks.start(table.manager.serve)
        with anyio.move_on_after(2):
            await table.play(settings())
        tasks.cancel_scope.cancel()
    with pytest.raises(SettingsError, match=r"^white: .* was uninstalled$"):
        await table.play(settings(), opener=gone)


async def test_a_session_is_led_by_session_control(table: Any) -> None:
    topics = Topics()
    operator = table.broker.client("operator")
    answers: dict[str, SessionControlResponse] = {}

    async def command(word: Any, **fields: Any) -> SessionControlResponse:
        request_id = f"r{len(answers)}"
        async with operator.subscribe(topics.session_control_response) as deliveries:
            control = SessionControl(command=word, request_id=request_id, **fields)
            await operator.publish(topics.session_control, control)
            with anyio.fail_after(10):
                async for delivery in deliveries:
                    response = delivery.decode(topics.session_control_response)
                    answers[request_id] = response
                    if response.request_id == request_id:
                        break
        return answers[request_id]

    async with anyio.create_task_group() as tasks:
        await tasks.start(table.manager.serve)
        tasks.start_soon(table.play, settings(autostart=False))
        await anyio.sleep(1)
        assert (await command("start")).reason == "there is no session; create one first"
        assert "nobody" in str((await command("create", white="nobody", black="random")).reason)
        created = await command("create", white="random", black="random", session_id="led")
        assert (created.status, created.session_id) == (200, "led")
        assert "not over yet" in str((await command("create", white="random", black="random")).reason)
        assert "has not been started" in str((await command("resign", color="w")).reason)
        assert (await command("start", session_id="other")).status == 400
        assert (await command("start", session_id="led")).status == 200
        await anyio.sleep(2.2)
        assert (await command("pause")).status == 200
        await anyio.sleep(5)
        paused_at = len(table.manager.moves)
        await anyio.sleep(50)
        assert len(table.manager.moves) == paused_at > 0
        assert (await command("resume")).status == 200
        await anyio.sleep(2.2)
        assert len(table.manager.moves) > paused_at
        assert "who resigns" in str((await command("resign")).reason)
        owner = SessionControl(command="resign", request_id="owner", session_id="led", color="b", result="1-0")
        await operator.publish(topics.session_control, owner)  # for the manager, who alone acts on it
        assert (await command("resign", color="w")).status == 200
        await anyio.sleep(2)
        assert (table.summary["result"], table.summary["termination"]) == ("0-1", "resignation")
        again = await command("start", white="random", black="random", session_id="second", max_plies=2)
        assert again.status == 200
        await anyio.sleep(10)
        assert (table.summary["termination"], table.summary["plies"]) == ("max-plies", 2)
        assert (await command("next", setup=True, white="human", max_plies=1)).status == 200
        await anyio.sleep(10)
        setup = next(request for request in table.manager.requests if request.action == "setup")
        assert setup.session_id == "second"
        assert "`lan` is missing" in str((await command("move")).reason)
        assert "not legal" in str((await command("move", lan="e2e5")).reason)
        assert (await command("move", lan="e2e4")).status == 200
        await anyio.sleep(10)
        assert (table.manager.moves[-1], table.summary["plies"]) == ("e2e4", 1)
        assert table.of("session-created")[-1]["black"] == "random"
        tasks.cancel_scope.cancel()


async def test_an_older_state_that_comes_late_does_not_count(table: Any) -> None:
    async def confuse() -> None:
        await anyio.sleep(5)
        after, before = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR", chess.STARTING_BOARD_FEN
        for at, placement in ((100.0, after), (99.0, before)):
            state = BoardState(connected=True, settled=True, placement=placement, at=at)
            await table.manager.bus.publish(Topics().board_state, state)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(confuse)
        await played(table, settings(white="human", max_plies=1))
    assert table.manager.moves == ["e2e4"]


SHOWCASE = Path(__file__).parents[3] / "shared" / "data" / "showcase"


@pytest.mark.skipif(not SHOWCASE.is_dir(), reason="the showcase games are not beside this checkout")
@pytest.mark.parametrize("number", range(1, 9))
async def test_a_recorded_game_is_replayed_to_its_recorded_end(table: Any, tmp_path: Path, number: int) -> None:
    file = sorted(SHOWCASE.glob("*.pgn"))[number - 1]
    with file.open() as text:
        recorded = chess.pgn.read_game(text)
    assert recorded is not None
    word = f"pgn:{file}"
    path = tmp_path / "out.pgn"
    await played(table, settings(white=word, black=word, pgn_path=str(path)))
    with path.open() as text:
        played_game = chess.pgn.read_game(text)
    assert played_game is not None
    assert list(played_game.mainline_moves()) == list(recorded.mainline_moves())
    assert played_game.headers["Result"] == recorded.headers["Result"] == table.summary["result"]
    if "mate" in file.name and "stalemate" not in file.name:
        assert table.summary["termination"] == "checkmate"
    if "stalemate" in file.name:
        assert table.summary["termination"] == "stalemate"
    if "threefold" in file.name:
        assert table.summary["termination"] in ("threefold-repetition", "agreement")


async def test_several_matches_are_played_and_the_arms_set_the_table_up_in_between(
    new_table: Any, tmp_path: Any
) -> None:
    path = tmp_path / "match.pgn"
    table = new_table()
    await played(table, settings(max_plies=2, matches=3, session_id="s", pgn_path=str(path)))
    actions = [(request.action, request.session_id) for request in table.manager.requests if request.action != "move"]
    assert actions == [("start", "s"), ("setup", "s"), ("start", "s-2"), ("setup", "s-2"), ("start", "s-3")]
    assert len(table.of("summary")) == 3
    assert [name.name for name in sorted(tmp_path.iterdir())] == ["match-2.pgn", "match-3.pgn", "match.pgn"]
    assert '[Round "3"]' in (tmp_path / "match-3.pgn").read_text()
    # started once more, it says how the last one ended and plays no fourth
    again = len(table.manager.requests)
    await played(table, settings(max_plies=2, matches=3, session_id="s"))
    assert len(table.manager.requests) == again
