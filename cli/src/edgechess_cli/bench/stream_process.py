"""Our streamer as one loader of `edgechess bench stream`: a process that streams once for each line of stdin.

    python -m edgechess_cli.bench.stream_process PLACE

PLACE is JSON: `model` (an address), `connections`, `host_mib`, `first` (names of the first layer), `ca`, `device` (a
torch device: by the way of every accelerator, through staged chunks that are copied on, also on "cpu"). The buffer is
taken once and used again; digests are always on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from edgechess_cli.bench.stream_peers_adapter import end_with_parent, processor_s, status_bytes
from edgechess_inference.weights.errors import WeightsError
from edgechess_inference.weights.host_buffer import Destination, HostBuffer
from edgechess_inference.weights.model import Model, ModelOptions, open_model
from edgechess_inference.weights.streamer import open_stream
from edgechess_inference.weights.transfer import StreamSettings


def main(argv: list[str]) -> int:
    end_with_parent()
    place = json.loads(argv[0])
    options = ModelOptions(ca_file=Path(place["ca"]) if place.get("ca") else None)
    try:
        model = anyio.run(open_model, place["model"], options)
        make: Callable[[int], Destination] = _staged(place["device"]) if "device" in place else HostBuffer
        make(1)  # whatever has to be imported is no memory of the stream's
        base = status_bytes("VmRSS")
        destination = make(model.manifest.shards[0].bytes)
    except (WeightsError, ImportError) as error:
        print(json.dumps({"absent": str(error)}), flush=True)
        return 0
    print(json.dumps({"ready": "ours"}), flush=True)
    for _ in sys.stdin:
        try:
            print(json.dumps(anyio.run(_once, model, destination, place, base)), flush=True)
        except WeightsError as error:
            print(json.dumps({"failed": str(error)}), flush=True)
            return 0
    return 0


def _staged(device: str) -> Callable[[int], Destination]:
    from edgechess_inference.weights.torch_buffer import TorchBuffer  # needs torch, which this command does without

    return lambda size: TorchBuffer(size, device, staged=True)


async def _once(model: Model, destination: Destination, place: dict[str, Any], base: int) -> dict[str, Any]:
    settings = StreamSettings(connections=place["connections"], host_bytes=place["host_mib"] << 20)
    before_s, started_s = processor_s(), time.perf_counter()
    async with open_stream(model, destination, settings=settings) as stream:
        await stream.ready(place["first"])
        first_s = time.perf_counter() - started_s
        await stream.done()
        took_s = time.perf_counter() - started_s
        tally = stream.snapshot().tally
    return {
        "s": took_s,
        "cpu_s": processor_s() - before_s,
        "first_s": first_s,
        "peak_bytes": status_bytes("VmHWM") - base,
        "damaged": tally.damaged_chunks,
        "healed": tally.healed_chunks,
        "broken": tally.broken,
        "refetched_bytes": tally.refetched_bytes,
        "hedged": tally.hedged,
        "staged_bytes": destination.staging_bytes * settings.receivers(destination.staging_bytes),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
