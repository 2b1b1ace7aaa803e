"""The hand: whatever the kind of move and the way it is made, the right men stand in the right places afterwards."""

from __future__ import annotations

import random

import anyio
import chess
import pytest

from edgechess_board.placement import Placement, square_index
from edgechess_robots.layout import Point, standard_layout
from edgechess_robots.shapes import STAUNTON_6
from edgechess_twin.dgt_device import DgtDevice
from edgechess_twin.errors import HandError
from edgechess_twin.faults import HARSH, NONE, Faults
from edgechess_twin.memory_stream import memory_stream_pair
from edgechess_twin.person import Person
from edgechess_twin.world import World

pytestmark = pytest.mark.anyio


def make(fen: str = chess.STARTING_FEN, *, seed: int = 0, faults: Faults = NONE, speed: float = 1.0) -> World:
    return World(
        standard_layout(),
        STAUNTON_6,
        seed=seed,
        faults=faults,
        speed=speed,
        placement=Placement.from_fen(fen),
        racks={"white": "QQRBN", "black": "qqrbn"},
    )


MOVES = [
    ("e2e4", chess.STARTING_FEN),
    ("g1f3", chess.STARTING_FEN),
    ("e4d5", "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1"),
    ("f3e5", "4k3/8/8/4p3/8/5N2/8/4K3 w - - 0 1"),
    ("e1g1", "4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1"),
    ("e1c1", "4k3/8/8/8/8/8/8/R3K2R w KQ - 0 1"),
    ("e8g8", "r3k2r/8/8/8/8/8/8/4K3 b kq - 0 1"),
    ("e8c8", "r3k2r/8/8/8/8/8/8/4K3 b kq - 0 1"),
    ("e5d6", "4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1"),
    ("d4e3", "4k3/8/8/8/3pP3/8/8/4K3 b - e3 0 1"),
    ("a7a8q", "4k3/P7/8/8/8/8/8/4K3 w - - 0 1"),
    ("a7b8n", "1r2k3/P7/8/8/8/8/8/4K3 w - - 0 1"),
    ("a2b1r", "4k3/8/8/8/8/8/p7/1N2K3 b - - 0 1"),
]


@pytest.mark.parametrize(("uci", "fen"), MOVES)
async def test_every_kind_of_move_in_every_way(uci: str, fen: str) -> None:
    board = chess.Board(fen)
    board.push_uci(uci)
    for seed in range(12):
        world = make(fen, seed=seed, faults=Faults(off_centre_mm=6.0))
        await Person(world).play(uci, fen)
        assert world.placement().fen == board.board_fen()
        on_board = [v for v in world.pieces() if v.held_by is None and world.square_at(v.x_mm, v.y_mm) is not None]
        assert all(view.upright for view in on_board)
        assert len(on_board) == len(board.piece_map())


async def test_random_games_by_hand_end_as_the_rules_say() -> None:
    for seed in range(6):
        dice = random.Random(seed)
        world = make(seed=seed, speed=10.0, faults=Faults(off_centre_mm=8.0))
        person = Person(world)
        board = chess.Board()
        for _ in range(60):
            if board.is_game_over():
                break
            move = dice.choice(sorted(board.legal_moves, key=chess.Move.uci))
            await person.play(move.uci(), board.fen())
            board.push(move)
            assert world.placement().fen == board.board_fen()


async def test_ways_of_moving_differ_by_seed_and_repeat_by_seed() -> None:
    async def seconds(seed: int) -> float:
        world = make("4k3/8/8/3p4/4P3/8/8/4K3", seed=seed)
        began = anyio.current_time()
        await Person(world).play("e4d5", "4k3/8/8/3p4/4P3/8/8/4K3 w - - 0 1")
        return round(anyio.current_time() - began, 9)

    times = [await seconds(seed) for seed in range(5)]
    assert len(set(times)) == 5
    assert times == [await seconds(seed) for seed in range(5)]


async def test_speed_scales_the_hand() -> None:
    durations = []
    for speed in (1.0, 20.0):
        world = make(speed=speed)
        began = anyio.current_time()
        await Person(world).play("e2e4", chess.STARTING_FEN)
        durations.append(anyio.current_time() - began)
    assert durations[0] == pytest.approx(20.0 * durations[1], rel=1e-6)
    assert 0.5 < durations[0] < 4.0


@pytest.mark.parametrize("faults", [NONE, HARSH])
async def test_arrange_from_chaos(faults: Faults) -> None:
    for seed in range(8):
        dice = random.Random(seed)
        world = make(seed=seed, faults=faults)
        world.arm_appears("white", Point(0.0, -82.5, 30.0))
        person = Person(world)
        for view in world.pieces():
            chance = dice.random()
            if chance < 0.2:
                world.knock(view.number, dice.uniform(-1, 1), dice.uniform(-1, 1))
            elif chance < 0.4:
                world.hand_pockets(view.number)
            elif chance < 0.6:
                world.hand_leaves(view.number, dice.uniform(-300, 300), dice.uniform(-300, 300))
        slot = world.layout.site("black").tray[2]
        world.hand_leaves(0, slot.x_mm, slot.y_mm)
        target = "r1bqkb1r/pppp1ppp/2n2n2/4p2Q/2B1P3/8/PPPP1PPP/RNB1K1NR"
        await person.arrange(target)
        assert world.placement().fen == target
        board_area = 4.4 * 55.0
        for view in world.pieces():
            if view.held_by is None:
                assert view.upright
                near = max(abs(view.x_mm), abs(view.y_mm)) < board_area
                assert not near or world.square_at(view.x_mm, view.y_mm) is not None


async def test_arrange_takes_a_piece_from_the_gripper_that_holds_it() -> None:
    world = make("8/8/8/8/8/8/4P3/8")
    world.arm_appears("white", Point(27.5, -137.5, 30.0))
    assert world.gripper_closed("white", 40.0).holding
    await Person(world).arrange("8/8/8/8/4P3/8/8/8")
    assert world.placement().fen == "8/8/8/8/4P3/8/8/8"
    assert not world.grip("white").holding


async def test_arrange_leaves_a_good_table_alone() -> None:
    world = make()
    before = world.pieces()
    began = anyio.current_time()
    await Person(world).arrange("rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1")
    assert world.pieces() == before
    assert anyio.current_time() == began


async def test_single_gestures() -> None:
    world = make("8/8/8/8/8/8/4P3/7K")
    person = Person(world)
    await person.lift("e2")
    assert world.placement().fen == "8/8/8/8/8/8/8/7K"
    await person.place("e5")
    assert world.placement().fen == "8/8/8/4P3/8/8/8/7K"
    await person.slide("e5", "e3")
    await person.place("a8", "q")
    assert world.placement().fen == "q7/8/8/8/8/4P3/8/7K"
    await person.knock("h1")
    assert world.placement()[square_index("h1")] is None


async def test_take_from_a_gripper() -> None:
    world = make("8/8/8/8/8/8/4P3/8")
    world.arm_appears("white", Point(27.5, -137.5, 30.0))
    person = Person(world)
    await person.take_from("white")
    assert world.gripper_closed("white", 40.0).holding
    await person.take_from("white")
    assert not world.grip("white").holding
    with pytest.raises(HandError, match="green"):
        await person.take_from("green")


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (("play", "e2e5", chess.STARTING_FEN), "not legal"),
        (("play", "xx", chess.STARTING_FEN), "xx"),
        (("play", "e2e4", "nonsense"), "nonsense"),
        (("lift", "e4"), "e4 is empty"),
        (("lift", "e9"), "a1 to h8"),
        (("place", "e4"), "hand is empty"),
        (("place", "e4", "x"), "expected one letter"),
        (("arrange", "8/8"), "ranks"),
    ],
)
async def test_what_cannot_be_done_is_said(order: tuple[str, ...], text: str) -> None:
    person = Person(make())
    with pytest.raises(HandError, match=text):
        await getattr(person, order[0])(*order[1:])


async def test_cancelled_midway_the_hand_lets_go() -> None:
    world = make()
    with anyio.move_on_after(0.7):
        await Person(world).play("e2e4", chess.STARTING_FEN)
    assert all(view.held_by is None for view in world.pieces())


async def test_same_seed_same_bytes() -> None:
    async def transcript(seed: int) -> list[tuple[float, str]]:
        world = make(seed=seed, faults=HARSH)
        device = DgtDevice(world, seed=seed)
        lines: list[tuple[float, str]] = []
        began = anyio.current_time()
        device.transcript = lambda at_s, way, data: lines.append((round(at_s - began, 6), way + data.hex()))
        near, far = memory_stream_pair()
        board, dice = chess.Board(), random.Random(seed)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(device.run)
            tasks.start_soon(device.serve, far)
            await near.send(b"\x44")
            person = Person(world)
            for _ in range(20):
                move = dice.choice(sorted(board.legal_moves, key=chess.Move.uci))
                await person.play(move.uci(), board.fen())
                board.push(move)
                await near.send(b"\x42")
            await anyio.sleep(1.0)
            tasks.cancel_scope.cancel()
        return lines

    first = await transcript(5)
    assert len(first) > 100
    assert first == await transcript(5)
    assert first != await transcript(6)
