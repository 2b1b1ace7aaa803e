"""Players' words as people say them."""

from __future__ import annotations

import pytest

from edgechess_console.naming import TITLE_LIMIT, player_title
from edgechess_console.telling import told
from edgechess_kit.messages import EdgeEvent

RECORD = "pgn:/srv/games/Paris 1858.pgn#2"


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("stockfish", "Stockfish"),
        ("stockfish:elo=1350", "Stockfish, Elo 1350"),
        ("stockfish:elo=1350,movetime=0.5", "Stockfish, Elo 1350, movetime 0.5"),
        ("human", "A person"),
        (RECORD, "Paris 1858, game 2 (record)"),
        ("pgn:games.pgn.zst", "games (record)"),
        ("model:edgechess@tal", "edgechess@tal"),
        ("openai:http://127.0.0.1:8000/v1#tiny", "tiny"),
        ("imported:arn:aws:bedrock:eu-west-1:1:imported-model/abc", "abc"),
        ("somebody-elses", "somebody-elses"),
        ("pgn:", "Replay"),
        ("pgn:/", "pgn:/"),
        ("", ""),
        ("x" * 500, "x" * TITLE_LIMIT),
    ],
)
def test_a_word_is_said_as_people_say_it(word: str, title: str) -> None:
    assert player_title(word) == title


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("session-created", {"white": RECORD, "black": RECORD}),
        ("move-chosen", {"by": RECORD, "san": "e4"}),
        ("player-failed", {"player": RECORD, "reason": "no such move"}),
    ],
)
def test_events_name_no_folder_of_this_machine(kind: str, data: dict[str, str]) -> None:
    _, text = told(EdgeEvent(component="match-director", kind=kind, seq=1, at=1.0, data=data))
    assert "Paris 1858, game 2 (record)" in text
    assert "/srv" not in text


@pytest.mark.parametrize(
    ("component", "kind", "data", "line"),
    [
        ("match-director", "asking", {"color": "b"}, ("quiet", "Black is asked for a move")),
        ("board-sensor", "board.connected", {"port": "/dev/serial/by-id/usb-DGT"}, ("good", "the board is connected: usb-DGT")),
        ("board-sensor", "board.connected", {}, ("good", "the board is connected")),
        ("game-manager", "answered", {"response": {"status": 500, "reason": "no piece", "detail": {"code": "setup-failed"}}}, ("warn", "the table is not set up: no piece")),
        ("game-manager", "answered", {"response": {"status": 200}}, ("quiet", "the answer: 200")),
        ("game-manager", "answered", {"response": [1]}, ("quiet", "the answer:")),
    ],
)  # fmt: skip
def test_entries_are_told_in_words(component: str, kind: str, data: dict[str, object], line: tuple[str, str]) -> None:
    assert told(EdgeEvent(component=component, kind=kind, seq=1, at=1.0, data=data)) == line
