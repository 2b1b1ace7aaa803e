"""What an operator can set for the match director (section `[match-director]`)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

DAY_S = 86_400.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """With `autostart` the director creates and starts one match by itself; otherwise it waits for session control."""

    autostart: Annotated[bool, Meta(description="create and start one match; else wait for session control")] = False
    white: Annotated[str, Meta(description="player word", min_length=1, max_length=200)] = "stockfish"
    black: Annotated[str, Meta(description="player word", min_length=1, max_length=200)] = "stockfish"
    fen: Annotated[str, Meta(description="start; empty: a replayed game's own, else the usual", max_length=120)] = ""
    session_id: Annotated[str, Meta(description="empty: a new one", max_length=128)] = ""
    robot_enabled: Annotated[bool, Meta(description="false: a person makes every move at the table")] = True
    max_plies: Annotated[int, Meta(description="then the match ends without a result; 0: no limit", ge=0)] = 0
    matches: Annotated[
        int, Meta(description="autostart plays so many, one after the other; the arms set the table up between", ge=1)
    ] = 1
    seed: Annotated[int, Meta(description="for players that draw: random, hand, engines in virtual time")] = 0
    inline: Annotated[bool, Meta(description="virtual time: ask engines in place, with fixed nodes")] = False
    unpause: Annotated[bool, Meta(description="a match that was paused goes on when the process starts")] = False
    exit_when_done: Annotated[bool, Meta(description="leave once the match of autostart has ended")] = False
    pgn_path: Annotated[str, Meta(description="the record, rewritten after every move; empty: none")] = ""
    event: Annotated[str, Meta(description="PGN tag", max_length=200)] = "edgechess match"
    site: Annotated[str, Meta(description="PGN tag", max_length=200)] = "?"
    round: Annotated[str, Meta(description="PGN tag", max_length=20)] = "-"
    think_timeout_s: Annotated[
        float, Meta(description="a player that answers later has failed and is asked again, 3 times", gt=0, le=DAY_S)
    ] = 60.0
    node_players: Annotated[
        tuple[str, ...],
        Meta(
            description="players that the inference node asks: their names (model), whole words, or * for all that answer"
        ),
    ] = ()
    person_timeout_s: Annotated[float, Meta(description="the same for a person at the prompt", gt=0, le=DAY_S)] = 7200.0
    republish_s: Annotated[
        float, Meta(description="a request without an answer goes out again, same token, this often", gt=0, le=DAY_S)
    ] = 20.0
