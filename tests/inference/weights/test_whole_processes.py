"""Killed and started again; held to its memory by the kernel. Whole processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgechess_inference.weights.copying import pull
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.manifest import CHUNK_BYTES
from edgechess_inference.weights.model import ModelOptions, open_model
from edgechess_inference.weights.streamer import open_stream

pytestmark = pytest.mark.slow

CHILD = """
import json, sys
from pathlib import Path
import anyio
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.model import ModelOptions, open_model
from edgechess_inference.weights.streamer import open_stream

def status(field):
    return next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(field)) << 10

async def main(address, cache):
    model = await open_model(address, ModelOptions(cache=Path(cache) if cache else None))
    base = status("VmRSS")
    buffer = HostBuffer(model.manifest.bytes)
    print("began", flush=True)
    async with open_stream(model, buffer) as stream:
        await stream.done()
    print(json.dumps({"beside": status("VmHWM") - base - model.manifest.bytes}), flush=True)

anyio.run(main, *sys.argv[1:])
"""


def child(address: str, cache: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, address, cache], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_killed_at_any_time_and_started_again_fetches_only_what_is_missing(
    workshop: Any, server: Any, buffer: HostBuffer, image: str, tmp_path: Path, kept: int
) -> None:
    """Killed while `kept` chunks are there whole and each of the others in part."""
    others = workshop.chunk_keys(server.folder / "tiny.json")[kept:]
    server.fault = lambda key, before: "slow" if key in others and not before else ""
    started = child(f"{server.url}/tiny.json", str(tmp_path))
    deadline_s = time.monotonic() + 20.0
    while time.monotonic() < deadline_s:
        if len(workshop.stored(tmp_path)) == kept and all(server.asked.get(key) for key in others):
            break
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert len(workshop.stored(tmp_path)) == kept
    before = server.sent

    async def again() -> None:
        model = await open_model(f"{server.url}/tiny.json", ModelOptions(cache=tmp_path))
        async with open_stream(model, buffer) as stream:
            await stream.done()

    anyio.run(again)
    assert workshop.digest(buffer) == image
    assert server.sent - before == buffer.bytes - kept * CHUNK_BYTES + server.manifest_bytes


def test_a_killed_pull_goes_on(workshop: Any, server: Any, tmp_path: Path) -> None:
    keys = workshop.chunk_keys(server.folder / "tiny.json")
    server.fault = lambda key, before: "slow" if key == keys[0] and not before else ""

    async def interrupted() -> None:
        with anyio.move_on_after(20.0) as scope:
            async with anyio.create_task_group() as tasks:

                async def watch() -> None:
                    while len(workshop.stored(tmp_path / "here")) < 4:  # noqa: ASYNC110 — a folder has no event
                        await anyio.sleep(0.01)
                    scope.cancel()

                tasks.start_soon(watch)
                await pull(await open_model(f"{server.url}/tiny.json"), tmp_path / "here" / "tiny.json")

    async def again() -> int:
        return await pull(await open_model(f"{server.url}/tiny.json"), tmp_path / "here" / "tiny.json")

    anyio.run(interrupted)
    assert not (tmp_path / "here" / "tiny.json").exists()
    assert anyio.run(again) == CHUNK_BYTES


def test_host_memory_beside_the_tensors(packed: Path, server: Any) -> None:
    for address in (str(packed), f"{server.url}/tiny.json"):
        done = child(address)
        out, _ = done.communicate(timeout=60)
        assert json.loads(out.splitlines()[-1])["beside"] < 64 << 20


def test_held_to_its_memory_by_the_kernel(packed: Path, server: Any) -> None:
    """Tensors, interpreter and 64 MiB, and not a page more: the kernel would kill it."""
    root = Path("/sys/fs/cgroup/memory")
    field = "memory.limit_in_bytes" if root.is_dir() else "memory.max"
    group = (root if root.is_dir() else Path("/sys/fs/cgroup")) / f"edgechess-test-{os.getpid()}"
    try:
        group.mkdir()
        size = sum(path.stat().st_size for path in packed.parent.glob("chunks/??/*"))
        (group / field).write_text(str(size + (64 << 20) + (48 << 20)))  # an interpreter with our imports has 40 MiB
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        program = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n" + CHILD
        command = [sys.executable, "-c", program, f"{server.url}/tiny.json", ""]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "beside" in done.stdout
    finally:
        time.sleep(0.1)
        group.rmdir()
