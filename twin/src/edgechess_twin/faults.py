"""What can go wrong on the table, by name: each fault has a probability or a size, and dice of its own.

Every fault draws from its own generator, seeded by the table's seed and the fault's name. Turning one fault on or off
therefore never changes what another one does, and the same seed gives the same accidents.
"""

from __future__ import annotations

import dataclasses
import random


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table of faults. `name` is what people write, `field` where `Faults` keeps it."""

    name: str
    unit: str
    description: str
    limit: float
    """Largest value that makes sense: 1 for probabilities, a size in the unit otherwise."""

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")


@dataclasses.dataclass(frozen=True, slots=True)
class Faults:
    """How often each thing goes wrong. All zero: a table that behaves."""

    arm_repeatability_mm: float = 0.0
    calibration_touch_mm: float = 0.0
    off_centre_mm: float = 0.0
    missed_grasp: float = 0.0
    slip: float = 0.0
    bump: float = 0.0
    flicker: float = 0.0
    serial_loss: float = 0.0
    serial_flip: float = 0.0
    serial_disconnect: float = 0.0
    stray_ee_moves: float = 0.0
    dead_square: float = 0.0
    ghost_piece: float = 0.0
    feedback_stall: float = 0.0
    segment_split: float = 0.0
    segment_coalesce: float = 0.0
    slow_reply: float = 0.0
    heartbeat_lost: float = 0.0
    collision: float = 0.0
    e_stop: float = 0.0
    mqtt_duplicate: float = 0.0
    mqtt_delay: float = 0.0
    mqtt_delay_max_s: float = 2.0
    link_lost: float = 0.0
    operator_stop: float = 0.0
    process_killed: float = 0.0


FAULTS: tuple[Fault, ...] = (
    Fault("arm-repeatability-mm", "mm, sigma per axis", "where an arm ends scatters about where it was sent", 5.0),
    Fault("calibration-touch-mm", "mm, sigma per axis", "a person guiding an arm to a point misses it", 5.0),
    Fault("off-centre-mm", "mm, largest", "a person leaves pieces off the centre of their squares", 27.0),
    Fault("missed-grasp", "probability per grasp", "the gripper closes beside the piece", 1.0),
    Fault("slip", "probability per carried piece", "the piece slips from the gripper in flight", 1.0),
    Fault("bump", "probability per carried piece", "a neighbour of the piece is bumped", 1.0),
    Fault("flicker", "probability per piece left off-centre", "the board feels that piece unsteadily", 1.0),
    Fault("serial-loss", "probability per byte", "a byte from the board is lost", 1.0),
    Fault("serial-flip", "probability per byte", "one bit of a byte from the board is flipped", 1.0),
    Fault("serial-disconnect", "probability per message", "the board's link breaks in the middle of a message", 1.0),
    Fault("stray-ee-moves", "probability per update", "the board sends its 7.9 kB log unasked", 1.0),
    Fault("dead-square", "probability per square", "the square never feels anything", 1.0),
    Fault("ghost-piece", "probability per empty square and scan", "the square feels a piece that is not there", 1.0),
    Fault("feedback-stall", "probability per frame", "an arm's feedback stalls for a moment", 1.0),
    Fault("segment-split", "probability per reply or frame", "an arm's bytes arrive as two segments", 1.0),
    Fault("segment-coalesce", "probability per frame", "an arm's frame is held back and comes with the next one", 1.0),
    Fault("slow-reply", "probability per reply", "an arm's controller answers half a second late", 1.0),
    Fault("heartbeat-lost", "probability per heartbeat", "a heartbeat of a controlled move never reaches an arm", 1.0),
    Fault("collision", "probability per carried piece", "the carrying arm feels a collision and stops", 1.0),
    Fault("e-stop", "probability per carried piece", "a person hits the red button, and turns it free later", 1.0),
    Fault("mqtt-duplicate", "probability per message", "the bus delivers a message twice", 1.0),
    Fault("mqtt-delay", "probability per message", "the bus delivers a message late, overtaken by others", 1.0),
    Fault("mqtt-delay-max-s", "s, largest", "how late such a message can be", 60.0),
    Fault("link-lost", "probability per move", "a device's or the broker's link is lost", 1.0),
    Fault("operator-stop", "probability per move", "somebody stops the arms in the middle of something", 1.0),
    Fault("process-killed", "probability per move", "a component is killed at once, without cleaning up", 1.0),
)

NONE = Faults()

NOMINAL = Faults(
    arm_repeatability_mm=0.1,
    calibration_touch_mm=0.5,
    off_centre_mm=6.0,
    missed_grasp=0.005,
    slip=0.002,
    bump=0.001,
    flicker=0.05,  # "when off-centre" carries no number of its own: one piece in twenty that is left off-centre
    serial_loss=1e-5,
    feedback_stall=0.001,
    mqtt_duplicate=0.01,
    mqtt_delay=0.01,
    mqtt_delay_max_s=2.0,
    link_lost=0.005,
    process_killed=0.005,
)

HARSH = Faults(
    arm_repeatability_mm=0.2,
    calibration_touch_mm=0.5,
    off_centre_mm=12.0,
    missed_grasp=0.05,
    slip=0.02,
    bump=0.01,
    flicker=0.5,
    serial_loss=1e-4,
    feedback_stall=0.01,
    mqtt_duplicate=0.1,
    mqtt_delay=0.1,
    mqtt_delay_max_s=5.0,
    link_lost=0.05,
    process_killed=0.05,
)

PROFILES = {"none": NONE, "nominal": NOMINAL, "harsh": HARSH}


def parse(text: str) -> Faults:
    """ "none", "nominal", "harsh", or "NAME=NUMBER,…"; a profile may come first: "nominal,slip=0.1".

    Raises ValueError that names the word, and the names that exist.
    """
    faults = NONE
    known = {fault.name: fault for fault in FAULTS}
    for number, raw in enumerate(text.split(",")):
        word = raw.strip().lower()
        if number == 0 and word in PROFILES:
            faults = PROFILES[word]
            continue
        name, equals, value_text = (part.strip() for part in word.partition("="))
        fault = known.get(name.replace("_", "-"))
        if fault is None or not equals:
            raise ValueError(
                f"faults {raw.strip()!r}: expected none, nominal, harsh or NAME=NUMBER with NAME one of {', '.join(known)}"
            )
        try:
            value = float(value_text)
        except ValueError:
            raise ValueError(f"fault {fault.name}: {value_text!r} is not a number ({fault.unit})") from None
        if not 0.0 <= value <= fault.limit:
            raise ValueError(f"fault {fault.name}: {value_text} is not between 0 and {fault.limit:g} ({fault.unit})")
        faults = dataclasses.replace(faults, **{fault.field: value})
    return faults


class Dice:
    """One generator per name, all from one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random: dict[str, random.Random] = {}

    def stream(self, name: str) -> random.Random:
        """The generator of that name, always the same object. Seeded by text: equal in every process."""
        found = self._random.get(name)
        if found is None:
            found = self._random[name] = random.Random(f"{self._seed}:{name}")
        return found

    def happens(self, name: str, probability: float) -> bool:
        """Draws once. A probability of 0 draws nothing, 1 always happens."""
        return probability > 0.0 and self.stream(name).random() < probability
