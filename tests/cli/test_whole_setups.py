"""Tables that two arms set up from anywhere to anywhere, with every process and every wire, in virtual time."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import anyio
import chess
import pytest

from edgechess_cli.virtual_table import VirtualSetup, VirtualTable
from edgechess_cli.virtual_time import run_virtual
from edgechess_kit.messages import EdgeEvent, GameResponse
from edgechess_kit.topics import Topics
from edgechess_match_director.rules import setup_request
from edgechess_twin.table import Table

START = chess.STARTING_BOARD_FEN
ARMS_UP_S = 60.0
LIMIT_S = 2 * 3600.0
KILL_S = 40.0  # after a setup was asked for: an arm has a piece in its gripper, or nearly


@dataclasses.dataclass
class Outcome:
    """Of one setup after the other: the answer, the placement, and how many pieces each job carried, arm by arm."""

    answers: list[GameResponse] = dataclasses.field(default_factory=list)
    placements: list[str] = dataclasses.field(default_factory=list)
    jobs: list[list[tuple[str, int]]] = dataclasses.field(default_factory=list)
    trays: Counter[str] = dataclasses.field(default_factory=Counter)
    upright: bool = False


class SetUps:
    """One table; `goals` are asked for in turn."""

    def __init__(self, seed: int, found: str, goals: tuple[str, ...], kill: str | None = None) -> None:
        self.found, self.goals, self.kill = found, goals, kill
        self.topics = Topics()
        self.outcome = Outcome()
        self.responses: dict[str, GameResponse] = {}
        self.news = anyio.Event()
        self.virtual = VirtualTable(VirtualSetup(seed), self.topics, self.observe)

    def observe(self, _sender: str, topic: str, payload: bytes) -> None:
        if topic == self.topics.cloud_response.name:
            response = self.topics.cloud_response.decode(payload)
            self.responses.setdefault(response.task_token or "", response)
            self.news.set()
            self.news = anyio.Event()
        elif topic == self.topics.events.name:
            self.event(self.topics.events.decode(payload))

    def event(self, event: EdgeEvent) -> None:
        if event.component == "arm-controller" and event.kind == "job-accepted":
            self.outcome.jobs[-1].append((str(event.data["arm"]), len(event.data["carries"])))

    async def run(self) -> Outcome:
        async def arrange(table: Table) -> None:
            await table.person.arrange(self.found)

        with anyio.fail_after(LIMIT_S):
            async with self.virtual.running(arrange), anyio.create_task_group() as tasks:
                await anyio.sleep(ARMS_UP_S)
                for number, goal in enumerate(self.goals):
                    self.outcome.jobs.append([])
                    if self.kill is not None:
                        tasks.start_soon(self.killing, self.kill)
                    self.outcome.answers.append(await self.ask(f"setup-{number}", goal))
                    self.outcome.placements.append(self.virtual.table.world.placement().fen.split(" ")[0])
                tasks.cancel_scope.cancel()
        self.outcome.upright = not self.virtual.table.world.accidents
        return self.outcome

    async def killing(self, name: str) -> None:
        await anyio.sleep(KILL_S)
        self.virtual.processes[name].power.cut_at(1, after_effect=True)

    async def ask(self, token: str, goal: str) -> GameResponse:
        while token not in self.responses:
            await self.virtual.operator.publish(self.topics.cloud_request, setup_request("setup", token, goal))
            with anyio.move_on_after(60.0):
                while token not in self.responses:
                    await self.news.wait()
        return self.responses[token]


def fen_of(pieces: dict[str, str]) -> str:
    board = chess.BaseBoard.empty()
    for square, letter in pieces.items():
        board.set_piece_at(chess.parse_square(square), chess.Piece.from_symbol(letter))
    return board.board_fen()


def a_table(seed: int) -> tuple[str, str]:
    """A placement of all 32 pieces, eight of them anywhere, and a position without six of them and six others elsewhere."""
    dice = random.Random(seed)
    found = scattered({chess.square_name(s): p.symbol() for s, p in chess.BaseBoard().piece_map().items()}, 8, dice)
    goal = {square: found[square] for square in dice.sample(sorted(found), 26)}
    return fen_of(found), fen_of(scattered(goal, 6, dice))


def scattered(pieces: dict[str, str], count: int, dice: random.Random) -> dict[str, str]:
    moved = [pieces.pop(square) for square in dice.sample(sorted(pieces), count)]
    free = [square for square in chess.SQUARE_NAMES if square not in pieces]
    return {**pieces, **dict(zip(dice.sample(free, count), moved, strict=True))}


def set_up(seed: int, kill: str | None = None) -> Outcome:
    found, goal = a_table(seed)
    return run_virtual(SetUps(seed, found, (goal, START), kill).run, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "kill"), [(1, None), (2, "game-manager"), (3, "arm-controller")])
def test_from_anywhere_to_any_position_and_back_with_what_lies_in_the_trays(seed: int, kill: str | None) -> None:
    outcome = set_up(seed, kill)
    assert [answer.status for answer in outcome.answers] == [200, 200], outcome.answers
    assert outcome.placements == [a_table(seed)[1], START]
    assert outcome.upright
    for jobs in outcome.jobs:
        assert {arm for arm, _ in jobs} == {"white", "black"}, "both share the work"
        assert all(0 < count <= 8 for _, count in jobs)
