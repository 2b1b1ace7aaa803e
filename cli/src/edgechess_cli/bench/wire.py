"""What travels for the floor: one message that goes the ways of a move, and nothing else."""

from __future__ import annotations

import dataclasses

from edgechess_kit.messages import Message
from edgechess_kit.topics import Topic


class Hop(Message, frozen=True, kw_only=True):
    """One move of the floor. Whoever receives it at the manager's place commits, takes the next peer and sends it there.

    `peers`: where the manager's messages of a move go, in order, the last of them "cloud". `commits`: how many durable
    commits there are before each of these messages. `padding` makes it as long as a move's messages are.
    """

    number: int
    peers: tuple[str, ...]
    commits: tuple[int, ...]
    padding: str = ""
    committed_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class FloorTopics:
    """`child` is the manager's place."""

    child: Topic[Hop]
    peers: dict[str, Topic[Hop]]


def floor_topics(prefix: str) -> FloorTopics:
    """The floor's own topics, which the manager never hears."""
    peers = {name: Topic(f"{prefix}/bench/floor/{name}", Hop) for name in ("board", "arms", "cloud")}
    return FloorTopics(Topic(f"{prefix}/bench/floor/child", Hop), peers)
