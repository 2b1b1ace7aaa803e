"""Weights into memory: our streamer beside the limits of the machine and, where they are installed, its peers.

Ratios inside one run only. Every loader is a process of its own that loads once without being counted (fresh memory
is dear, on virtual machines above all) and then once a round, in turn with the others; medians. Digests are on for us.
The checkpoint has TinyLlama's shapes, random bytes in bf16, and lies in a temporary folder that is deleted.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from edgechess_cli.bench import stream_peers_adapter
from edgechess_cli.bench.figures import Report
from edgechess_cli.bench.manager import BenchError
from edgechess_cli.bench.stream_checkpoint import first_layer, write_checkpoint
from edgechess_cli.bench.stream_loader import Entrant, Group, Loader, ours, peer, take_turns
from edgechess_cli.bench.stream_machine import (
    available_bytes,
    can_drop_caches,
    certificate,
    drop_caches,
    memory_group,
    why_no_device,
)
from edgechess_cli.bench.stream_report import HOST_MIB, PINNED_MIB, markdown, report_of, table_of
from edgechess_inference.weights import manifest as m
from edgechess_inference.weights.local_store import chunk_key
from edgechess_inference.weights.packing import pack
from edgechess_inference.weights.transfer import CONNECTIONS

__all__ = ["ROUNDS", "markdown", "measure"]

ROUNDS = 5
LINK_BYTES_S = 625e6  # 5 Gbit/s
EACH_BYTES_S = 80e6  # what one S3 connection gives
FIRST_BYTE_S = 0.02
DROP, DAMAGE = 0.05, 0.01
DEVICE_CONNECTIONS = 16  # a thread each that copies into pinned memory: as many as an accelerator's host has cores
MEMORY_FILES = Path("/dev/shm")
BUCKET = "bucket"
DISK = ("safetensors touched", "safetensors cloned", "torch.load", "torch.load mapped", "torch DCP")
DISK_PEERS = ("runai", "fastsafetensors", "tensorizer")
NETWORK = ("awscrt", "boto3 ranges", "boto3 download")
NETWORK_PEERS = ("pycurl", "obstore", "runai S3", "s3torchconnector", "tensorizer HTTP")
DEVICE = ("safetensors to device", "pinned loop")
DEVICE_PEERS = ("instanttensor", "runai to device", "fastsafetensors to device")
PEER_PACKAGES = (
    "runai-model-streamer", "runai-model-streamer-s3", "fastsafetensors", "tensorizer", "obstore", "pycurl",
    "s3torchconnector",
)  # fmt: skip
DEVICE_PACKAGES = ("instanttensor", "runai-model-streamer", "runai-model-streamer-s3", "fastsafetensors")
INTERRUPTED = "interrupted: what is missing was not measured"


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is. `python`: of an environment with the peers, None without them."""

    folder: Path
    manifest: m.Manifest
    rounds: int
    python: Path | None
    remarks: list[str]

    @property
    def size(self) -> int:
        return self.manifest.bytes

    def place(self, **more: Any) -> dict[str, Any]:
        served = self.folder / BUCKET
        return {
            "folder": str(served),
            "keys": [chunk_key(chunk.address) for chunk in self.manifest.shards[0].chunks],
            "file": str(served / "model.safetensors"),
            "torch": str(self.folder / "model.pt"),
            "dcp": str(self.folder / "dcp"),
            "tensorizer": str(served / "model.tensors"),
            "scratch": str(self.folder / "scratch"),
            "size": (served / "model.safetensors").stat().st_size,
            "bucket": BUCKET,
            "key": "model.safetensors",
            "connections": CONNECTIONS,
            "host_mib": HOST_MIB,
            "first": first_layer(self.manifest),
            "model": str(served / "model.json"),
            **more,
        }

    def served(self, port: int, scheme: str = "http", **more: Any) -> dict[str, Any]:
        endpoint = f"{scheme}://127.0.0.1:{port}"
        url = f"{endpoint}/{BUCKET}"
        return self.place(endpoint=endpoint, url=url, **{"model": f"{url}/model.json", **more})

    def peers(self, place: dict[str, Any], *names: str) -> list[Entrant]:
        return [peer(name, place, self.python) for name in names]

    def turns(
        self, name: str, staying: list[Entrant], peers: list[Entrant], before: Callable[[], None] | None = None
    ) -> Group:
        return take_turns(
            name, staying, peers, size=self.size, rounds=self.rounds, say=_say, before=before,
            on_device=name.startswith("device"),
        )  # fmt: skip


def measure(size_bytes: int, rounds: int, with_peers: bool, device: str = "cpu") -> Report:
    """Everything, group by group, each told when it is done. Ctrl-C ends it at once, with what was measured by then.

    `device` other than "cpu": memory file system and HTTP into that device. Raises BenchError (there is no such device,
    or no memory for a checkpoint of this size), OSError; a peer that cannot run is named, not an error.
    """
    on_device = device != "cpu"
    why = why_no_device(device) if on_device else None
    if why is not None:
        raise BenchError(why)
    _require_memory(size_bytes, in_memory=on_device)
    folder = Path(tempfile.mkdtemp(prefix="edgechess-stream-", dir=MEMORY_FILES if on_device else None))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # gigabytes must not stay behind
    groups: dict[str, Group] = {}
    remarks: list[str] = []
    link_s, broken_off, size = size_bytes / LINK_BYTES_S + FIRST_BYTE_S, None, size_bytes
    try:
        packages = (DEVICE_PACKAGES if on_device else PEER_PACKAGES) if with_peers else ()
        bench = _prepare(folder, size_bytes, rounds, packages, remarks, others=not on_device)
        link_s, size = bench.size / LINK_BYTES_S + FIRST_BYTE_S, bench.size
        for group in device_groups(bench, device) if on_device else _groups(bench):
            groups[group.name] = group
            print(f"\n{table_of(group, size, link_s).text()}\n", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        broken_off = INTERRUPTED
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report_of(groups, size, rounds, link_s, remarks, broken_off)


def _require_memory(size_bytes: int, *, in_memory: bool) -> None:
    needed = int(
        (4.5 if in_memory else 2.5) * size_bytes
    )  # in memory: file and chunks; else: conversion, ours, a limit
    free = available_bytes()
    if free < needed:
        most = size_bytes * free / needed / 1e9
        raise BenchError(
            f"a checkpoint of {size_bytes / 1e9:.2g} GB needs {needed / 1e9:.1f} GB of free memory, and there are"
            f" {free / 1e9:.1f}: --size {most:.1f} at most"
        )


# ---------------------------------------------------------------- preparing


def _prepare(
    folder: Path, size_bytes: int, rounds: int, packages: tuple[str, ...], remarks: list[str], *, others: bool
) -> Bench:
    served = folder / BUCKET
    served.mkdir()
    _say("writing the checkpoint")
    write_checkpoint(served / "model.safetensors", size_bytes)
    card = m.Card(name="bench", architecture="LlamaForCausalLM", licence="unknown")
    packed = pack(served / "model.safetensors", served / "model.json", card)
    python = _install_peers(folder, packages) if packages else None
    for kind, target in _FORMATS.items() if others else ():
        program = CONVERT[kind].format(source=str(served / "model.safetensors"), target=str(folder / target))
        command = [str(python or sys.executable), "-c", program]
        subprocess.run(command, capture_output=True, check=False)  # absent: its loader will say so
    os.sync()
    return Bench(folder, packed.manifest, rounds, python, remarks)


_FORMATS = {"torch": "model.pt", "dcp": "dcp", "tensorizer": f"{BUCKET}/model.tensors"}
CONVERT = {
    "torch": "import torch, safetensors.torch as s; torch.save(s.load_file({source!r}), {target!r})",
    "dcp": "import torch.distributed.checkpoint as d, safetensors.torch as s;"
    " d.save(s.load_file({source!r}), checkpoint_id={target!r}, no_dist=True)",
    "tensorizer": "import tensorizer, safetensors.torch as s; w = tensorizer.TensorSerializer({target!r});"
    " w.write_state_dict(s.load_file({source!r})); w.close()",
}


def _install_peers(folder: Path, packages: tuple[str, ...]) -> Path:
    """An environment of its own in the temporary folder, which also sees this one's packages: torch comes from there."""
    _say("installing the peers")
    home = folder / "peers"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
    here = next(home.glob("lib/python*/site-packages"))
    (here / "beneath.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n")
    python = home / "bin" / "python"
    constraint = folder / "constraint.txt"
    constraint.write_text("torch==2.13.0\n")
    for package in packages:
        command = [str(python), "-m", "pip", "install", "-q", "-c", str(constraint), package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            _say(f"{package} does not install: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return python


# ---------------------------------------------------------------- groups


def _groups(bench: Bench) -> Iterator[Group]:
    yield _disk(bench)
    yield _http(bench)
    yield _capped(bench)
    key, cert = bench.folder / "key.pem", bench.folder / "cert.pem"
    if certificate(key, cert):
        yield _tls(bench, key, cert)
    else:
        bench.remarks.append("no openssl: nothing was measured over TLS")
    yield _faults(bench)
    bench.remarks.append(_held_by_cgroup(bench))


def _disk(bench: Bench) -> Group:
    place, cold = bench.place(), can_drop_caches()
    if not cold:
        bench.remarks.append(
            "not root: the page cache was not dropped, so disk figures of mapped and buffered loaders are warm"
        )
    staying = [ours("ours", place), *bench.peers(place, "disk limit")]
    others = [ours("ours, staged", place | {"device": "cpu"})]
    others += bench.peers(place, *DISK, *(DISK_PEERS if bench.python else ()))
    return bench.turns("disk", staying, others, drop_caches if cold else None)


def _http(bench: Bench) -> Group:
    with _server(bench) as port:
        place = bench.served(port)
        staying = [ours("ours", place), *bench.peers(place, "http limit")]
        others = bench.peers(place, *NETWORK, *(NETWORK_PEERS if bench.python else ()))
        return bench.turns("http", staying, others)


def _capped(bench: Bench) -> Group:
    """By our own shaper in user space: no root is needed, and nobody else's traffic is touched."""
    caps = ("--rate", str(LINK_BYTES_S), "--each", str(EACH_BYTES_S), "--delay", str(FIRST_BYTE_S))
    bench.remarks.append(
        "the capped link and first-byte time are made by the server in user space; no network card was involved"
    )
    with _server(bench, *caps) as port:
        place = bench.served(port)
        return bench.turns("capped", [ours("ours", place)], bench.peers(place, "awscrt"))


def _tls(bench: Bench, key: Path, cert: Path) -> Group:
    with _server(bench, "--tls", str(cert), str(key)) as port:
        place = bench.served(port, "https", ca=str(cert))
        names = ("awscrt", *(("pycurl",) if bench.python else ()))
        return bench.turns("tls", [ours("ours", place)], bench.peers(place, *names))


def _faults(bench: Bench) -> Group:
    """The same store, clean and with faults."""
    with _server(bench) as clean, _server(bench, "--drop", str(DROP), "--damage", str(DAMAGE)) as faulty:
        return bench.turns("faults", [ours("clean", bench.served(clean)), ours("faulty", bench.served(faulty))], [])


def device_groups(bench: Bench, device: str) -> Iterator[Group]:
    """The way of an accelerator: through a ring of pinned memory and copies on streams of their own."""
    more: dict[str, Any] = {"device": device, "host_mib": PINNED_MIB, "connections": DEVICE_CONNECTIONS}
    place = bench.place(**more)
    staying = [ours("ours", place), *bench.peers(place, "device limit")]
    yield bench.turns("device", staying, bench.peers(place, *DEVICE, *(DEVICE_PEERS if bench.python else ())))
    with _server(bench) as port:
        place = bench.served(port, **more)
        staying = [ours("ours", place), *bench.peers(place, "http limit")]
        yield bench.turns(
            "device-http", staying, bench.peers(place, *(("runai S3 to device",) if bench.python else ()))
        )


def _held_by_cgroup(bench: Bench) -> str:
    """Streams over HTTP in a group that has no more than tensors, interpreter and HOST_MIB; in words."""
    with _server(bench) as port, ExitStack() as stack:
        place = bench.served(port)
        bare = stack.enter_context(_running(ours("interpreter", place)))
        base = stream_peers_adapter.resident_bytes(bare.pid)
        try:
            group = stack.enter_context(memory_group(base + bench.size + (HOST_MIB << 20)))
        except OSError:
            return "no memory cgroup could be made: host memory was sampled (VmHWM), not held"
        held = stack.enter_context(_running(ours("held", place, group)))
        _say("held by a cgroup")
        held.once(counted=False)
        held.once(counted=True)
        verdict = "finished" if held.samples else f"was KILLED or failed: {held.absent}"
    return f"held by a cgroup of tensors + interpreter ({base >> 20} MiB) + {HOST_MIB} MiB: the stream {verdict}"


@contextmanager
def _running(entrant: Entrant) -> Iterator[Loader]:
    loader = Loader(entrant)
    try:
        loader.start()
        yield loader
    finally:
        loader.kill()
        loader.reap()


@contextmanager
def _server(bench: Bench, *options: str) -> Iterator[int]:
    command = [sys.executable, "-m", "edgechess_cli.bench.object_server_adapter", str(bench.folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def _say(text: str) -> None:
    print(f"  {text} …", file=sys.stderr, flush=True)
