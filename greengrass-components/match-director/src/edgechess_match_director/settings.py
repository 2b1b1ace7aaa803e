"""What an operator can set for the match director (section `[match-director]`)."""

from __future__ import annotations

from typing import Annotated

import msgspec

PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """With `autostart` the director creates and starts one match by itself; otherwise it waits for session control."""

    autostart: bool = False
    white: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "stockfish"
    """Player word."""
    black: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] = "stockfish"
    fen: Annotated[str, msgspec.Meta(max_length=120)] = ""
    """Starting position; empty: the recorded game's where a player replays one, else the usual."""
    session_id: Annotated[str, msgspec.Meta(max_length=128)] = ""
    """Empty: a new one."""
    robot_enabled: bool = True
    """False: a person makes every move at the table."""
    max_plies: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    """The match ends without a result after so many; 0: no limit."""
    seed: int = 0
    """For players that draw (random, hand, engines in virtual time)."""
    inline: bool = False
    """Virtual time: nothing may wait outside the scheduler, so engines are asked in place with fixed nodes."""
    exit_when_done: bool = False
    """Leave once the match that was started by `autostart` has ended."""
    pgn_path: str = ""
    """Where the record is kept, rewritten after every move; empty: nowhere."""
    event: Annotated[str, msgspec.Meta(max_length=200)] = "edgechess match"
    site: Annotated[str, msgspec.Meta(max_length=200)] = "?"
    round: Annotated[str, msgspec.Meta(max_length=20)] = "-"
    think_timeout_s: PositiveSeconds = 60.0
    """A player that answers later has failed, and is asked again (3 times in all)."""
    person_timeout_s: PositiveSeconds = 7200.0
    """The same for a person at the prompt."""
    republish_s: PositiveSeconds = 20.0
    """A request without an answer is published again, with the same token, this often. Harmless: tokens are idempotent."""
