"""The registry of players: a word names one, an entry point of the group `edgechess.players` makes it.

Two groups of entry points, so that a package brings players by being installed:
`edgechess.players`: name -> `PlayerFactory`; `edgechess.player_checks` (optional, same name): name -> function
`(rest) -> None` that raises PlayerWordError for a word that can be refused without opening anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

import anyio

from edgechess_inference.errors import PlayerWordError
from edgechess_inference.player import Player, PlayerFactory, PlayerOptions
from edgechess_inference.words import split_word

__all__ = ["check_word", "open_player", "player_names", "seated", "split_word"]

GROUP = "edgechess.players"
CHECK_GROUP = "edgechess.player_checks"

WordCheck = Callable[[str], None]


def player_names() -> tuple[str, ...]:
    """Every installed player's name, sorted."""
    return tuple(sorted(_installed(GROUP)))


def check_word(word: str) -> None:
    """Raises PlayerWordError where the word cannot work; starts nothing.

    What only the player itself knows (an engine's range of Elo) is refused later, by `open_player`.
    """
    name, rest = split_word(word)
    _factory_point(name, word)
    point = _installed(CHECK_GROUP).get(name)
    if point is not None:
        cast(WordCheck, point.load())(rest)


async def open_player(word: str, options: PlayerOptions | None = None) -> Player:
    """Raises PlayerWordError (the word names the fault) or PlayerFailed (the word is good, its engine will not start)."""
    check_word(word)
    name, rest = split_word(word)
    factory = cast(PlayerFactory, _factory_point(name, word).load())
    return await factory(rest, options or PlayerOptions())


@asynccontextmanager
async def seated(word: str, options: PlayerOptions | None = None) -> AsyncIterator[Player]:
    """A player for the length of a block, with a task group of its own. Raises like `open_player`."""
    try:
        async with anyio.create_task_group() as tasks:
            player = await open_player(word, dataclasses.replace(options or PlayerOptions(), tasks=tasks))
            try:
                yield player
            finally:
                with anyio.CancelScope(shield=True):  # bounded by the players' own timeouts
                    await player.close()
                tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None  # what the block raised: that there are tasks beside it is our affair
        raise


def _factory_point(name: str, word: str) -> EntryPoint:
    point = _installed(GROUP).get(name)
    if point is None:
        raise PlayerWordError(f"{word}: there is no player {name!r}; there are {', '.join(player_names())}")
    return point


@cache  # reading every installed distribution's metadata takes tens of milliseconds
def _installed(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}
