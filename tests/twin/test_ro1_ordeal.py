"""Any order of orders, stops and accidents: the arm only moves when it may, never jumps, and stops when it must."""

from __future__ import annotations

import contextlib

import anyio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgechess_robots.layout import standard_layout
from edgechess_robots.shapes import STAUNTON_6
from edgechess_twin import ro1_model as ro1
from edgechess_twin.arm_model import EXACT
from edgechess_twin.ro1_controller import START_JOINTS, Command, Ro1Controller
from edgechess_twin.ro1_device import Ro1Device
from edgechess_twin.ro1_protocol import Heartbeat, Move, Refused, TooltipPose
from edgechess_twin.world import World

SAMPLE_S = 0.05
ORDERS = ("api", "routine", "off", "on", "move", "controlled", "beat", "press", "release", "collide", "recover", "cut")
PLACES = (
    Move(joints_deg=((180.0, 18.0, -132.0, 24.0, 90.0, 0.0),)),
    Move(joints_deg=(START_JOINTS,)),
    Move(poses=(TooltipPose((600.0, 100.0, 400.0), (0.0, 0.5**0.5, 0.0, 0.5**0.5)),)),
    Move(
        poses=(
            TooltipPose((500.0, -100.0, 350.0), (0.0, 0.5**0.5, 0.0, 0.5**0.5)),
            TooltipPose((700.0, 150.0, 300.0), (-0.5, 0.5, 0.5, 0.5)),
        ),
        line=True,
    ),
)


class Watch:
    """Looks at the arm twenty times a second, and remembers what it was told."""

    def __init__(self, controller: Ro1Controller) -> None:
        self.controller = controller
        self.controlled: Command | None = None
        self.beaten_s = 0.0
        self._before = controller.joints()

    async def run(self) -> None:
        while True:
            await anyio.sleep(SAMPLE_S)
            self.look()

    def look(self) -> None:
        controller, now = self.controller, anyio.current_time()
        joints = controller.joints()
        for before, after, speed in zip(self._before, joints, ro1.SPEEDS_DEG_S, strict=True):
            assert abs(after - before) <= speed * SAMPLE_S * 1.01 + 1e-6, "it jumped"
        self._before = joints
        active = controller.active
        if active is None or active.braking:
            return
        assert not controller.braked, "it moves with its brakes engaged"
        assert controller.failure is None, "it moves in failure"
        assert not controller.emergency, "it moves with the red button pressed"
        assert controller.mode == "api"
        if active.command is self.controlled:
            assert now - self.beaten_s <= 0.45 + SAMPLE_S, "it moves without a heartbeat"


def act(watch: Watch, order: str, place: int) -> None:
    controller = watch.controller
    match order:
        case "api":
            controller.take_control("api")
        case "routine":
            controller.take_control("routine_editor")
        case "off":
            controller.disengage_brakes()
        case "on":
            controller.engage_brakes()
        case "move":
            controller.move(PLACES[place])
        case "controlled":
            watch.controlled = controller.move(PLACES[place], Heartbeat())
            watch.beaten_s = anyio.current_time() + 0.04  # it counts from where the motion begins
        case "beat":
            if watch.controlled is not None:
                if watch.controlled.outcome is None:
                    watch.beaten_s = anyio.current_time()
                controller.beat(watch.controlled.id)
        case "press":
            controller.press_emergency()
        case "release":
            controller.release_emergency()
        case "collide":
            controller.collide()
        case "recover":
            controller.recover()
        case "cut":
            controller.power_off("ordeal")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(ORDERS + ("move", "controlled", "beat") * 3),
        st.integers(0, len(PLACES) - 1),
        st.sampled_from((0.0, 0.03, 0.3, 1.1, 3.0)),
    ),
    max_size=16,
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.booleans())
@example([("move", 0, 0.3), ("press", 0, 0.3)], True)
@example([("move", 0, 0.0), ("press", 0, 1.1)], True)  # before it has set off
@example([("controlled", 0, 0.0), ("collide", 0, 1.1), ("recover", 0, 3.0)], True)
def test_any_order_of_things(steps: list[tuple[str, int, float]], ready: bool) -> None:
    async def main() -> None:
        layout = standard_layout()
        world = World(layout, STAUNTON_6)
        device = Ro1Device("white", world, layout.site("white"), hidden=EXACT)
        watch = Watch(device.controller)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(device.run)
            await anyio.sleep(0.0)
            tasks.start_soon(watch.run)
            for order, place, wait_s in ([("api", 0, 0.0), ("off", 0, 1.1)] if ready else []) + steps:
                with contextlib.suppress(Refused):
                    act(watch, order, place)
                await anyio.sleep(wait_s)
            await anyio.sleep(8.0)  # the longest of these moves
            assert device.controller.active is None
            # Whatever happened, a person and a client together bring it back.
            device.release_estop()
            recovering = device.controller.recover()
            if recovering is not None:
                await recovering.wait()
            device.controller.take_control("api")
            device.controller.disengage_brakes()
            await anyio.sleep(1.1)
            command = device.controller.move(PLACES[0])
            await command.ended.wait()
            assert command.outcome == "success", command
            tasks.cancel_scope.cancel()

    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})
