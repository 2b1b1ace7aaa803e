"""Weights into memory: our streamer beside the limits of the machine and, where they are installed, its peers.

Ratios inside one run only. Every loader is a process of its own that loads once without being counted (fresh memory
is dear, on virtual machines above all) and then once a round, in turn with the others; medians. Digests are on for us.
The checkpoint has TinyLlama's shapes, random bytes in bf16, and lies in a temporary folder that is deleted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from edgechess_cli.bench import stream_peers_adapter
from edgechess_cli.bench.figures import Report, Table, Target
from edgechess_cli.bench.stream_checkpoint import first_layer, write_checkpoint
from edgechess_inference.weights import manifest as m
from edgechess_inference.weights.local_store import chunk_key
from edgechess_inference.weights.packing import pack
from edgechess_inference.weights.transfer import CONNECTIONS

SIZE_BYTES = 2_200_000_000
ROUNDS = 5
LINK_BYTES_S = 625e6  # 5 Gbit/s
EACH_BYTES_S = 80e6  # what one S3 connection gives
FIRST_BYTE_S = 0.02
DROP, DAMAGE = 0.05, 0.01
HOST_MIB = 64
ANSWER_TIMEOUT_S = 90.0  # of one iteration: first touch of memory takes half a minute on a busy virtual machine
SETTLE_S = 0.3  # before each turn
BUCKET = "bucket"
DISK = ("safetensors touched", "safetensors cloned", "torch.load", "torch.load mapped", "torch DCP")
DISK_PEERS = ("runai", "fastsafetensors", "tensorizer")
NETWORK = ("awscrt", "boto3 ranges", "boto3 download")
NETWORK_PEERS = ("pycurl", "obstore", "runai S3", "s3torchconnector", "tensorizer HTTP")
PEER_PACKAGES = (
    "runai-model-streamer", "runai-model-streamer-s3", "fastsafetensors", "tensorizer", "obstore", "pycurl",
    "s3torchconnector",
)  # fmt: skip
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_ARENA_MAX": "1"}
"""Peers keep what they free, so that no iteration pays for fresh memory: without it the hypervisor is measured."""


@dataclasses.dataclass(slots=True)
class Loader:
    """One process, and what it said of each counted iteration."""

    name: str
    process: subprocess.Popen[str]
    samples: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    absent: str | None = None

    def once(self, *, counted: bool) -> None:
        """One iteration; `absent` where it cannot."""
        if self.absent is not None:
            return
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except OSError:
            self.absent = "its process ended"
            return
        answer = self._answer()
        if answer is not None and counted:
            self.samples.append(answer)

    def ready(self) -> None:
        self._answer()

    def _answer(self) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
            self.absent = f"no answer within {ANSWER_TIMEOUT_S:g} s"
            self.process.kill()
            return None
        line = self.process.stdout.readline()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            self.absent = f"its process ended ({self.process.wait()})"
            return None
        self.absent = answer.get("absent") or answer.get("failed")
        return None if self.absent else answer

    def median(self, field: str) -> float:
        return float(statistics.median(sample[field] for sample in self.samples))


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is."""

    folder: Path
    manifest: m.Manifest
    rounds: int
    peers: Path | None
    """The Python of an environment with the peers."""

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
            "first": first_layer(self.manifest),
            "model": str(served / "model.json"),
            **more,
        }

    def served(self, port: int, scheme: str = "http", **more: Any) -> dict[str, Any]:
        endpoint = f"{scheme}://127.0.0.1:{port}"
        url = f"{endpoint}/{BUCKET}"
        return self.place(endpoint=endpoint, url=url, model=f"{url}/model.json", **more)


def measure(size_bytes: int, rounds: int, with_peers: bool) -> Report:
    """Everything. Raises OSError; a loader that cannot run is named, not an error."""
    folder = Path(tempfile.mkdtemp(prefix="edgechess-stream-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # gigabytes must not stay behind
    try:
        bench = _prepare(folder, size_bytes, rounds, with_peers)
        remarks: list[str] = []
        groups = {"disk": _disk(bench, remarks)}
        groups["http"] = _http(bench)
        groups["capped"] = _capped(bench)
        groups["tls"] = _tls(bench)
        groups["faults"] = _faults(bench)
        held = _held_by_cgroup(bench)
        return _report(bench, groups, held, remarks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------- preparing


def _prepare(folder: Path, size_bytes: int, rounds: int, with_peers: bool) -> Bench:
    served = folder / BUCKET
    served.mkdir()
    _say("writing the checkpoint")
    write_checkpoint(served / "model.safetensors", size_bytes)
    card = m.Card(name="bench", architecture="LlamaForCausalLM", licence="unknown")
    packed = pack(served / "model.safetensors", served / "model.json", card)
    peers = _install_peers(folder) if with_peers else None
    python = peers or Path(sys.executable)
    for kind, target in (
        ("torch", folder / "model.pt"),
        ("dcp", folder / "dcp"),
        ("tensorizer", served / "model.tensors"),
    ):
        program = CONVERT[kind].format(source=str(served / "model.safetensors"), target=str(target))
        subprocess.run([str(python), "-c", program], capture_output=True, check=False)  # absent: its loader will say so
    os.sync()
    return Bench(folder, packed.manifest, rounds, peers)


CONVERT = {
    "torch": "import torch, safetensors.torch as s; torch.save(s.load_file({source!r}), {target!r})",
    "dcp": "import torch.distributed.checkpoint as d, safetensors.torch as s;"
    " d.save(s.load_file({source!r}), checkpoint_id={target!r}, no_dist=True)",
    "tensorizer": "import tensorizer, safetensors.torch as s; w = tensorizer.TensorSerializer({target!r});"
    " w.write_state_dict(s.load_file({source!r})); w.close()",
}


def _install_peers(folder: Path) -> Path:
    """An environment of its own in the temporary folder, which also sees this one's packages: torch comes from there."""
    _say("installing the peers")
    home = folder / "peers"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
    packages = next(home.glob("lib/python*/site-packages"))
    (packages / "beneath.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n")
    python = home / "bin" / "python"
    constraint = folder / "constraint.txt"
    constraint.write_text("torch==2.13.0\n")
    for package in PEER_PACKAGES:
        command = [str(python), "-m", "pip", "install", "-q", "-c", str(constraint), package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            _say(f"{package} does not install: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return python


# ---------------------------------------------------------------- groups


def _disk(bench: Bench, remarks: list[str]) -> list[Loader]:
    place = bench.place()
    cold = _can_drop_caches()
    if not cold:
        remarks.append(
            "not root: the page cache was not dropped, so disk figures of mapped and buffered loaders are warm"
        )
    names = ["disk limit", *DISK, *(DISK_PEERS if bench.peers else ())]
    with ExitStack() as stack:
        loaders = [
            stack.enter_context(_ours("ours", place)),
            stack.enter_context(_ours("ours, staged", place | {"staged": True})),
        ]
        loaders += [stack.enter_context(_peer(name, place, bench)) for name in names]
        _rounds(bench, "disk", loaders, _drop_caches if cold else None)
    return loaders


def _http(bench: Bench) -> list[Loader]:
    with ExitStack() as stack:
        port = stack.enter_context(_server(bench))
        place = bench.served(port)
        loaders = [stack.enter_context(_ours("ours", place))]
        names = ["http limit", *NETWORK, *(NETWORK_PEERS if bench.peers else ())]
        loaders += [stack.enter_context(_peer(name, place, bench)) for name in names]
        _rounds(bench, "http", loaders)
    return loaders


def _capped(bench: Bench) -> list[Loader]:
    """By our own shaper in user space: no root is needed, and nobody else's traffic is touched."""
    with ExitStack() as stack:
        caps = ("--rate", str(LINK_BYTES_S), "--each", str(EACH_BYTES_S), "--delay", str(FIRST_BYTE_S))
        place = bench.served(stack.enter_context(_server(bench, *caps)))
        loaders = [stack.enter_context(_ours("ours", place)), stack.enter_context(_peer("awscrt", place, bench))]
        _rounds(bench, "capped link", loaders)
    return loaders


def _tls(bench: Bench) -> list[Loader]:
    key, cert = bench.folder / "key.pem", bench.folder / "cert.pem"
    if not _certificate(key, cert):
        return []
    with ExitStack() as stack:
        port = stack.enter_context(_server(bench, "--tls", str(cert), str(key)))
        place = bench.served(port, "https", ca=str(cert))
        loaders = [stack.enter_context(_ours("ours", place)), stack.enter_context(_peer("awscrt", place, bench))]
        if bench.peers:
            loaders.append(stack.enter_context(_peer("pycurl", place, bench)))
        _rounds(bench, "TLS", loaders)
    return loaders


def _faults(bench: Bench) -> list[Loader]:
    """The same store, clean and with faults."""
    with ExitStack() as stack:
        clean = bench.served(stack.enter_context(_server(bench)))
        faulty = bench.served(stack.enter_context(_server(bench, "--drop", str(DROP), "--damage", str(DAMAGE))))
        loaders = [stack.enter_context(_ours("clean", clean)), stack.enter_context(_ours("faulty", faulty))]
        _rounds(bench, "faults", loaders)
    return loaders


def _held_by_cgroup(bench: Bench) -> dict[str, Any]:
    """Streams over HTTP in a group that has no more than tensors, interpreter and HOST_MIB. Empty where that cannot be."""
    with ExitStack() as stack:
        place = bench.served(stack.enter_context(_server(bench)))
        bare = stack.enter_context(_ours("interpreter", place))
        base = stream_peers_adapter.resident_bytes(bare.process.pid)
        limit = base + bench.size + (HOST_MIB << 20)
        try:
            group = stack.enter_context(_memory_group(limit))
        except OSError:
            return {}
        held = stack.enter_context(_ours("held", place, group=group))
        _say("held by a cgroup")
        held.once(counted=False)
        held.once(counted=True)
        return {
            "limit_mib": limit >> 20,
            "interpreter_mib": base >> 20,
            "held": held.absent is None and bool(held.samples),
        }


# ---------------------------------------------------------------- processes


@contextmanager
def _ours(name: str, place: dict[str, Any], group: Path | None = None) -> Iterator[Loader]:
    command = [sys.executable, "-m", "edgechess_cli.bench.stream_process", json.dumps(place)]
    yield from _loader(name, command, {}, group)


@contextmanager
def _peer(name: str, place: dict[str, Any], bench: Bench) -> Iterator[Loader]:
    python = str(bench.peers or sys.executable)
    command = [python, stream_peers_adapter.__file__, name, json.dumps(place)]
    yield from _loader(name, command, {} if "limit" in name else MALLOC, None)


def _loader(name: str, command: list[str], more: dict[str, str], group: Path | None) -> Iterator[Loader]:
    environment = {**os.environ, **more, "OMP_NUM_THREADS": "2"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    if group is not None:
        (group / "cgroup.procs").write_text(str(process.pid))
    loader = Loader(name, process)
    try:
        loader.ready()
        yield loader
    finally:
        process.kill()
        process.communicate()


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


def _rounds(bench: Bench, group: str, loaders: Sequence[Loader], before: Any = None) -> None:
    """One uncounted turn of each, then rounds in turn."""
    for number in range(bench.rounds + 1):
        _say(f"{group}: " + (f"round {number} of {bench.rounds}" if number else "first touch, not counted"))
        begin = number % len(loaders)  # nobody is always behind the one whose freed memory keeps the machine busy
        for loader in (*loaders[begin:], *loaders[:begin]):
            time.sleep(SETTLE_S)
            if before is not None:
                before()
            cached = _cached_bytes()
            loader.once(counted=number > 0)
            if number and loader.absent is None:
                loader.samples[-1]["cached_bytes"] = _cached_bytes() - cached


# ---------------------------------------------------------------- the machine


def _can_drop_caches() -> bool:
    return os.access("/proc/sys/vm/drop_caches", os.W_OK)


def _drop_caches() -> None:
    Path("/proc/sys/vm/drop_caches").write_text("1")


def _cached_bytes() -> int:
    """The page cache of the machine: others fill it too, which the median forgives."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("Cached:"):
            return int(line.split()[1]) << 10
    return 0


def _certificate(key: Path, cert: Path) -> bool:
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", str(key), "-out", str(cert), "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
    ]  # fmt: skip
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def _memory_group(limit: int) -> Iterator[Path]:
    """A memory cgroup of either version. Raises OSError where we may not, or there is none."""
    old, new = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    root, field = (old, "memory.limit_in_bytes") if old.is_dir() else (new, "memory.max")
    group = root / f"edgechess-bench-{os.getpid()}"
    group.mkdir()
    try:
        (group / field).write_text(str(limit))
        yield group
    finally:
        time.sleep(0.1)  # the kernel lets a group go a moment after its last process
        group.rmdir()


def _say(text: str) -> None:
    print(f"  {text} …", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- the report


def _report(bench: Bench, groups: dict[str, list[Loader]], held: dict[str, Any], remarks: list[str]) -> Report:
    limits = {"disk": _median(groups["disk"], "disk limit"), "http": _median(groups["http"], "http limit")}
    limits["capped"] = bench.size / LINK_BYTES_S + FIRST_BYTE_S
    tables = tuple(_table(name, loaders, bench.size, limits.get(name)) for name, loaders in groups.items() if loaders)
    figures = {
        "bytes": bench.size,
        "rounds": bench.rounds,
        "limits_s": {name: limit for name, limit in limits.items() if limit},
        "groups": {name: [_figures(loader) for loader in loaders] for name, loaders in groups.items()},
        "cgroup": held,
    }
    absent = [f"{one.name}: {one.absent}" for loaders in groups.values() for one in loaders if one.absent]
    remarks += [f"absent: {text}" for text in dict.fromkeys(absent)]
    remarks.append(
        "the capped link and first-byte time are made by the server in user space; no network card was involved"
    )
    remarks.append(_cgroup_remark(held))
    failures = _failures(groups)
    return Report("stream", figures, tables, tuple(_targets(bench, groups, limits)), tuple(remarks), failures)


def _cgroup_remark(held: dict[str, Any]) -> str:
    if not held:
        return "no memory cgroup could be made: host memory was sampled (VmHWM), not held"
    verdict = "finished" if held["held"] else "was KILLED or failed"
    return f"held by a cgroup of tensors + interpreter ({held['interpreter_mib']} MiB) + {HOST_MIB} MiB: the stream {verdict}"


def _failures(groups: dict[str, list[Loader]]) -> tuple[str, ...]:
    """Ours must always load."""
    return tuple(
        f"{name}: {loader.name}: {loader.absent}"
        for name, loaders in groups.items()
        for loader in loaders
        if loader.absent and loader.name in ("ours", "clean", "faulty")
    )


def _median(loaders: Sequence[Loader], name: str, field: str = "s") -> float | None:
    found = next((loader for loader in loaders if loader.name == name and loader.samples), None)
    return found.median(field) if found else None


def _figures(loader: Loader) -> dict[str, Any]:
    return {"loader": loader.name, "absent": loader.absent, "samples": loader.samples}


def _table(name: str, loaders: Sequence[Loader], size: int, limit: float | None) -> Table:
    rows = []
    for loader in loaders:
        if not loader.samples:
            continue
        seconds = [sample["s"] for sample in loader.samples]
        median = statistics.median(seconds)
        over = max(0.0, (loader.samples[-1]["peak_bytes"] - (size if "limit" not in loader.name else 0)) / 2**20)
        rows.append(
            (
                loader.name,
                f"{median:.2f}",
                f"{min(seconds):.2f}-{max(seconds):.2f}",
                f"{median / limit:.2f}" if limit else "-",
                f"{size / median / 1e9:.2f}",
                f"{loader.median('cpu_s') / size * 1e9:.2f}",
                f"{loader.median('first_s') / median:.2f}" if "first_s" in loader.samples[0] else "-",
                f"{over:.0f}",
                f"{loader.median('cached_bytes') / 2**20:.0f}",
            )
        )
    columns = (TITLES[name], "s", "min-max", "x limit", "GB/s", "CPU s/GB", "first layer", "MiB beside", "cache MiB")
    return Table(f"{TITLES[name]} ({size / 1e9:.2f} GB)", ("loader", *columns[1:]), tuple(rows))


TITLES = {
    "disk": "local disk, cold",
    "http": "plain HTTP on loopback",
    "capped": "5 Gbit/s, 80 MB/s a connection, 20 ms to the first byte",
    "tls": "TLS on loopback",
    "faults": "5 % dropped connections, 1 % damaged chunks",
}


def _targets(bench: Bench, groups: dict[str, list[Loader]], limits: dict[str, float | None]) -> Iterator[Target]:
    disk, http, capped, tls, faults = (groups[name] for name in ("disk", "http", "capped", "tls", "faults"))
    yield from _ratio("disk over its O_DIRECT limit", _median(disk, "ours"), limits["disk"], 1.10)
    yield from _ratio("HTTP over raw sockets", _median(http, "ours"), limits["http"], 1.15)
    for peer, factor in (("runai S3", 3.0), ("awscrt", 2.0), ("boto3 ranges", 1.5)):
        yield from _ratio(f"HTTP over {peer}", _median(http, "ours"), _median(http, peer), 1 / factor)
    yield from _ratio("capped link over link time", _median(capped, "ours"), limits["capped"], 1.05)
    yield from _ratio("TLS over awscrt", _median(tls, "ours"), _median(tls, "awscrt"), 1 / 1.25)
    processor_s = _median(http, "ours", "cpu_s")
    if processor_s is not None:
        yield Target("processor, plain HTTP, digest included", processor_s / bench.size * 1e9, 0.5, "s/GB")
    for name, loaders in (("disk", disk), ("HTTP", http)):
        first, whole, peak = (_median(loaders, "ours", field) for field in ("first_s", "s", "peak_bytes"))
        if first is not None and whole is not None and peak is not None:
            yield Target(f"first layer, share of the whole, {name}", first / whole, 0.15, "x")
            yield Target(f"host memory beside the tensors, {name}", (peak - bench.size) / 2**20, HOST_MIB, "MiB")
    cached = _median(disk, "ours", "cached_bytes")
    if cached is not None:
        yield Target("page cache growth, disk", cached / 2**20, 32.0, "MiB")  # of others on the machine too
    yield from _ratio("faults over clean", _median(faults, "faulty"), _median(faults, "clean"), 1.3)
    faulty = next((loader for loader in faults if loader.name == "faulty"), None)
    if faulty is not None and faulty.samples:
        again = sum(sample["refetched_bytes"] for sample in faulty.samples)
        damage = sum(sample["damaged"] for sample in faulty.samples) * m.CHUNK_BYTES
        if damage:
            yield Target("fetched again over damage", again / damage, 1.1, "x")


def _ratio(name: str, ours: float | None, other: float | None, limit: float) -> Iterator[Target]:
    if ours is not None and other is not None:
        yield Target(name, ours / other, round(limit, 3), "x")


def markdown(report: Report) -> str:
    """The tables for a page of documentation."""
    parts = [
        "# Weights into memory",
        f"{report.figures['rounds']} rounds, medians; ratios hold inside this run only.",
        "",
    ]
    for table in report.tables:
        parts += [f"## {table.title}", "", "| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
        parts += ["| " + " | ".join(row) + " |" for row in table.rows] + [""]
    parts += ["## Targets", "", *(f"- {target.text()}" for target in report.targets), ""]
    return "\n".join([*parts, *(f"- {remark}" for remark in report.remarks)]) + "\n"
