"""The node's players by their words: `model:NAME@ADAPTER` over its slots, others from the registry where they are allowed."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

import anyio
import anyio.abc

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.ladder.model_voice import Asked, ModelVoice
from edgechess_inference.ladder.player import Ladder, LadderPlayer
from edgechess_inference.ladder.reserve import EngineReserve
from edgechess_inference.model_player import OwnModel
from edgechess_inference.model_word import ModelWord, parse_model_word, plug_in
from edgechess_inference.player import Answer, Player, PlayerOptions, Question
from edgechess_inference.registry import open_player, split_word
from edgechess_inference_node.models import NodeModels, SlotModel

LADDERS_MAX = 4096  # words over models: some hundred bytes each
OPENED_MAX = 16  # players of the registry: each may be a process

FOR_TABLES = ("human", "hand", "pgn")  # they need a table or a file at whoever asks


@dataclasses.dataclass(slots=True)
class _Seat:
    """One opened player of the registry. Engines take one question at a time."""

    player: Player
    turn: anyio.Lock = dataclasses.field(default_factory=anyio.Lock)
    users: int = 0


class NodePlayers:
    """Opened when first asked for, closed when others need the room."""

    def __init__(
        self,
        models: NodeModels,
        reserve: EngineReserve,
        allowed: tuple[str, ...],
        options: PlayerOptions,
        tasks: anyio.abc.TaskGroup,
    ) -> None:
        self._models = models
        self._reserve = reserve
        self._allowed = allowed
        self._options = options
        self._tasks = tasks
        self._ladders: OrderedDict[str, LadderPlayer] = OrderedDict()
        self._seats: OrderedDict[str, _Seat] = OrderedDict()
        self._installed: dict[str, OwnModel] = {}
        self._opening = anyio.Lock()

    async def choose(self, word: str, question: Question) -> Answer:
        """Raises PlayerWordError (nobody here is called so), PlayerFailed."""
        self._check(word)
        name, rest = split_word(word)
        if name == "model":
            return await (await self._ladder(word, rest)).choose(question)
        seat = await self._seat(word)
        seat.users += 1
        try:
            if isinstance(seat.player, LadderPlayer):
                return await seat.player.choose(question)
            async with seat.turn:
                return await seat.player.choose(question)
        finally:
            seat.users -= 1

    async def close(self) -> None:
        """Ends every player's processes."""
        for own in self._installed.values():
            await own.close()
        seats, self._seats = self._seats, OrderedDict()
        for seat in seats.values():
            await seat.player.close()

    def _check(self, word: str) -> None:
        name, _ = split_word(word)
        if name in FOR_TABLES:
            raise PlayerWordError(f"{word}: `{name}` plays at a table, not on a node")
        if not any(entry in (name, word) or (word.startswith(f"{entry}:") and ":" in entry) for entry in self._allowed):
            raise PlayerWordError(
                f"{word}: this node's setting `players` does not allow it; {', '.join(self._allowed)}"
            )

    async def _ladder(self, word: str, rest: str) -> LadderPlayer:
        """Over a slot of this node, or an installed model: a word from the bus never names a file or an address."""
        async with self._opening:
            found = self._ladders.get(word)
            if found is None:
                parsed = parse_model_word(rest)
                asked = await self._asked(word, parsed)
                voice = ModelVoice(parsed.shown, asked, parsed.adapter, parsed.ladder, lookahead=parsed.lookahead)
                ladder = Ladder(
                    voice, self._reserve, parsed.ladder.attempts, self._tasks, seed=self._options.seed, owned=False
                )  # fmt: skip
                found = self._ladders[word] = LadderPlayer(word, ladder)
        self._ladders.move_to_end(word)
        while len(self._ladders) > LADDERS_MAX:
            self._ladders.popitem(last=False)
        return found

    async def _asked(self, word: str, parsed: ModelWord) -> Asked:
        """Raises PlayerWordError."""
        if parsed.name in self._models.names():
            return SlotModel(self._models, parsed.name)
        if plug_in(parsed.name) is None:
            there = ", ".join(self._models.names()) or "none"
            raise PlayerWordError(f"{word}: this node has no model {parsed.name!r}; it has {there}")
        own = self._installed.get(parsed.name)
        if own is None:
            own = self._installed[parsed.name] = OwnModel(parsed, inline=self._options.inline)
            self._tasks.start_soon(own.serve, name=f"model {parsed.name}")
            if self._options.inline:
                await own.loaded()
        return own

    async def _seat(self, word: str) -> _Seat:
        async with self._opening:
            seat = self._seats.get(word)
            if seat is None:
                await self._make_room()
                seat = self._seats[word] = _Seat(await open_player(word, self._options))
            self._seats.move_to_end(word)
            return seat

    async def _make_room(self) -> None:
        """Closes idle players, those first that were asked for longest ago."""
        for word in [word for word, seat in self._seats.items() if not seat.users]:
            if len(self._seats) < OPENED_MAX:
                return
            await self._seats.pop(word).player.close()
        if len(self._seats) >= OPENED_MAX:
            raise PlayerWordError(f"{OPENED_MAX} other players are being asked just now")
