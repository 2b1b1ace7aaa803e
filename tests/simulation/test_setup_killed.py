"""`edgechess table setup` while the game manager and the arm controller are killed again and again, at chosen instants."""

from __future__ import annotations

import dataclasses
import random
import sqlite3

import anyio
import pytest

from edgechess_cli.virtual_table import VirtualSetup, VirtualTable
from edgechess_cli.virtual_time import run_virtual
from edgechess_kit.clock import VirtualClock
from edgechess_kit.journal import Entry, SqliteJournal
from edgechess_kit.messages import GameResponse
from edgechess_kit.topics import Topics
from edgechess_match_director.rules import setup_request
from edgechess_twin.table import Table

FOUND = "r1bq1rk1/ppp2ppp/2np1n2/2b1p3/2B1P3/2NP1N2/PPP2PPP/R1BQ1RK1"  # fourteen pieces away from home
GOAL = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR"
VICTIMS = ("game-manager", "arm-controller")
EFFECTS = 30  # a kill comes within so many journal entries, publishes and bytes sent of its victim
CALM_S = (6.0, 25.0)  # between two kills: a piece or two, and at times less than a restart
LIMIT_S = 2 * 3600.0
ATTEMPTS = 8  # whoever is answered that a person is needed has that put right, and asks again
PERSON_S = 60.0  # in which a person comes, and arms are brought home


@dataclasses.dataclass
class Outcome:
    answers: list[GameResponse]
    kills: dict[str, int]
    placement: str
    upright: bool
    ordered: list[Entry]
    accepted: list[Entry]
    grasping: list[Entry]


class SetUp:
    """One table that is set up, and two processes that die meanwhile."""

    def __init__(self, seed: int, kills: int) -> None:
        self.dice = random.Random(f"{seed}/kills")
        self.kills = kills
        self.topics = Topics()
        self.seen: dict[str, list[GameResponse]] = {}
        self.news = anyio.Event()
        self.virtual = VirtualTable(VirtualSetup(seed), self.topics, self.observe)

    def observe(self, _sender: str, topic: str, payload: bytes) -> None:
        if topic == self.topics.cloud_response.name:
            response = self.topics.cloud_response.decode(payload)
            self.seen.setdefault(response.task_token or "", []).append(response)
            self.news.set()
            self.news = anyio.Event()

    async def run(self) -> Outcome:
        async def arrange(table: Table) -> None:
            await table.person.arrange(FOUND)

        answers = []
        with anyio.fail_after(LIMIT_S):
            async with self.virtual.running(arrange), anyio.create_task_group() as tasks:
                await anyio.sleep(60.0)  # the arms are up
                tasks.start_soon(self.misfortune)
                for attempt in range(ATTEMPTS):
                    answers.append(await self.ask(f"setup-{attempt}"))
                    if answers[-1].status == 200:
                        break
                    await anyio.sleep(PERSON_S)
                tasks.cancel_scope.cancel()
        world = self.virtual.table.world
        disks = self.virtual._disks
        return Outcome(
            answers,
            {name: self.virtual.processes[name].kills for name in VICTIMS},
            world.placement().fen.split(" ")[0],
            not world.accidents,
            entries(disks["game-manager"], "setup-ordered"),
            entries(disks["arm-controller"], "job-accepted"),
            entries(disks["arm-controller"], "grasping"),
        )

    async def ask(self, token: str) -> GameResponse:
        """As the command does, and again under the same token for as long as nothing is answered."""
        while token not in self.seen:
            await self.virtual.operator.publish(self.topics.cloud_request, setup_request("setup", token, GOAL))
            with anyio.move_on_after(60.0):
                while token not in self.seen:
                    await self.news.wait()
        return self.seen[token][0]

    async def misfortune(self) -> None:
        for number in range(self.kills):
            victim = self.virtual.processes[VICTIMS[number % len(VICTIMS)]]
            if victim.power.on:
                victim.power.cut_at(self.dice.randint(1, EFFECTS), after_effect=self.dice.random() < 0.5)
            await anyio.sleep(self.dice.uniform(*CALM_S))


def entries(disk: sqlite3.Connection, kind: str) -> list[Entry]:
    return SqliteJournal.over(disk, VirtualClock()).entries(kind=kind)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_setup_ends_with_the_right_placement_and_nothing_is_done_twice(seed: int) -> None:
    outcome = run_virtual(SetUp(seed, kills=6).run, seed=seed)
    assert outcome.answers[-1].status == 200
    assert outcome.placement == GOAL
    assert all(outcome.kills[name] >= 2 for name in VICTIMS), outcome.kills
    jobs = [entry.key for entry in outcome.accepted]
    assert len(jobs) == len(set(jobs)), "one id, one job"
    assert set(jobs) <= {entry.data["job"]["jobId"] for entry in outcome.ordered}, "and none that was not ordered"
    grasps = [(entry.key, entry.data["index"]) for entry in outcome.grasping]
    assert len(grasps) == len(set(grasps)), "no piece of a job is taken up twice"


@pytest.mark.slow
def test_without_kills_every_piece_is_carried_once() -> None:
    """The measure of the other test: fourteen pieces go home, each in one carry."""
    outcome = run_virtual(SetUp(4, kills=0).run, seed=4)
    assert [answer.status for answer in outcome.answers] == [200]
    assert outcome.placement == GOAL
    assert outcome.upright
    homes = [entry.data["to_place"] for entry in outcome.grasping]
    assert len(homes) == len(set(homes)) == 14, homes
