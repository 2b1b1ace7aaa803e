"""The two players of a match as the director asks them: opened when needed, asked one question at a time."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable

import anyio

from edgechess_inference.errors import PlayerFailed, ReplayEnded
from edgechess_inference.ladder.account import Account
from edgechess_inference.pgn_player import PgnPlayer
from edgechess_inference.player import Player, PlayerOptions, Question
from edgechess_inference.registry import open_player, split_word
from edgechess_match_director import events as e
from edgechess_match_director.match import Seat, Thought

GRACE_S = 5.0  # beyond the player's own deadline: it is firm, but a process has to be killed to keep it
ANSWER_LIMIT = 24  # characters of an illegal answer in the record: a move, and not the essay around it
LOG = logging.getLogger(__name__)

Opener = Callable[[str, PlayerOptions], Awaitable[Player]]
Answer = e.Chosen | e.GaveUp | e.PlayerError | e.ReplayDone


@dataclasses.dataclass(slots=True)
class Chair:
    """One side's player. A player that could not be opened is opened again at its next question."""

    word: str
    options: PlayerOptions
    timeout_s: float
    opener: Opener = open_player
    player: Player | None = None

    async def sit(self) -> None:
        """Opens the player. Raises PlayerWordError; an engine that does not start yet is only logged."""
        if self.player is not None:
            return
        try:
            self.player = await self.opener(self.word, self.options)
        except PlayerFailed as error:
            LOG.warning("%s cannot be opened yet: %s", self.word, error)

    @property
    def seat(self) -> Seat:
        """What may be said before the player could be opened: only engines fail there, and they answer."""
        return "answers" if self.player is None else self.player.seat

    @property
    def recorded_start(self) -> str | None:
        """The starting position of the game that is replayed, None for other players."""
        return self.player.game.start_fen if isinstance(self.player, PgnPlayer) else None

    async def answer(self, question: Question, ply: int, attempt: int, now: Callable[[], float]) -> Answer:
        """Never fails: what goes wrong with a player is an event like any other."""
        try:
            with anyio.fail_after(question.timeout_s + GRACE_S):
                if self.player is None:
                    self.player = await self.opener(self.word, self.options)
                found = await self.player.choose(question)
        except ReplayEnded as ended:
            return e.ReplayDone(now(), ply, attempt, ended.result, ended.termination, str(ended))
        except PlayerFailed as error:
            return e.PlayerError(now(), ply, attempt, str(error))
        except TimeoutError:
            reason = f"{self.word} did not answer within {question.timeout_s:g} s"
            return e.PlayerError(now(), ply, attempt, reason)
        if found.resigns:
            return e.GaveUp(now(), ply, attempt, found.by)
        if found.uci is None:
            return e.PlayerError(now(), ply, attempt, f"{found.by} offered no move")
        return e.Chosen(now(), ply, attempt, found.uci, found.by, found.reason, thought_of(found.account))

    async def leave(self) -> None:
        """Ends the player's processes."""
        player, self.player = self.player, None
        if player is not None:
            await player.close()


def thought_of(account: Account | None) -> Thought | None:
    """What the record keeps of an account."""
    if account is None:
        return None
    failures = tuple(
        f"{attempt.failure} {attempt.answer[:ANSWER_LIMIT]}" if attempt.failure == "illegal" and attempt.answer
        else str(attempt.failure)
        for attempt in account.failures
    )  # fmt: skip
    return Thought(len(account.attempts), failures, account.fallback, account.constrained)


def is_person(word: str) -> bool:
    """Whether somebody has to be given a person's time to think."""
    return split_word(word)[0] == "human"
