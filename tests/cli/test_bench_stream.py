"""The stream's bench: who loads when so that memory suffices, ratios inside one relay, and what ends it early."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgechess_cli.bench import stream, stream_loader
from edgechess_cli.bench.manager import BenchError
from edgechess_cli.bench.stream_loader import Entrant, Group, Loader, fitting, take_turns
from edgechess_cli.bench.stream_report import report_of, table_of
from edgechess_cli.main import app

GB = 1_000_000_000
LOADS = """
import json, os, sys
print(json.dumps({"ready": 1}), flush=True)
for line in sys.stdin:
    print(json.dumps({"s": float(sys.argv[1]), "cpu_s": 0.1, "peak_bytes": 1}), flush=True)
"""


def entrant(name: str, seconds: float = 1.0, program: str = LOADS) -> Entrant:
    return Entrant(name, (sys.executable, "-c", program, str(seconds)), {})


@pytest.fixture
def free_gb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """How much memory the machine says it has, over its reserve."""
    monkeypatch.setattr(stream_loader, "SETTLE_S", 0.0)

    def are(count: float) -> None:
        monkeypatch.setattr(stream_loader, "available_bytes", lambda: int(count * GB) + stream_loader.RESERVE_BYTES)

    return are


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No breath between turns, and the machine's page cache left to everybody else on it."""
    monkeypatch.setattr(stream_loader, "SETTLE_S", 0.0)
    monkeypatch.setattr(stream, "can_drop_caches", lambda: False)


def turns(*peers: Entrant, rounds: int = 1, said: list[str] | None = None) -> Group:
    say = (said if said is not None else []).append
    return take_turns("http", [entrant("ours"), entrant("http limit", 0.5)], peers, size=GB, rounds=rounds, say=say)


def test_those_come_first_that_fit_and_nobody_comes_who_does_not() -> None:
    loaders = [Loader(entrant(name)) for name in "abcd"]
    shares = {"a": 1.0, "b": 3.0, "c": 1.0, "d": 1.0}
    assert [loader.name for loader in fitting(loaders, shares, 2.5)] == ["a", "c"]
    assert fitting(loaders, shares, 0.9) == []


def test_peers_take_turns_in_relays_and_ours_has_its_turns_in_each(free_gb: Any) -> None:
    free_gb(4.0)  # ours and one of these
    group = turns(entrant("awscrt", 2.0), entrant("runai S3", 4.0), rounds=2)
    assert [(loader.name, loader.relay, len(loader.samples)) for loader in group.loaders] == [
        ("ours", None, 4), ("http limit", None, 4), ("awscrt", 0, 2), ("runai S3", 1, 2),
    ]  # fmt: skip
    assert group.over("ours", "runai S3") == 0.25
    assert group.over("runai S3", "ours") == 4.0
    with pytest.raises(ProcessLookupError):
        os.kill(group.loaders[0].pid, 0)


def test_who_needs_more_than_there_is_is_named_and_the_others_are_measured(free_gb: Any) -> None:
    free_gb(3.0)
    group = turns(entrant("s3torchconnector"), entrant("pycurl"))
    report = report_of({"http": group}, GB, 1, 1.0, [], None)
    assert "absent: s3torchconnector: needs about 3.4 GB of memory, which are not free" in report.remarks
    assert report.failures == ()
    assert [row[0] for row in table_of(group, GB, 1.0).rows] == ["ours", "http limit", "pycurl"]


def test_whoever_drives_the_machine_out_of_memory_is_stopped(monkeypatch: pytest.MonkeyPatch, free_gb: Any) -> None:
    free_gb(9.0)
    endless = "import json, time; print(json.dumps({'ready': 1}), flush=True); time.sleep(60)"
    loader = Loader(entrant("runai", program=endless))
    loader.start()
    monkeypatch.setattr(stream_loader, "available_bytes", lambda: 0)
    loader.once(counted=True)
    loader.reap()
    assert loader.absent == "the machine's memory ran out during its turn"
    assert loader.samples == []


def test_a_ratio_is_taken_inside_one_relay() -> None:
    ours, peer = Loader(entrant("ours")), Loader(entrant("awscrt"), 1)
    ours.samples = [{"s": 1.0, "relay": 0}, {"s": 3.0, "relay": 1}]
    peer.samples = [{"s": 6.0, "relay": 1}]
    assert Group("http", (ours, peer)).over("ours", "awscrt") == 0.5


def test_too_little_memory_is_said_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "available_bytes", lambda: 2 * GB)
    with pytest.raises(
        BenchError, match=r"2\.2 GB needs 5\.5 GB of free memory, and there are 2\.0: --size 0\.8 at most"
    ):
        stream.measure(2_200_000_000, 1, False)


def test_without_such_a_device_it_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    done = CliRunner().invoke(app, ["bench", "stream", "--device", "cuda", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "edgechess bench: --device cuda: torch " in done.stderr
    assert "cannot use it here" in done.stderr


@pytest.mark.slow
def test_the_way_of_an_accelerator_runs_on_the_processor_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(stream, "_say", lambda text: None)
    monkeypatch.setattr(stream_loader, "SETTLE_S", 0.0)
    bench = stream._prepare(tmp_path, 40_000_000, 1, (), [], others=False)
    device, http = stream.device_groups(bench, "cpu")
    for group in (device, http):
        assert [loader.name for loader in group.loaders if loader.absent] == []
        sample = group.loaders[0].samples[-1]
        assert 0 < sample["staged_bytes"] <= 256 << 20
    assert {loader.name for loader in device.loaders} >= {
        "ours",
        "device limit",
        "pinned loop",
        "safetensors to device",
    }
    names = [
        target.name for target in report_of({"device": device, "device-http": http}, bench.size, 1, 1, [], None).targets
    ]
    assert names == ["device over pinned copies", "pinned host memory", "HTTP to the device over raw sockets"]


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_stream_beside_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the loaders that need torch stand for all of them: each reads it anew, for seconds."""
    some = ("safetensors cloned", "torch.load mapped")
    monkeypatch.setattr(stream, "DISK", some)
    monkeypatch.setattr(stream, "_FORMATS", {"torch": stream._FORMATS["torch"]})
    done = CliRunner().invoke(
        app, ["bench", "stream", "--size", "0.03", "--rounds", "1", "--json", "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)["results"]["stream"]
    assert figures["failures"] == []
    groups = {name: {row["loader"]: row["samples"] for row in rows} for name, rows in figures["groups"].items()}
    assert set(groups) == {"disk", "http", "capped", "tls", "faults"}
    assert set(groups["http"]) >= {"ours", "http limit", "awscrt", "boto3 ranges"}
    assert groups["http"]["ours"]
    assert groups["http"]["http limit"]
    if importlib.util.find_spec("torch") is not None:
        assert all(groups["disk"][name] for name in some)
    assert "| ours |" in (tmp_path / "stream.md").read_text(encoding="utf-8")


QUICK = """
import signal
from edgechess_cli.bench import stream, stream_loader
from edgechess_cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
stream_loader.SETTLE_S = 0.0
stream.can_drop_caches = lambda: False
main()
"""
"""The command, which hears Ctrl-C also where whoever started us has it ignored."""


@pytest.mark.slow
def test_ctrl_c_ends_it_at_once_with_what_there_is(tmp_path: Path) -> None:
    words = ["bench", "stream", "--size", "0.03", "--rounds", "1", "--json", "--out", str(tmp_path)]
    (tmp_path / "without" / "torch").mkdir(parents=True)  # loaders that need it are absent, and nobody waits for them
    (tmp_path / "without" / "torch" / "__init__.py").write_text("raise ImportError('left out')\n")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(tmp_path / "without")}
    with subprocess.Popen(
        [sys.executable, "-c", QUICK, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert any("http: round 1" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert '"groups": {"disk": ' in out
    assert "interrupted: what is missing was not measured" in out
    assert list(tmp_path.glob("edgechess-stream-*")) == []
