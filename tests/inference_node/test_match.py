"""A whole match on the software table, models on both sides, through the node and the bus, with a model that misbehaves."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import chess
import chess.pgn
import pytest

from edgechess_cli.match_options import MatchOptions
from edgechess_cli.virtual_match import MatchReport, play_virtual
from edgechess_kit import messages as m
from edgechess_kit.bus import Delivery
from edgechess_kit.topics import Topics

PLIES = 12
PLAN = ("good", "illegal first", "prose", "nothing", "late", "json", "away", "never legal", "two moves first", "uci")
"""Of `scripted_model.PLAN`, by ply."""
BY_THE_MODEL = ("good", "illegal first", "nothing", "json", "two moves first", "uci")
FAILURES = {
    "good": [],
    "illegal first": ["illegal"],
    "prose": ["no-move"] * 3,
    "nothing": ["no-answer"] * 2,
    "late": ["late"],
    "json": [],
    "away": ["unavailable"],
    "never legal": ["illegal"] * 3,
    "two moves first": ["ambiguous"],
    "uci": [],
}


def plan_of(board: chess.Board) -> str:
    return PLAN[(2 * board.fullmove_number - (1 if board.turn else 0) - 1) % len(PLAN)]


class Witness:
    """What was asked of the node and what it said, with the times of the bus."""

    def __init__(self) -> None:
        self.topics = Topics()
        self.requests: dict[str, m.InferenceRequest] = {}
        self.responses: dict[str, m.InferenceResponse] = {}
        self.moves: list[m.GameRequest] = []

    def __call__(self, delivery: Delivery) -> None:
        t = self.topics
        if delivery.topic == t.inference_request.name:
            request = delivery.decode(t.inference_request)
            self.requests[request.request_id] = request
        elif delivery.topic == t.inference_response.name:
            response = delivery.decode(t.inference_response)
            assert self.responses.setdefault(response.request_id, response) == response
        elif delivery.topic == t.cloud_request.name:
            request_ = delivery.decode(t.cloud_request)
            if request_.action == "move":
                self.moves.append(request_)


def played(tmp_path: Path, *, faults: str = "none", plies: int = PLIES) -> tuple[Witness, MatchReport]:
    witness = Witness()
    options = MatchOptions(
        "model:scripted", "model:scripted", "virtual", 5, faults, max_plies=plies,
        pgn=tmp_path / "match.pgn", node_players=("model",), node={"engine": "builtin"},
    )  # fmt: skip
    return witness, play_virtual(options, witness)


@pytest.mark.slow  # a match in virtual time
@pytest.mark.usefixtures("scripted")
def test_no_illegal_move_no_missed_deadline_and_the_record_shows_who_moved(tmp_path: Path) -> None:
    witness, report = played(tmp_path)
    assert report.breaches == ()
    assert len(witness.responses) == len(witness.requests) == PLIES
    for request_id, response in witness.responses.items():
        request, plan = witness.requests[request_id], plan_of(chess.Board(witness.requests[request_id].fen))
        assert response.status == 200
        assert chess.Move.from_uci(response.lan or "") in chess.Board(request.fen).legal_moves
        assert response.took_s is not None
        assert response.took_s < request.timeout_s
        assert response.fallback == (plan not in BY_THE_MODEL)
        assert [attempt.failure for attempt in response.attempts if attempt.failure] == FAILURES[plan]
        assert response.by == ("builtin" if response.fallback else "scripted")
    for move in witness.moves:
        assert chess.Move.from_uci(move.lan) in chess.Board(move.before).legal_moves
    plans = Counter(PLAN[ply % len(PLAN)] for ply in range(PLIES))
    by_model = sum(plans[name] for name in BY_THE_MODEL)
    assert (report.summary.model_moves, report.summary.fallback_moves) == (by_model, PLIES - by_model)
    game = chess.pgn.read_game(io.StringIO(report.pgn))
    assert game is not None
    comments = [node.comment for node in game.mainline()]
    assert "moved by scripted" in comments[0]
    assert "moved by scripted at attempt 2: illegal" in comments[1]
    assert "moved by builtin instead: no-move, no-move, no-move" in comments[2]
    assert "moved by scripted at attempt 3: no-answer, no-answer" in comments[3]
    assert "moved by builtin instead: late" in comments[4]


@pytest.mark.slow
@pytest.mark.usefixtures("scripted")
def test_the_same_match_under_faults_kills_and_lost_links(tmp_path: Path) -> None:
    witness, report = played(tmp_path, faults="harsh")
    assert report.breaches == ()
    assert report.summary.confirmed == PLIES
    assert report.summary.model_moves + report.summary.fallback_moves == PLIES
    for request_id, response in witness.responses.items():
        if response.status == 200:
            board = chess.Board(witness.requests[request_id].fen)
            assert chess.Move.from_uci(response.lan or "") in board.legal_moves


@pytest.mark.slow  # two matches in virtual time
@pytest.mark.usefixtures("scripted")
def test_the_same_seed_plays_the_same_match(tmp_path: Path) -> None:
    assert played(tmp_path, plies=5)[1].trace == played(tmp_path, plies=5)[1].trace
