"""Settings of the game manager, `[game-manager]`. Durations in seconds."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=86_400.0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What may differ between tables. The sample's keys are spelled its way too (`robotEnabled`)."""

    robot_enabled: Annotated[bool, msgspec.Meta(description="false: a person moves the pieces")] = True
    board_protocol: Annotated[
        Literal["edgechess", "sample"],
        msgspec.Meta(description="sample: a board that knows only the AWS sample's validate and processed"),
    ] = "edgechess"
    arm_protocol: Annotated[
        Literal["edgechess", "sample"],
        msgspec.Meta(description="sample: arms that know only the AWS sample's arm/move, which is never repeated"),
    ] = "edgechess"
    claim_draws: Annotated[
        bool, msgspec.Meta(description="end the game at threefold repetition and fifty moves, not at five and 75")
    ] = True
    board_attempts: Annotated[int, msgspec.Meta(ge=1, le=10, description="times that one question is asked")] = 3
    board_timeout_s: Annotated[Seconds, msgspec.Meta(description="silence after which the board is asked again")] = 5.0
    board_pause_s: Annotated[Seconds, msgspec.Meta(description="pause before a blind board is asked again")] = 1.0
    processed_timeout_s: Annotated[
        Seconds, msgspec.Meta(description="wait for the sample board's word after the move")
    ] = 90.0
    arm_repeat_s: Annotated[Seconds, msgspec.Meta(description="the same job is sent again until it is heard of")] = 2.0
    arm_start_limit_s: Annotated[
        Seconds, msgspec.Meta(description="a job is not started later than this after it was given")
    ] = 60.0
    arm_deadline_s: Annotated[Seconds, msgspec.Meta(description="without a result its outcome is then unknown")] = 180.0
    arm_rest_timeout_s: Annotated[
        Seconds, msgspec.Meta(description="wait for the word that the arms rest, after an unknown outcome")
    ] = 20.0
    repair: Annotated[
        bool, msgspec.Meta(description="arms put right what went wrong, where it is certain what stands where")
    ] = True
    repairs_per_move: Annotated[
        int, msgspec.Meta(ge=0, le=10, description="repair jobs for one move, then a person")
    ] = 2
    repairs_per_session: Annotated[
        int, msgspec.Meta(ge=0, le=1000, description="repair jobs in one game; an arm that needs more is not well")
    ] = 40
    repair_look_s: Annotated[
        Seconds,
        msgspec.Meta(description="before a move a wrong table is looked at twice, so far apart: a hand may be in it"),
    ] = 3.0
    setup_carries: Annotated[
        int, msgspec.Meta(ge=1, le=24, description="pieces in one job of a setup; then the board is looked at")
    ] = 8
    setup_failures: Annotated[
        int, msgspec.Meta(ge=0, le=100, description="jobs of one setup that may fail without a piece lost")
    ] = 6
    person_deadline_s: Annotated[Seconds, msgspec.Meta(description="a person's time for one move")] = 600.0
    answer_again_s: Annotated[
        float,
        msgspec.Meta(ge=0.0, description="after a restart the last answer is sent again if it is no older than this"),
    ] = 300.0
    core_device_main_named_shadow: Annotated[
        str, msgspec.Meta(description="named shadow that mirrors the request, where the transport has shadows")
    ] = ""
