"""Whole games in virtual time, with faults, under a seed that is in the test's name: the invariants hold at every event."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgechess_board.placement import Placement
from edgechess_cli.match_options import MatchOptions
from edgechess_cli.simulate import simulate

SHORT_PLIES = 10


def short(seed: int, faults: str, **others: object) -> MatchOptions:
    white, black = ("builtin:nodes=60", "random") if seed % 2 == 0 else ("random", "builtin:nodes=60")
    return MatchOptions(white, black, "virtual", seed, faults, max_plies=SHORT_PLIES, **others)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_short_nominal_games(seed: int) -> None:
    outcome = simulate(short(seed, "nominal", rotated=seed % 4 == 3))
    assert outcome.breaches == ()
    assert outcome.report is not None
    assert outcome.report.summary.confirmed == SHORT_PLIES
    assert outcome.report.checks > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", [101, 104])
def test_short_harsh_games(seed: int) -> None:
    outcome = simulate(short(seed, "harsh"))
    assert outcome.breaches == ()
    assert outcome.report is not None
    assert outcome.report.summary.confirmed == SHORT_PLIES


@pytest.mark.slow
@pytest.mark.parametrize("seed", [201, 202])
def test_kills_and_lost_links_at_every_move(seed: int) -> None:
    """Far beyond harsh: something dies or is cut at every second move, and still nothing is done twice or claimed."""
    outcome = simulate(short(seed, "process-killed=0.6,link-lost=0.4,mqtt-duplicate=0.1,mqtt-delay=0.1"))
    assert outcome.breaches == ()
    assert outcome.report is not None
    assert outcome.report.summary.confirmed == SHORT_PLIES
    assert outcome.report.kills + outcome.report.links_lost > 2


@pytest.mark.slow
def test_somebody_stops_the_arms_again_and_again() -> None:
    outcome = simulate(short(9, "operator-stop=0.5,link-lost=0.1"))
    assert outcome.breaches == ()
    assert outcome.report is not None
    assert outcome.report.stops > 2
    assert outcome.report.summary.confirmed == SHORT_PLIES


@pytest.mark.slow
def test_a_person_moves_the_pieces() -> None:
    outcome = simulate(short(7, "nominal", robot=False))
    assert outcome.breaches == ()
    assert outcome.report is not None
    assert outcome.report.summary.helped == 0


@pytest.mark.slow
def test_a_promotion_and_a_capture_end_where_the_rules_say() -> None:
    """Both pawns promote by force: the spare queens come from the racks, and the board shows them."""
    options = MatchOptions(
        "builtin:nodes=60", "builtin:nodes=60", "virtual", 5, start_fen="7k/P7/8/8/8/8/p7/7K w - - 0 1", max_plies=2
    )
    outcome = simulate(options)
    assert outcome.breaches == ()
    assert outcome.report is not None
    assert outcome.report.final_placement == Placement.from_fen(outcome.report.summary.final_fen)
    assert "Q" in outcome.report.final_placement.squares


@pytest.mark.slow
def test_two_vendors_play_set_the_table_up_and_play_again_unattended() -> None:
    outcome = simulate(short(12, "nominal", arms=("dobot", "ro1"), matches=2))
    assert outcome.breaches == ()
    assert outcome.report is not None
    assert [summary.confirmed for summary in outcome.report.summaries] == [SHORT_PLIES, SHORT_PLIES]
    assert outcome.report.summary.final_fen != outcome.report.summaries[0].final_fen


@pytest.mark.slow
def test_grasps_that_miss_are_put_right_by_the_arm_and_nobody_is_asked() -> None:
    outcome = simulate(short(3, "missed-grasp=0.25"))
    assert outcome.breaches == ()
    assert outcome.report is not None
    assert outcome.report.summary.repaired >= 1
    assert outcome.report.summary.helped == 0


@pytest.mark.slow
def test_a_link_lost_with_a_piece_in_the_hand_costs_a_repair_and_no_confirmation() -> None:
    """Seed 45 once confirmed a knight that an arm, at a standstill, held low over its square."""
    outcome = simulate(short(45, "link-lost=0.6"))
    assert outcome.breaches == ()
    assert outcome.report is not None
    assert outcome.report.summary.repaired > 0


PROGRAM = """
from edgechess_cli.match_options import MatchOptions
from edgechess_cli.virtual_match import play_virtual
print(play_virtual(MatchOptions("random", "random", "virtual", 31, "harsh", max_plies=6)).trace)
"""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace_in_two_processes() -> None:
    """With different hash seeds: nothing may depend on the order of a set of strings."""
    traces = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed},
        ).stdout.strip()
        for hash_seed in ("1", "2")
    ]
    assert len(traces[0]) == 64
    assert traces[0] == traces[1]
