"""Pages that watch a console, without a browser: each reads its event stream and throws it away.

    python -m edgechess_cli.bench.viewers_process --address http://127.0.0.1:8088/ --count 50 --stalled 1

A line on standard input attaches them all or detaches them all, in turn; the answer is one line with the bytes that
each read meanwhile, at least. `--stalled` of them never read. Ends with its input. They stand for other people's
machines, so this process yields to everything that is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import anyio.abc
import httpx


async def cookie_of(address: str) -> str:
    async with httpx.AsyncClient(base_url=address) as client:
        await client.get("/api/me")
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


async def watch(stream: anyio.abc.SocketStream, read: list[int], number: int) -> None:
    async for chunk in stream:
        read[number] += len(chunk)


@asynccontextmanager
async def attached(address: str, count: int, stalled: int) -> AsyncIterator[list[int]]:
    """The bytes that each has read, as long as the block lasts."""
    cookie, place = await cookie_of(address), urlsplit(address)
    request = f"GET /api/stream HTTP/1.1\r\nHost: {place.netloc}\r\nCookie: {cookie}\r\n\r\n".encode()
    read = [0] * count
    async with anyio.create_task_group() as tasks:
        streams = []
        for number in range(count + stalled):
            stream = await anyio.connect_tcp(place.hostname or "", place.port or 80)
            streams.append(stream)
            await stream.send(request)
            if number < count:
                tasks.start_soon(watch, stream, read, number)
        yield read
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            for stream in streams:
                await anyio.aclose_forcefully(stream)


async def main(address: str, count: int, stalled: int) -> None:
    lines = anyio.wrap_file(sys.stdin)
    while await lines.readline():
        async with attached(address, count, stalled) as read:
            with anyio.fail_after(30.0):
                while not all(read):  # noqa: ASYNC110 - each has its first view
                    await anyio.sleep(0.01)
            print("attached", flush=True)
            if not await lines.readline():
                return
        print(f"detached {min(read)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    for name in ("count", "stalled"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    os.nice(19)
    anyio.run(main, given.address, given.count, given.stalled)
