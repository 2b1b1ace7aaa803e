"""One chunk of trials: a table in virtual time on which one episode after the other is made and judged.

The components that run for real decide, move and confirm; here the moves are only asked for, as the match director would.
A failure that needs a person gets one (the seeded person), counts as such, and the next episode begins on a fresh table.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence

import anyio
import chess

from edgechess_board.placement import Placement
from edgechess_cli.bench.arm import kind_of
from edgechess_cli.failures import told
from edgechess_cli.person_agent import halted
from edgechess_cli.trials_judge import Verdict, judge
from edgechess_cli.trials_plan import Chunk, Episode, MoveClass
from edgechess_cli.virtual_table import VirtualSetup, VirtualTable
from edgechess_cli.virtual_time import run_virtual
from edgechess_kit import messages as m
from edgechess_kit.errors import WireError
from edgechess_kit.topics import Topics
from edgechess_match_director.rules import ending, move_request, setup_request, start_request
from edgechess_robots.errors import CalibrationRefused
from edgechess_robots.layout import Point
from edgechess_twin import faults as twin_faults
from edgechess_twin.faults import Faults
from edgechess_twin.table import RACKS, Table
from edgechess_twin.world import PieceLeft, PieceView

ASK_AGAIN_S = 60.0  # without an answer the same token is sent again, as the director does
GIVE_UP_S = 3600.0  # virtual; longer than any setup. A table that hangs must not hang the trials
PUT_RIGHT_S = 600.0  # for a person to help and the arms to be free again
ATTEMPTS = 3  # of one move that the board shows not to have begun; then a person makes it
UNTOUCHED = ("unchanged", "arm-refused")
HAND_S = 5.0  # a hand has been over the table: nobody asks for a move sooner
REASON_LIMIT = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One request and its end. `outcome`: "good" at the first try, "recovered" by the arms themselves, "helped" by a person,
    "silent": never answered, or the arms were never free again, and nobody knows what would have become of it.

    `wrong`: confirmed although the world's map of pieces differs. `unnoticed`: what else was not as the criterion has it when the move was
    confirmed. `causes`: what had gone wrong by itself meanwhile.
    """

    kind: MoveClass
    outcome: str
    seconds: float
    what: str
    code: str = ""
    wrong: bool = False
    unnoticed: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class ChunkResult:
    """`refused`: why the arms could not be calibrated, so that nothing was tried."""

    trials: tuple[Trial, ...]
    refused: str = ""


def run_chunk(chunk: Chunk) -> ChunkResult:
    """Deterministic in the chunk. A table that was spoiled for the episodes that follow is left, and a new one built."""
    trials: list[Trial] = []
    left = chunk.episodes
    for number in range(len(chunk.episodes)):
        run = ChunkRun(chunk, left, number)
        refused: BaseExceptionGroup | None = None
        done = 0
        try:
            done = run_virtual(run.run, seed=chunk.seed + number)
        except* CalibrationRefused as refusal:
            refused = refusal
        if refused is not None:
            return ChunkResult(tuple(trials), told(refused))
        trials += run.trials
        left = left[done:]
        if not left:
            break
    return ChunkResult(tuple(trials))


class Silence(Exception):
    """No answer, or no peace after a failure: the table hangs."""


class ChunkRun:
    """Episodes on one table. `run` once; `trials` is what came of it, also when it was cut short."""

    def __init__(self, chunk: Chunk, episodes: Sequence[Episode], incarnation: int) -> None:
        self.trials: list[Trial] = []
        self._episodes = episodes
        self._faults = twin_faults.parse(chunk.faults)
        self._dice = random.Random(f"{chunk.seed}/{incarnation}/table")
        self._topics = Topics()
        setup = VirtualSetup(chunk.seed + incarnation, self._faults, (chunk.kind, chunk.kind))
        self._virtual = VirtualTable(setup, self._topics, self._published)
        self._tokens = 0
        self._awaited = ""
        self._answer: tuple[m.GameResponse, tuple[PieceView, ...], Placement] | None = None
        self._answered: anyio.Event
        self._arms_told: anyio.Event
        self._arms: m.ArmState | None = None
        self._spoiled = False
        self._fresh = False
        self._trying: tuple[MoveClass, str] | None = None
        """Class and words of the trial under way; None when the last one is booked."""

    async def run(self) -> int:
        """How many of the episodes are done: all, unless the table was spoiled on the way. Raises CalibrationRefused."""
        self._answered, self._arms_told = anyio.Event(), anyio.Event()
        first = self._episodes[0].fen
        done = 0
        async with self._virtual.running(lambda table: self._lay_out(table, first)):
            for episode in self._episodes:
                try:
                    with anyio.fail_after(GIVE_UP_S * (len(episode.moves) + 1)):
                        await self._episode(episode)
                except (Silence, TimeoutError) as silence:
                    self._book_silence(episode, f"silence: {silence}"[:REASON_LIMIT])
                    self._spoiled = True
                done += 1
                if self._spoiled:
                    break
        return done

    def _book_silence(self, episode: Episode, code: str) -> None:
        """As what it is, and of the class that was tried: the trial under way, or the one whose failure was never over."""
        if self._trying is not None:
            kind, what = self._trying
            self.trials.append(Trial(kind, "silent", GIVE_UP_S, what, code))
        elif self.trials:
            self.trials[-1] = dataclasses.replace(self.trials[-1], outcome="silent", code=code)
        self._trying = None

    def _book(self, trial: Trial) -> None:
        self._trying = None
        self.trials.append(trial)

    @property
    def _table(self) -> Table:
        return self._virtual.table

    # -- the table -------------------------------------------------------------------------------------------------

    async def _lay_out(self, table: Table, fen: str) -> None:
        """As a careful person leaves it: on the squares, off the centre as people do, empty trays and full racks."""
        pieces = [
            _left_by_hand(letter, table.world.square_centre(square), self._faults, self._dice)
            for square, letter in enumerate(Placement.from_fen(fen.split(" ", 1)[0]))
            if letter is not None
        ]
        for site in table.options.layout.sites:
            pieces += [
                PieceLeft(letter, slot.x_mm, slot.y_mm)
                for letter, slot in zip(RACKS[site.name], site.rack, strict=False)
            ]
        table.world.set_up(pieces)
        self._fresh = True

    async def _disturb(self, count: int) -> None:
        """So many pieces stand on other squares, that are free: somebody stumbled against the table and put it right."""
        world = self._table.world
        standing = [view for view in world.pieces() if view.upright and _on_board(view, world.layout.square_mm)]
        taken = {world.square_at(view.x_mm, view.y_mm) for view in standing}
        free = [square for square in range(64) if square not in taken]
        for view, square in zip(
            self._dice.sample(standing, min(count, len(standing))), self._dice.sample(free, len(free)), strict=False
        ):
            put = _left_by_hand(view.letter, world.square_centre(square), self._faults, self._dice)
            world.hand_leaves(view.number, put.x_mm, put.y_mm)

    # -- episodes --------------------------------------------------------------------------------------------------

    async def _episode(self, episode: Episode) -> None:
        if episode.wrong:
            self._trying = "restore", f"setup {episode.wrong} of {_pieces(episode.fen)}"
            await self._restore(episode)
            return
        board = chess.Board(episode.fen)
        self._trying = _tried(board, episode.moves[0])
        if not self._fresh:
            await self._lay_out(self._table, episode.fen)
        self._fresh = False
        session = f"trial-{self._tokens}"
        await self._ask(start_request(session, self._token(), episode.fen))
        for text in episode.moves:
            self._trying = _tried(board, text)
            trial = await self._move(session, board, chess.Move.from_uci(text))
            self._book(trial)
            if trial.outcome == "helped":
                await self._put_right()
                return
            board.push_uci(text)
            if ending(board) is not None:
                return  # the manager ends the session: the rest of the line is no move of it

    async def _move(self, session: str, board: chess.Board, move: chess.Move) -> Trial:
        (kind, what), fen = _tried(board, move.uci()), board.fen()
        after = board.copy(stack=False)
        after.push(move)
        goal = Placement.from_fen(after.board_fen())
        world = self._table.world
        before, was, accidents = world.pieces(), world.placement(), len(world.accidents)
        began_s = anyio.current_time()
        repaired, attempt = 0, 0
        while True:
            attempt += 1
            request = move_request(session, self._token(), fen, move.uci(), None)
            self._virtual.misfortune()
            response, seen, found = await self._ask(request)
            detail = response.detail
            repaired += detail.repaired if detail is not None else 0
            asks_again = detail is not None and detail.code in UNTOUCHED and attempt < ATTEMPTS
            if response.status == 200 or not asks_again:
                break
            await self._arms_at_rest()
        verdict = judge(before, seen, was, found, goal, world.layout)
        causes = tuple(world.accidents[accidents:])
        return _judged(kind, response, verdict, repaired + attempt - 1, began_s, what, causes)

    async def _restore(self, episode: Episode) -> None:
        if self._fresh:
            self._fresh = False
            await self._start_restores(episode)
        goal = Placement.from_fen(_pieces(episode.fen))
        world = self._table.world
        if episode.wrong > 0:
            await self._disturb(episode.wrong)
        before, was, accidents = world.pieces(), world.placement(), len(world.accidents)
        began_s = anyio.current_time()
        self._virtual.misfortune()
        request = setup_request("setup", self._token(), episode.fen)
        response, seen, found = await self._ask(request)
        verdict = judge(before, seen, was, found, goal, world.layout)
        causes = tuple(world.accidents[accidents:])
        what = f"setup {episode.wrong} of {_pieces(episode.fen)}"
        trial = _judged("restore", response, verdict, _failures(response), began_s, what, causes)
        self._book(trial)
        if trial.outcome == "helped":
            await self._put_right()
            self._spoiled = True  # a person took pieces from the trays: the arms no longer know what lies there

    async def _start_restores(self, episode: Episode) -> None:
        """A session tells the arms that trays are empty and racks full; the first setup ends it."""
        session = "setup"
        await self._ask(start_request(session, self._token(), episode.fen))

    # -- asking ----------------------------------------------------------------------------------------------------

    def _token(self) -> str:
        self._tokens += 1
        return f"token-{self._tokens}"

    async def _ask(self, request: m.GameRequest) -> tuple[m.GameResponse, tuple[PieceView, ...], Placement]:
        """The first answer, and what the world was at that instant. Raises Silence."""
        self._awaited, self._answer = request.task_token, None
        self._answered = anyio.Event()
        for _ in range(math.ceil(GIVE_UP_S / ASK_AGAIN_S)):
            await self._virtual.operator.publish(self._topics.cloud_request, request)
            with anyio.move_on_after(ASK_AGAIN_S):
                await self._answered.wait()
                break
        return self._told(request)

    def _told(self, request: m.GameRequest) -> tuple[m.GameResponse, tuple[PieceView, ...], Placement]:
        if self._answer is None:
            raise Silence(f"no answer to {request.lan or request.action} after {GIVE_UP_S:.0f} s")
        return self._answer

    def _published(self, _sender: str, topic: str, payload: bytes) -> None:
        """Judged while the answer is on its way: nothing can happen in between."""
        t = self._topics
        try:
            if topic == t.cloud_response.name and self._answer is None:
                response = t.cloud_response.decode(payload)
                if response.task_token == self._awaited:
                    world = self._table.world
                    self._answer = (response, world.pieces(), world.placement())
                    self._answered.set()
            elif topic == t.arm_state.name:
                self._arms = t.arm_state.decode(payload)
                told, self._arms_told = self._arms_told, anyio.Event()
                told.set()
        except WireError:
            return

    async def _put_right(self) -> None:
        """The person helps (see `PersonAgent`); goes on when no arm waits for anything any more. Raises Silence."""
        await anyio.sleep(HAND_S)
        await self._arms_at_rest()

    async def _arms_at_rest(self) -> None:
        """No job, nothing stopped, nothing in a gripper, every arm parked, no hand over the table. Raises Silence."""
        with anyio.move_on_after(PUT_RIGHT_S) as scope:
            while not self._at_rest() or self._person_busy():
                await self._arms_told.wait()  # at least every two seconds
        if scope.cancelled_caught:
            raise Silence("the arms are not free again")

    def _at_rest(self) -> bool:
        arms = self._arms
        return (
            arms is not None
            and arms.job_id is None
            and not halted(arms)
            and all(arm.parked and arm.holding is None for arm in arms.arms)
        )

    def _person_busy(self) -> bool:
        return any(view.held_by in ("hand", "left hand", "right hand") for view in self._table.world.pieces())


def _judged(
    kind: MoveClass, response: m.GameResponse, verdict: Verdict, repairs: int, began_s: float, what: str,
    causes: tuple[str, ...],
) -> Trial:  # fmt: skip
    confirmed = response.status == 200
    detail = response.detail
    code = "" if confirmed else f"{detail.code if detail else ''}: {response.reason or ''}"[:REASON_LIMIT]
    outcome = "helped" if not confirmed or not verdict.good else "recovered" if repairs else "good"
    return Trial(
        kind,
        outcome,
        round(anyio.current_time() - began_s, 3),
        what,
        code,
        wrong=confirmed and not verdict.map_right,
        unnoticed=verdict.faults if confirmed else (),
        causes=causes,
    )


def _tried(board: chess.Board, text: str) -> tuple[MoveClass, str]:
    return kind_of(board, chess.Move.from_uci(text)), f"{text} in {board.fen()}"


def _failures(response: m.GameResponse) -> int:
    return response.detail.repaired if response.detail is not None else 0


def _pieces(fen: str) -> str:
    return fen.split(" ", 1)[0]


def _on_board(view: PieceView, square_mm: float) -> bool:
    return view.held_by is None and max(abs(view.x_mm), abs(view.y_mm)) < 4.0 * square_mm


def _left_by_hand(letter: str, centre: Point, faults: Faults, dice: random.Random) -> PieceLeft:
    """Where a person leaves a piece. One that the board then feels badly is put better at once: the person sees it."""
    distance_mm, angle = dice.uniform(0.0, faults.off_centre_mm), dice.uniform(0.0, 2.0 * math.pi)
    return PieceLeft(letter, centre.x_mm + distance_mm * math.cos(angle), centre.y_mm + distance_mm * math.sin(angle))
