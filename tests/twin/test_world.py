"""The physical world: what grippers hold, what falls, what is foreseen and does not happen after a stop."""

from __future__ import annotations

import anyio
import pytest

from edgechess_board.placement import Placement, square_index
from edgechess_robots.layout import Point, standard_layout
from edgechess_robots.shapes import STAUNTON_6
from edgechess_twin.faults import NONE, Faults
from edgechess_twin.person import route
from edgechess_twin.world import XYZ, Path, PieceView, World

pytestmark = pytest.mark.anyio

PAWN_GRASP_MM = 30.0  # STAUNTON_6: a pawn is grasped 30 mm above its base
FEN = "8/8/8/8/8/8/4P3/8"


def make(fen: str = FEN, faults: Faults = NONE, seed: int = 0) -> World:
    return World(standard_layout(), STAUNTON_6, seed=seed, faults=faults, placement=Placement.from_fen(fen))


def above(world: World, square: str, z: float, dx: float = 0.0, dy: float = 0.0) -> XYZ:
    centre = world.square_centre(square_index(square))
    return centre.x_mm + dx, centre.y_mm + dy, z


def on(world: World, square: str) -> PieceView:
    view = world.piece_on(square_index(square))
    assert view is not None
    return view


async def go(world: World, arm: str, *points: XYZ, seconds: float = 1.0, yaw_deg: float = 0.0) -> None:
    """Move the tip through the points and wait until it is there."""
    now = anyio.current_time()
    path: Path = route(now, world.tip(arm), tuple((seconds, point) for point in points))
    end = now + seconds * len(points)
    world.tip_path(arm, path, now, end, yaw_deg)
    await anyio.sleep_until(end)


def appear(world: World, arm: str = "white", x: float = 0.0, y: float = -400.0) -> None:
    world.arm_appears(arm, Point(x, y, 200.0))


async def pick(world: World, square: str, arm: str = "white", **offset: float) -> bool:
    await go(world, arm, above(world, square, 200.0, **offset), above(world, square, PAWN_GRASP_MM, **offset))
    return world.gripper_closed(arm, 40.0).holding


async def test_pick_and_place() -> None:
    world = make()
    appear(world)
    assert await pick(world, "e2")
    assert world.grip("white").width_mm == 16.0
    await go(world, "white", above(world, "e2", 200.0))
    assert world.placement() == Placement.empty()
    held = world.held_by_arm("white")
    assert held is not None
    assert held.z_mm == pytest.approx(170.0)
    await go(world, "white", above(world, "e4", 200.0), above(world, "e4", PAWN_GRASP_MM))
    world.gripper_opened("white", 40.0)
    assert world.placement().fen == "8/8/8/8/4P3/8/8/8"
    assert on(world, "e4").distance_mm(world.square_centre(square_index("e4"))) < 1e-6
    assert not world.grip("white").holding
    assert world.placed == 1


@pytest.mark.parametrize(
    ("dx", "dy", "yaw_deg", "held"),
    [
        (11.0, 0.0, 0.0, True),  # the fingers close along x: 40 mm open, 16 mm wide, 12 mm to spare
        (13.0, 0.0, 0.0, False),
        (0.0, 9.0, 0.0, True),
        (0.0, 11.0, 0.0, False),  # beside the fingers
        (0.0, 11.0, 90.0, True),
    ],
)
async def test_what_stands_between_the_fingers_is_held(dx: float, dy: float, yaw_deg: float, held: bool) -> None:
    world = make()
    appear(world)
    now = anyio.current_time()
    place = above(world, "e2", PAWN_GRASP_MM, dx, dy)
    world.tip_path("white", lambda _at_s: place, now, now, yaw_deg)
    assert world.gripper_closed("white", 40.0).holding is held


async def test_closing_centres_the_piece_along_the_fingers_only() -> None:
    world = make()
    appear(world)
    assert await pick(world, "e2", dx=5.0, dy=4.0)
    held = world.held_by_arm("white")
    assert held is not None
    x, y, _ = world.tip("white")
    assert held.x_mm - x == pytest.approx(0.0)
    assert held.y_mm - y == pytest.approx(-4.0)


async def test_too_high_or_fallen_is_not_held() -> None:
    world = make()
    appear(world)
    await go(world, "white", above(world, "e2", 60.0))
    assert not world.gripper_closed("white", 40.0).holding
    world.knock(on(world, "e2").number, 0.0, 0.01)
    await go(world, "white", above(world, "e2", PAWN_GRASP_MM))
    assert world.gripper_closed("white", 40.0).width_mm == 0.0


@pytest.mark.parametrize(("z_mm", "pressed"), [(7.5, False), (6.5, True), (-20.0, True)])
async def test_a_fingertip_that_goes_into_the_board_is_an_accident(z_mm: float, pressed: bool) -> None:
    world = make()  # fingertips are 10 mm below the tip: at 7 mm they are 3 mm below the surface
    appear(world)
    await go(world, "white", above(world, "d5", 200.0))
    now = anyio.current_time()
    path = route(now, world.tip("white"), ((1.0, above(world, "d5", z_mm)),))
    world.tip_path("white", path, now, now + 1.0)
    assert world.accidents == []
    await anyio.sleep(1.0)
    await go(world, "white", above(world, "d5", 200.0))  # up again is no accident
    world.pieces()
    assert world.accidents == (["press white"] if pressed else [])


async def test_a_press_that_is_stopped_before_does_not_happen_and_hands_do_not_press() -> None:
    world = make()
    appear(world)
    await go(world, "white", above(world, "d5", 200.0))
    now = anyio.current_time()
    world.tip_path("white", route(now, world.tip("white"), ((1.0, above(world, "d5", 0.0)),)), now, now + 1.0)
    await anyio.sleep(0.5)
    world.tip_path("white", route(now, world.tip("white"), ()), now, now)
    await anyio.sleep(1.0)
    now = anyio.current_time()
    path = route(now, world.tip("white"), ((1.0, above(world, "d5", 0.0)),))
    world.tip_path("white", path, now, now + 1.0, guided=True)
    await anyio.sleep(1.0)
    world.pieces()
    assert world.accidents == []


@pytest.mark.parametrize(
    ("opening_mm", "yaw_deg", "pushed_mm"),
    [
        (50.0, 0.0, 0.0),  # a finger's outer edge 35 mm out: a pawn's base on the next square begins beyond
        (80.0, 0.0, 9.5),  # 50 mm out, and the base begins at 40.5
        (80.0, 90.0, 0.0),  # across: nothing stands there
    ],
)
async def test_fingers_that_part_push_a_neighbour(opening_mm: float, yaw_deg: float, pushed_mm: float) -> None:
    world = make("8/8/8/8/8/8/4PP2/8")
    appear(world)
    await go(world, "white", above(world, "e2", 200.0))
    await go(world, "white", above(world, "e2", PAWN_GRASP_MM - 10.0), yaw_deg=yaw_deg)
    assert world.gripper_closed("white", 40.0).holding
    world.gripper_opened("white", opening_mm)
    f2 = next(view for view in world.pieces() if view.number == 1)
    centre = world.square_centre(square_index("f2"))
    assert (f2.x_mm - centre.x_mm, f2.y_mm - centre.y_mm) == pytest.approx((pushed_mm, 0.0))
    assert world.accidents == (["push white P"] if pushed_mm else [])
    world.gripper_closed("white", opening_mm)
    world.gripper_opened("white", opening_mm)  # it has been pushed out of the way
    assert len(world.accidents) == (1 if pushed_mm else 0)


async def test_fingers_that_part_above_the_pieces_push_nothing() -> None:
    world = make("8/8/8/8/8/8/4PP2/8")
    appear(world)
    await go(world, "white", above(world, "e2", 200.0))
    world.gripper_opened("white", 80.0)
    assert world.accidents == []


async def test_a_neighbour_without_room_to_give_way_falls() -> None:
    world = make("8/8/8/8/8/8/4P3/8")
    first = on(world, "e2")
    second, third = (world.new_piece("p") for _ in range(2))
    world.hand_leaves(second, first.x_mm + 46.0, first.y_mm)
    world.hand_leaves(third, first.x_mm + 46.0 + first.shape.base_diameter_mm, first.y_mm)
    appear(world)
    await go(world, "white", above(world, "e2", 200.0))
    await go(world, "white", above(world, "e2", PAWN_GRASP_MM - 10.0))
    assert world.gripper_closed("white", 40.0).holding
    world.gripper_opened("white", 80.0)
    assert world.accidents == ["push white p"]
    assert [view.upright for view in world.pieces()] == [True, False, True]


async def test_released_high_it_falls() -> None:
    world = make()
    appear(world)
    assert await pick(world, "e2")
    await go(world, "white", above(world, "e2", 100.0))
    world.gripper_opened("white", 40.0)
    assert world.placement() == Placement.empty()
    assert not world.pieces()[0].upright


async def test_coming_down_on_another_knocks_it_over() -> None:
    world = make("8/8/8/8/4p3/8/4P3/8")
    appear(world)
    assert await pick(world, "e2")
    await go(world, "white", above(world, "e2", 200.0), above(world, "e4", 200.0), above(world, "e4", PAWN_GRASP_MM))
    world.gripper_opened("white", 40.0)
    assert [view.letter for view in world.pieces() if not view.upright] == ["p"]
    assert world.accidents == ["collision white p"]


async def test_low_crossing_knocks_what_stands_in_the_way_at_its_instant() -> None:
    world = make("8/8/8/8/8/8/P3P3/8")
    appear(world, x=-350.0, y=-137.5)
    now = anyio.current_time()
    start, end = (-350.0, -2.5 * 55.0, 30.0), (0.0, -2.5 * 55.0, 30.0)
    world.tip_path("white", route(now, start, ((1.0, end),)), now, now + 1.0)
    await anyio.sleep(0.3)
    assert world.placement()[square_index("a2")] == "P"
    await anyio.sleep(0.4)
    assert world.placement()[square_index("a2")] is None
    assert world.placement()[square_index("e2")] == "P"  # the path ends half a square before it
    assert world.accidents == ["collision white P"]


async def test_a_stop_prevents_what_was_foreseen() -> None:
    world = make("8/8/8/8/8/8/P7/8")
    appear(world, x=-350.0, y=-137.5)
    now = anyio.current_time()
    world.tip_path("white", route(now, (-350.0, -137.5, 30.0), ((1.0, (0.0, -137.5, 30.0)),)), now, now + 1.0)
    await anyio.sleep(0.2)
    here, now = world.tip("white"), anyio.current_time()
    world.tip_path("white", lambda _at_s: here, now, now)
    await anyio.sleep(2.0)
    assert world.placement()[square_index("a2")] == "P"
    assert world.accidents == []


async def test_travel_above_the_pieces_touches_nothing() -> None:
    world = make("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR")
    appear(world, x=-350.0, y=0.0)
    before = world.placement()
    await go(world, "white", (350.0, -190.0, 110.0), (-350.0, 190.0, 110.0))
    assert world.placement() == before
    assert world.accidents == []


async def test_every_man_of_the_start_position_can_be_taken_and_put_back() -> None:
    """Open fingers go down among neighbours on 55 mm squares and touch nobody."""
    world = make("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR")
    appear(world)
    before = world.placement()
    for view in world.pieces():
        height = view.shape.grasp_height_mm
        over = (view.x_mm, view.y_mm, 220.0)
        await go(world, "white", over, (view.x_mm, view.y_mm, height), seconds=0.5)
        assert world.gripper_closed("white", 40.0).holding
        await go(world, "white", over, (view.x_mm, view.y_mm, height), seconds=0.5)
        world.gripper_opened("white", 40.0)
        await go(world, "white", over, seconds=0.5)
    assert world.placement() == before
    assert world.accidents == []


async def test_fault_missed_grasp() -> None:
    world = make(faults=Faults(missed_grasp=1.0))
    appear(world)
    assert not await pick(world, "e2")
    assert world.placement().fen == FEN


async def test_fault_slip_is_felt_by_the_gripper() -> None:
    world = make(faults=Faults(slip=1.0))
    appear(world)
    assert await pick(world, "e2")
    await go(world, "white", above(world, "e2", 200.0))
    assert world.grip("white").holding
    await go(world, "white", above(world, "e6", 200.0))
    assert not world.grip("white").holding
    assert world.accidents == ["slip white P"]
    view = world.pieces()[0]
    assert not view.upright
    assert view.held_by is None


async def test_fault_bump_hits_the_nearest_neighbour() -> None:
    world = make("8/8/8/8/8/8/3pP3/8", faults=Faults(bump=1.0))
    appear(world)
    assert await pick(world, "e2")
    world.gripper_opened("white", 40.0)
    assert world.accidents == ["bump p"]
    victim = world.pieces()[0] if world.pieces()[0].letter == "p" else world.pieces()[1]
    assert not victim.upright or victim.distance_mm(world.square_centre(square_index("d2"))) > 10.0


async def test_arms_above_the_board_at_once_are_noted() -> None:
    world = make()
    appear(world, "white", y=-400.0)
    appear(world, "black", y=400.0)
    await go(world, "white", above(world, "e4", 200.0))
    assert world.arms_above_board() == ("white",)
    assert world.intrusions() == ()
    await go(world, "black", above(world, "e5", 200.0))
    assert world.arms_above_board() == ("white", "black")
    await anyio.sleep(1.0)
    found = world.intrusions()
    assert len(found) == 1
    assert found[0].arms == ("white", "black")
    assert found[0].until_s - found[0].from_s == pytest.approx(1.5, abs=0.3)


async def test_one_arm_after_the_other_is_no_intrusion() -> None:
    world = make()
    appear(world, "white", y=-400.0)
    appear(world, "black", y=400.0)
    await go(world, "white", above(world, "e4", 200.0), (0.0, -400.0, 200.0))
    await go(world, "black", above(world, "e5", 200.0), (0.0, 400.0, 200.0))
    assert world.intrusions() == ()


async def test_waiters_wake_on_change() -> None:
    world = make()
    woken: list[int] = []

    async def waiter() -> None:
        version = world.version
        await world.wait_changed(version)
        woken.append(world.version)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter)
        await anyio.sleep(1.0)
        assert woken == []
        world.knock(0, 1.0, 0.0)
    assert woken == [world.version]


async def test_unrest_is_foreseen_only_where_a_board_could_feel_it() -> None:
    world = make()
    now = anyio.current_time()
    number = on(world, "e2").number
    x, y, _ = above(world, "e2", 0.0)
    legs = ((1.0, (x, y, 100.0)), (8.0, (x, y + 110.0, 100.0)), (1.0, (x, y + 110.0, 0.0)))
    world.hand_moves(number, "hand", route(now, (x, y, 0.0), legs), now, now + 10.0)
    assert world.quiet_from(now) < now + 2.0
    assert world.quiet_from(now + 5.0) == now + 5.0
    assert now + 8.0 < world.next_unrest(now + 5.0) < now + 10.0
