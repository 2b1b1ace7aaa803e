"""The loaders of `edgechess bench stream`: processes that take turns, in companies that fit into the machine's memory.

Each keeps what it has loaded into, for fresh memory is dear, so they cannot all be there at once. Ours and the limit
stay; peers come in relays, each with turns of ours between its own. A ratio is only ever taken inside one relay.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgechess_cli.bench import stream_peers_adapter
from edgechess_cli.bench.stream_machine import available_bytes, cached_bytes

ANSWER_TIMEOUT_S = 90.0  # of one turn: first touch of memory takes half a minute on a busy virtual machine
START_TIMEOUT_S = 60.0  # of a process: torch and what comes with it
LOOK_S = 0.1  # how often memory is looked at while a turn lasts
END_TIMEOUT_S = 10.0  # for a killed process: the kernel takes its gigabytes back
SETTLE_S = 0.3  # before each turn
RESERVE_BYTES = 2 << 30  # for the rest of the machine
LEAST_BYTES = 512 << 20  # left during a turn: whoever loads then is stopped before the machine is
SHARES = {
    "disk limit": 0.0, "http limit": 0.0, "device limit": 0.0,
    "safetensors cloned": 2.1, "torch DCP": 1.3,
    "runai": 1.3, "awscrt": 1.6, "runai S3": 2.3, "s3torchconnector": 3.4,
}  # fmt: skip
"""Memory over the size of the checkpoint, as seen (2026-11-22); others: `SHARE`."""
SHARE = 1.15
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_ARENA_MAX": "1"}
"""Peers keep what they free, so that no turn pays for fresh memory: without it the hypervisor is measured."""

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Entrant:
    """A loader before its process runs. `group`: a memory cgroup to run in."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    group: Path | None = None

    @property
    def share(self) -> float:
        return SHARES.get(self.name, SHARE)


def ours(name: str, place: dict[str, Any], group: Path | None = None) -> Entrant:
    return Entrant(name, (sys.executable, "-m", "edgechess_cli.bench.stream_process", json.dumps(place)), {}, group)


def peer(name: str, place: dict[str, Any], python: Path | None) -> Entrant:
    """`python`: of the environment that has the peers."""
    command = (str(python or sys.executable), stream_peers_adapter.__file__, name, json.dumps(place))
    return Entrant(name, command, {} if "limit" in name else MALLOC)


class Loader:
    """One process, and what it said of each counted turn; `relay`: in which it had its turns, None: in all."""

    def __init__(self, entrant: Entrant, relay: int | None = None) -> None:
        self.name = entrant.name
        self.relay = relay
        self.samples: list[dict[str, Any]] = []
        self.absent: str | None = None
        self.touched = False
        self._process: subprocess.Popen[str] | None = None
        self._entrant = entrant

    def start(self) -> None:
        """Returns when it could load, or is absent."""
        entrant = self._entrant
        self._process = subprocess.Popen(
            entrant.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **entrant.environment, "OMP_NUM_THREADS": "2"},
        )
        if entrant.group is not None:
            (entrant.group / "cgroup.procs").write_text(str(self._process.pid))
        self._answer(START_TIMEOUT_S)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def once(self, *, counted: bool, relay: int = 0) -> None:
        """One turn; `absent` where it cannot."""
        if self.absent is not None or self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except OSError:
            self.absent = "its process ended"
            return
        answer, self.touched = self._answer(ANSWER_TIMEOUT_S), True
        if answer is not None and counted:
            self.samples.append({**answer, "relay": relay})

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def reap(self) -> None:
        """After `kill`."""
        if self._process is not None:
            self._process.communicate(timeout=END_TIMEOUT_S)

    def median(self, field: str, relay: int | None = None) -> float | None:
        """Of one relay, or of all; None where it does not say."""
        found = [sample[field] for sample in self.samples if field in sample and relay in (None, sample["relay"])]
        return float(statistics.median(found)) if found else None

    def _answer(self, timeout_s: float) -> dict[str, Any] | None:
        assert self._process is not None
        assert self._process.stdout is not None
        until_s = time.monotonic() + timeout_s
        while not select.select([self._process.stdout], [], [], LOOK_S)[0]:
            if available_bytes() < LEAST_BYTES:
                self._leave("the machine's memory ran out during its turn")
                return None
            if time.monotonic() > until_s:
                self._leave(f"no answer within {timeout_s:g} s")
                return None
        line = self._process.stdout.readline()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            self._leave("its process ended")
            return None
        self.absent = answer.get("absent") or answer.get("failed")
        return None if self.absent else answer

    def _leave(self, why: str) -> None:
        self.absent = why
        self.kill()


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """What was measured on one way. `on_device`: tensors are not in host memory."""

    name: str
    loaders: tuple[Loader, ...]
    on_device: bool = False

    def find(self, name: str) -> Loader | None:
        return next((loader for loader in self.loaders if loader.name == name and loader.samples), None)

    def median(self, name: str, field: str = "s") -> float | None:
        found = self.find(name)
        return found.median(field) if found else None

    def over(self, name: str, other: str) -> float | None:
        """Seconds of one over those of another, in the turns that both had."""
        one, two = self.find(name), self.find(other)
        if one is None or two is None:
            return None
        relay = one.relay if two.relay is None else two.relay
        mine, others = one.median("s", relay), two.median("s", relay)
        return mine / others if mine is not None and others else None


def take_turns(
    name: str,
    staying: Sequence[Entrant],
    peers: Sequence[Entrant],
    *,
    size: int,
    rounds: int,
    say: Say,
    before: Callable[[], None] | None = None,
    on_device: bool = False,
) -> Group:
    """Everybody's turns, in as many relays as memory asks for. Leaving it early leaves no process."""
    stay = [Loader(entrant) for entrant in staying]
    waiting, came = [Loader(entrant, -1) for entrant in peers], list[Loader]()
    shares = {entrant.name: entrant.share for entrant in (*staying, *peers)}
    relay = 0
    try:
        for loader in stay:
            loader.start()
        while True:
            untouched = sum(shares[loader.name] for loader in stay if not loader.touched)
            room = 0.0 if on_device else (available_bytes() - RESERVE_BYTES) / size - untouched
            company = waiting[:1] if on_device else fitting(waiting, shares, room)
            for loader in company:
                waiting.remove(loader)
                loader.relay = relay
                loader.start()
            came += company
            _relay([*stay, *company], relay, f"{name}{f', relay {relay + 1}' if relay else ''}", rounds, say, before)
            _end(company)
            if not waiting:
                return Group(name, (*stay, *came), on_device)
            relay += 1
            if not on_device and not fitting(waiting, shares, (available_bytes() - RESERVE_BYTES) / size):
                for loader in waiting:
                    loader.absent = (
                        f"needs about {shares[loader.name] * size / 1e9:.1f} GB of memory, which are not free"
                    )
                return Group(name, (*stay, *came, *waiting), on_device)
    finally:
        _end([*stay, *came])


def fitting(waiting: Sequence[Loader], shares: dict[str, float], room: float) -> list[Loader]:
    """The next ones, each in its turn where it fits. `room` and `shares` in checkpoints."""
    company = []
    for loader in waiting:
        if shares[loader.name] <= room:
            room -= shares[loader.name]
            company.append(loader)
    return company


def _relay(
    loaders: Sequence[Loader], relay: int, name: str, rounds: int, say: Say, before: Callable[[], None] | None
) -> None:
    """One uncounted turn of each that is new, then rounds in turn."""
    for number in range(rounds + 1):
        say(f"{name}: " + (f"round {number} of {rounds}" if number else "first touch, not counted"))
        begin = number % len(loaders)  # nobody is always behind the one whose freed memory keeps the machine busy
        for loader in (*loaders[begin:], *loaders[:begin]):
            if loader.absent is not None or (not number and loader.touched):
                continue
            time.sleep(SETTLE_S)
            if before is not None:
                before()
            cached = cached_bytes()
            loader.once(counted=number > 0, relay=relay)
            if number and loader.absent is None:
                loader.samples[-1]["cached_bytes"] = cached_bytes() - cached


def _end(loaders: Sequence[Loader]) -> None:
    """All at once: the kernel needs a while for gigabytes."""
    for loader in loaders:
        loader.kill()
    for loader in loaders:
        loader.reap()
