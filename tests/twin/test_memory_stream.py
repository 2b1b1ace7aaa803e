"""The wire in memory behaves like a socket: order kept, ends told, senders that wait, cuts that break both sides."""

from __future__ import annotations

import anyio
import pytest

from edgechess_twin.memory_stream import BUFFER_BYTES, memory_stream_pair

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_bytes_arrive_in_order_and_may_be_taken_in_pieces() -> None:
    near, far = memory_stream_pair()
    await near.send(b"abc")
    await near.send(b"def")
    assert await far.receive(4) == b"abcd"
    assert await far.receive() == b"ef"


async def test_closing_lets_the_other_side_read_what_is_left() -> None:
    near, far = memory_stream_pair()
    await near.send(b"last")
    await near.aclose()
    assert await far.receive() == b"last"
    with pytest.raises(anyio.EndOfStream):
        await far.receive()
    with pytest.raises(anyio.BrokenResourceError):
        await far.send(b"x")
    with pytest.raises(anyio.ClosedResourceError):
        await near.send(b"x")
    with pytest.raises(anyio.ClosedResourceError):
        await near.receive()


async def test_half_close() -> None:
    near, far = memory_stream_pair()
    await near.send_eof()
    with pytest.raises(anyio.EndOfStream):
        await far.receive()
    await far.send(b"still")
    assert await near.receive() == b"still"


async def test_a_cut_breaks_both_sides_and_loses_what_was_under_way() -> None:
    near, far = memory_stream_pair()
    await near.send(b"lost")
    far.kill()
    for stream in (near, far):
        with pytest.raises(anyio.BrokenResourceError):
            await stream.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.send(b"x")


async def test_a_waiting_receiver_is_woken_by_bytes_and_by_a_cut() -> None:
    near, far = memory_stream_pair()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(near.send, b"x")
        assert await far.receive() == b"x"
    async with anyio.create_task_group() as tasks:

        async def cut() -> None:
            near.kill()

        tasks.start_soon(cut)
        with pytest.raises(anyio.BrokenResourceError):
            await far.receive()


async def test_a_full_wire_makes_the_sender_wait() -> None:
    near, far = memory_stream_pair()
    await near.send(bytes(BUFFER_BYTES))
    sent: list[bool] = []

    async def more() -> None:
        await near.send(b"more")
        sent.append(True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(more)
        await anyio.wait_all_tasks_blocked()
        assert sent == []
        assert len(await far.receive()) == BUFFER_BYTES
        assert await far.receive() == b"more"
