"""The table of faults: the profiles of the issue's fixed surface as literals, words people write, independent dice."""

from __future__ import annotations

import dataclasses

import pytest

from edgechess_twin.faults import FAULTS, HARSH, NOMINAL, NONE, Dice, Faults, parse


def test_every_fault_is_in_the_table_once() -> None:
    assert [fault.field for fault in FAULTS] == [field.name for field in dataclasses.fields(Faults)]


def test_profiles() -> None:
    assert parse("none") == NONE == Faults()
    assert parse("nominal") == NOMINAL
    assert parse("HARSH") == HARSH
    nominal = (0.1, 0.5, 6.0, 0.005, 0.002, 0.001, 1e-5, 0.001, 0.01, 0.01, 2.0, 0.005, 0.005)
    harsh = (0.2, 0.5, 12.0, 0.05, 0.02, 0.01, 1e-4, 0.01, 0.1, 0.1, 5.0, 0.05, 0.05)
    for faults, numbers in ((NOMINAL, nominal), (HARSH, harsh)):
        assert numbers == (
            faults.arm_repeatability_mm,
            faults.calibration_touch_mm,
            faults.off_centre_mm,
            faults.missed_grasp,
            faults.slip,
            faults.bump,
            faults.serial_loss,
            faults.feedback_stall,
            faults.mqtt_duplicate,
            faults.mqtt_delay,
            faults.mqtt_delay_max_s,
            faults.link_lost,
            faults.process_killed,
        )
        assert (faults.segment_split, faults.segment_coalesce, faults.slow_reply) == (0.0, 0.0, 0.0)
        assert (faults.collision, faults.e_stop) == (0.0, 0.0)


def test_single_faults_and_mixtures() -> None:
    assert parse("slip=0.5") == Faults(slip=0.5)
    assert parse("missed-grasp=1, missed_grasp=0.25") == Faults(missed_grasp=0.25)
    assert parse("nominal,slip=0") == dataclasses.replace(NOMINAL, slip=0.0)


@pytest.mark.parametrize(
    "text", ["", "nominl", "slip", "slip=", "slip=x", "slip=2", "slip=-0.1", "slip=nan", "slip=0.1,none"]
)
def test_bad_words_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"slip"):
        parse(text)


def test_dice_are_independent_and_repeat() -> None:
    first, second = Dice(7), Dice(7)
    alone = [first.happens("slip", 0.5) for _ in range(20)]
    mixed = []
    for _ in range(20):
        second.happens("bump", 0.5)
        mixed.append(second.happens("slip", 0.5))
    assert alone == mixed
    assert alone != [Dice(8).happens("slip", 0.5) for _ in range(20)]
    assert not Dice(1).happens("slip", 0.0)
    assert Dice(1).happens("slip", 1.0)


def test_dice_are_the_same_in_every_process() -> None:
    assert Dice(3).stream("slip").randrange(10**9) == 502897441
