"""What `edgechess bench stream` says: a table for each way, targets, figures, a page of documentation."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from edgechess_cli.bench.figures import Report, Table, Target
from edgechess_cli.bench.stream_loader import Group, Loader
from edgechess_inference.weights.manifest import CHUNK_BYTES

HOST_MIB = 64
PINNED_MIB = 256
TITLES = {
    "disk": "local disk, cold",
    "http": "plain HTTP on loopback",
    "capped": "5 Gbit/s, 80 MB/s a connection, 20 ms to the first byte",
    "tls": "TLS on loopback",
    "faults": "5 % dropped connections, 1 % damaged chunks",
    "device": "memory file system to the device",
    "device-http": "plain HTTP on loopback to the device",
}
LIMITS = {"disk": "disk limit", "http": "http limit", "device": "device limit", "device-http": "http limit"}
OURS = ("ours", "clean", "faulty")
COLUMNS = (
    "loader", "s", "min-max", "x limit", "x ours", "GB/s", "CPU s/GB", "first layer", "MiB beside", "cache MiB",
)  # fmt: skip


def report_of(
    groups: dict[str, Group], size: int, rounds: int, link_s: float, remarks: Sequence[str], broken_off: str | None
) -> Report:
    """`link_s`: what a capped link takes. `broken_off`: why not everything was measured."""
    figures = {
        "bytes": size,
        "rounds": rounds,
        "groups": {name: [_figures(loader) for loader in group.loaders] for name, group in groups.items()},
    }
    absent = [f"{one.name}: {one.absent}" for group in groups.values() for one in group.loaders if one.absent]
    told = [*remarks, *(f"absent: {text}" for text in dict.fromkeys(absent))]
    failures = [
        f"{name}: {loader.name}: {loader.absent}"
        for name, group in groups.items()
        for loader in group.loaders
        if loader.absent and loader.name in OURS
    ]
    failures += [broken_off] if broken_off else []
    tables = tuple(table_of(group, size, link_s) for group in groups.values())
    return Report("stream", figures, tables, tuple(_targets(groups, size, link_s)), tuple(told), tuple(failures))


def table_of(group: Group, size: int, link_s: float) -> Table:
    rows = tuple(_row(group, loader, size, link_s) for loader in group.loaders if loader.samples)
    return Table(f"{TITLES[group.name]} ({size / 1e9:.2f} GB)", COLUMNS, rows)


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


def _row(group: Group, loader: Loader, size: int, link_s: float) -> tuple[str, ...]:
    seconds = [sample["s"] for sample in loader.samples]
    median = statistics.median(seconds)
    own_bytes = 0 if group.on_device or "limit" in loader.name else size
    over = max(0.0, (loader.samples[-1]["peak_bytes"] - own_bytes) / 2**20)
    limit = link_s if group.name == "capped" else None
    over_limit = median / limit if limit else group.over(loader.name, LIMITS.get(group.name, "?"))
    over_ours = None if loader.name in OURS else group.over(loader.name, "ours")
    first_s, processor_s, cached = (loader.median(field) for field in ("first_s", "cpu_s", "cached_bytes"))
    return (
        loader.name,
        f"{median:.2f}",
        f"{min(seconds):.2f}-{max(seconds):.2f}",
        _text(over_limit),
        _text(over_ours),
        f"{size / median / 1e9:.2f}",
        _text(processor_s and processor_s / size * 1e9),
        _text(first_s and first_s / median),
        f"{over:.0f}",
        f"{(cached or 0.0) / 2**20:.0f}",
    )


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _figures(loader: Loader) -> dict[str, Any]:
    return {"loader": loader.name, "absent": loader.absent, "samples": loader.samples}


# ---------------------------------------------------------------- targets


def _targets(groups: dict[str, Group], size: int, link_s: float) -> Iterator[Target]:
    for name, of in _TARGETS.items():
        if name in groups:
            yield from of(groups[name], size, link_s)


def _of_disk(group: Group, size: int, link_s: float) -> Iterator[Target]:
    yield from _at_most("disk over its O_DIRECT limit", group.over("ours", "disk limit"), 1.10)
    yield from _of_memory(group, size, "disk")
    cached = group.median("ours", "cached_bytes")
    if cached is not None:
        yield Target("page cache growth, disk", cached / 2**20, 32.0, "MiB")  # of others on the machine too


def _of_http(group: Group, size: int, link_s: float) -> Iterator[Target]:
    yield from _at_most("HTTP over raw sockets", group.over("ours", "http limit"), 1.15)
    for peer, factor in (("runai S3", 3.0), ("awscrt", 2.0), ("boto3 ranges", 1.5)):
        yield from _at_most(f"HTTP over {peer}", group.over("ours", peer), 1 / factor)
    processor_s = group.median("ours", "cpu_s")
    if processor_s is not None:
        yield Target("processor, plain HTTP, digest included", processor_s / size * 1e9, 0.5, "s/GB")
    yield from _of_memory(group, size, "HTTP")


def _of_capped(group: Group, size: int, link_s: float) -> Iterator[Target]:
    took_s = group.median("ours")
    yield from _at_most("capped link over link time", took_s and took_s / link_s, 1.05)


def _of_tls(group: Group, size: int, link_s: float) -> Iterator[Target]:
    yield from _at_most("TLS over awscrt", group.over("ours", "awscrt"), 1 / 1.25)


def _of_faults(group: Group, size: int, link_s: float) -> Iterator[Target]:
    yield from _at_most("faults over clean", group.over("faulty", "clean"), 1.3)
    faulty = group.find("faulty")
    if faulty is None:
        return
    again = sum(sample["refetched_bytes"] for sample in faulty.samples)
    damage = sum(sample["damaged"] for sample in faulty.samples) * CHUNK_BYTES
    if damage:
        yield Target("fetched again over damage", again / damage, 1.1, "x")


def _of_device(group: Group, size: int, link_s: float) -> Iterator[Target]:
    yield from _at_most("device over pinned copies", group.over("ours", "device limit"), 1 / 0.9)
    yield from _at_most("device over InstantTensor", group.over("ours", "instanttensor"), 1.0)
    pinned = group.median("ours", "staged_bytes")
    if pinned is not None:
        yield Target("pinned host memory", pinned / 2**20, PINNED_MIB, "MiB")


def _of_device_http(group: Group, size: int, link_s: float) -> Iterator[Target]:
    yield from _at_most("HTTP to the device over raw sockets", group.over("ours", "http limit"), 1 / 0.9)
    yield from _at_most("HTTP to the device over runai S3", group.over("ours", "runai S3 to device"), 0.25)


def _of_memory(group: Group, size: int, where: str) -> Iterator[Target]:
    first, whole, peak = (group.median("ours", field) for field in ("first_s", "s", "peak_bytes"))
    if first is not None and whole is not None and peak is not None:
        yield Target(f"first layer, share of the whole, {where}", first / whole, 0.15, "x")
        yield Target(f"host memory beside the tensors, {where}", (peak - size) / 2**20, HOST_MIB, "MiB")


_TARGETS = {
    "disk": _of_disk, "http": _of_http, "capped": _of_capped, "tls": _of_tls, "faults": _of_faults,
    "device": _of_device, "device-http": _of_device_http,
}  # fmt: skip


def _at_most(name: str, ratio: float | None, limit: float) -> Iterator[Target]:
    if ratio is not None:
        yield Target(name, ratio, round(limit, 3), "x")
