"""What a match looks like: JSON lines for scripts, plain lines in a log, a picture that fits its terminal."""

from __future__ import annotations

import io
import json
from typing import Any

import chess
import msgspec
import pytest
from rich.console import Console

from edgechess_cli.match_options import MatchSummary
from edgechess_cli.match_view import View, event_line, fold, numbered, render
from edgechess_cli.terminal import JsonLines, LivePicture, PlainLines, closing_line
from edgechess_kit import messages as m
from edgechess_kit.bus import Delivery
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topic, Topics

TOPICS = Topics()
MATE = MatchSummary(
    "0-1", "checkmate", 4, 4, 0, 1, "rnb1kbnr/pppp1ppp/8/4p3/6Pq/5P2/PPPPP2P/RNBQKBNR w KQkq - 1 3", 9.5
)
AFTER_E4 = "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"


def delivery(topic: Topic[Any], message: m.Message) -> Delivery:
    return Delivery(topic.name, topic.encode(message))


def event(component: str, kind: str, **data: Any) -> Delivery:
    return delivery(
        TOPICS.events, m.EdgeEvent(component=component, kind=kind, seq=1, at=2.0, session_id="s", data=data)
    )


CONFIRMED = event("match-director", "confirmed", ply=1, san="e4", timings={"arm": 1.25, "total": 1.9})
FAILED = event("match-director", "failed", status=500, reason="e4 is empty, expected a white pawn")
SUMMARY = event("match-director", "summary", **msgspec.to_builtins(MATE))


def test_json_lines_end_with_the_summary_and_hold_nothing_else() -> None:
    out = io.StringIO()
    with JsonLines(out) as screen:
        screen.say("prose")
        screen.typing("prompt", "e4")
        screen.tell({"event": "table", "broker": "mqtt://127.0.0.1:1"})
        screen.show(CONFIRMED)
        screen.show(SUMMARY)
        screen.show(delivery(TOPICS.session_state, m.SessionState(status="idle")))
        screen.show(Delivery(TOPICS.events.name, b"no JSON"))
    screen.finish(MATE)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["table", "confirmed", "summary"]
    assert lines[1]["component"] == "match-director"
    assert lines[1]["san"] == "e4"
    assert lines[-1] == MATE.as_event()


def test_plain_lines_read_like_a_log() -> None:
    out = io.StringIO()
    with PlainLines(out) as screen:
        screen.say("broker here")
        screen.tell({"event": "table"})
        screen.show(CONFIRMED)
        screen.show(FAILED)
        screen.show(event("match-director", "helped"))
        screen.show(event("game-manager", "confirmed", ply=1))
        screen.typing("White: ", "")
        screen.typing("White: ", "e")
    screen.finish(MATE)
    assert out.getvalue().splitlines() == [
        "broker here",
        "   1. e4       arm 1.25 s · total 1.90 s",
        "      500 e4 is empty, expected a white pawn",
        "      put right by a person",
        "White: ",
        "0-1 by checkmate: 4 of 4 plies confirmed on the board, 1 helped by a person, 10 s",
    ]


def test_the_closing_line_without_help() -> None:
    assert "no help needed" in closing_line(MatchSummary("1-0", "checkmate", 1, 1, 0, 0, AFTER_E4, 1.0))


def played() -> View:
    """A view with everything in it, and texts longer than any terminal."""
    view = View("stockfish:elo=1350", "human")
    for ply in range(1, 120):
        view = fold(view, event("match-director", "confirmed", ply=ply, san="Nbxd7+", timings={"total": 2.0}), TOPICS)
    slots = tuple(m.SlotState(slot=f"tray-white-{n}", piece="p") for n in range(16))
    deliveries = [
        delivery(TOPICS.session_state, m.SessionState(
            status="running", session_id="s", fen=AFTER_E4, moves=("e2e4",), ply=1, phase="arm", lan="e7e5",
        )),
        delivery(TOPICS.board_state, m.BoardState(connected=True, settled=True, placement=AFTER_E4.split()[0])),
        delivery(TOPICS.arm_state, m.ArmState(
            arms=tuple(
                m.ArmStatus(name=name, kind="dobot", mode="moving", tool_mm=(-509.0, -708.0, 236.0), holding="p",
                            alarm="a very long alarm of a controller that has much to say about its joints")
                for name in ("white", "black")
            ),
            lease_holder="black", lease_token=123, tray=slots, rack=slots[:5], stopped=True,
        )),
        delivery(TOPICS.cloud_response, m.GameResponse(
            status=200, task_token="t", detail=m.ResponseDetail(
                timings_s={"board-before": 10.31, "arm": 12.34, "board-after": 10.32, "total": 33.0}))),
        delivery(TOPICS.cloud_response, m.GameResponse(status=500, task_token="t", reason="[red]a2[/red] holds " * 20)),
    ]  # fmt: skip
    deliveries += [
        delivery(TOPICS.status, m.EdgeStatus(component=name, status="ready"))
        for name in ("arm-controller", "board-sensor", "game-manager", "match-director")
    ]
    for item in deliveries:
        view = fold(view, item, TOPICS)
    return view


def drawn(view: View, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(render(view, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("size", [(80, 24), (130, 40), (200, 60), (72, 24), (60, 24), (40, 20)])
@pytest.mark.parametrize("view", [View("random", "random"), played()], ids=["empty", "full"])
def test_the_picture_fits_and_nothing_wraps(view: View, size: tuple[int, int]) -> None:
    width, height = size
    lines = drawn(view, width, height)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert all(line[-1] in "╮│╯" for line in lines if line.strip()), "a frame that is open is a line that was wrapped"


def test_the_picture_shows_board_phases_arms_and_what_is_wrong() -> None:
    text = "\n".join(drawn(played(), 130, 40))
    for part in ("1. Black to move", "stockfish:elo=1350 – human", "▶ move 12.3s", "· after 10.3s", "33.0 s in all",
                 "60. Nbxd7+", "500: [red]a2[/red] holds", "white moving", "zone 123", "STOPPED", "tray ♟♟♟",
                 "arms board manager director"):  # fmt: skip
        assert part in text
    assert text.count("♟") >= 16


def test_a_typed_line_is_shown_and_a_result_is_the_title() -> None:
    import dataclasses

    view = dataclasses.replace(played(), prompt="White (Nf3 or g1f3; resign): Nf", problem=None)
    assert "resign): Nf▏" in "\n".join(drawn(view, 80, 24))
    ended = m.SessionState(status="ended", fen=AFTER_E4, result="1/2-1/2", termination="stalemate")
    view = fold(view, delivery(TOPICS.session_state, ended), TOPICS)
    assert "1/2-1/2 stalemate" in drawn(view, 80, 24)[0]


def test_what_was_said_goes_away_when_the_game_begins() -> None:
    import dataclasses

    view = dataclasses.replace(View("random", "random"), said=("setting up",))
    assert "setting up" in "\n".join(drawn(view, 80, 24)[:11])
    view = fold(view, delivery(TOPICS.session_state, m.SessionState(status="running", fen=AFTER_E4)), TOPICS)
    assert view.said == ()


def test_only_what_the_board_is_sure_of_is_marked_wrong() -> None:
    def red(settled: bool, phase: m.Phase | None) -> bool:
        view = View("random", "random")
        for item in (
            delivery(TOPICS.session_state, m.SessionState(status="running", fen=AFTER_E4, phase=phase)),
            delivery(
                TOPICS.board_state, m.BoardState(connected=True, settled=settled, placement=chess.STARTING_BOARD_FEN)
            ),
        ):
            view = fold(view, item, TOPICS)
        console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system="truecolor")
        console.print(render(view, 80, 24))
        assert isinstance(console.file, io.StringIO)
        return "48;2;200;60;60" in console.file.getvalue()

    assert red(settled=True, phase=None)
    assert not red(settled=False, phase=None)
    assert not red(settled=True, phase="arm")


def test_a_message_that_is_none_does_not_stop_the_picture() -> None:
    with pytest.raises(WireError):
        fold(View("a", "b"), Delivery(TOPICS.board_state.name, b"{}"), TOPICS)
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    with LivePicture(console, "random", "random") as screen:
        screen.say("starting")
        screen.show(Delivery(TOPICS.board_state.name, b"{}"))
        screen.show(CONFIRMED)
        screen.say("PGN: here")
    screen.finish(MATE)
    assert isinstance(console.file, io.StringIO)
    end = console.file.getvalue().splitlines()[-3:]
    assert "PGN: here" in "".join(end)
    assert "0-1 by checkmate" in "".join(end)


@pytest.mark.parametrize(
    ("component", "kind", "data", "line"),
    [
        ("match-director", "move-chosen", {"by": "Stockfish", "san": "e4", "think_s": 0.13}, "Stockfish plays e4 after 0.1 s"),
        ("match-director", "confirmed", {"ply": 2, "san": "e5", "timings": {"total": 2}}, "1… e5 stands on the board after 2.0 s"),
        ("match-director", "helped", {}, "a person has put the table right"),
        ("arm-controller", "stopped", {"reason": "signal"}, "arms stopped: signal"),
        ("game-manager", "confirmed", {"ply": 2}, None),
        ("game-manager", "received", {}, None),
    ],
)  # fmt: skip
def test_events_as_sentences(component: str, kind: str, data: dict[str, Any], line: str | None) -> None:
    assert event_line(m.EdgeEvent(component=component, kind=kind, seq=1, at=0.0, data=data)) == line


def test_numbers_of_moves() -> None:
    assert [numbered(ply, "x", first=False) for ply in (1, 2, 3, 4)] == ["1. x", "x", "2. x", "x"]
    assert numbered(4, "x") == "2… x"
