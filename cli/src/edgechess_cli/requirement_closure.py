"""What a component's artifact must hold: every distribution that it needs on another machine, at the pinned version."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)\Z")


class ClosureError(Exception):
    """A requirement that cannot be met; the text says which, whose, and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A machine: `platform` in the kernel's words (x86_64, aarch64), `python` as "3.11"."""

    platform: str
    python: str

    def __str__(self) -> str:
        return f"{self.platform}, CPython {self.python}"

    @property
    def markers(self) -> dict[str, str]:
        """PEP 508's variables there."""
        return {
            **{key: str(value) for key, value in default_environment().items()},
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.platform,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Closure:
    """`ours` are distributions of the workspace, `pins` all others with their versions; both in order."""

    ours: tuple[str, ...]
    pins: tuple[tuple[str, str], ...]


def closure(roots: Sequence[str], target: Target, ours: Mapping[str, Path], pins: Mapping[str, str]) -> Closure:
    """`roots` are requirements; `ours` the workspace's distributions. Raises ClosureError.

    Who needs whom is read from the distributions that are installed here: the workspace has all of them.
    """
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(root), "the artifact") for root in roots]
    while waiting:
        requirement, whose = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [(inner, name) for inner in _required(name, extra, whose, target)]
    names = sorted({name for name, _ in seen})
    missing = [name for name in names if name not in ours and name not in pins]
    if missing:
        raise ClosureError(f"constraints.txt pins no version of {', '.join(missing)}: add one line for each")
    return Closure(
        tuple(name for name in names if name in ours),
        tuple((name, pins[name]) for name in names if name not in ours),
    )


def _required(name: str, extra: str, whose: str, target: Target) -> list[Requirement]:
    try:
        texts = distribution(name).requires or []
    except PackageNotFoundError as error:
        raise ClosureError(f"{name}, which {whose} requires, is not installed here: make setup") from error
    found = []
    for text in texts:
        requirement = Requirement(text)
        of_the_extra = requirement.marker is not None and "extra" in str(requirement.marker)
        if bool(extra) != of_the_extra:
            continue
        if requirement.marker is None or requirement.marker.evaluate({**target.markers, "extra": extra}):
            found.append(requirement)
    return found


def read_pins(constraints: Path) -> dict[str, str]:
    """Raises ClosureError."""
    try:
        lines = constraints.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ClosureError(f"{constraints}: cannot be read: {error.strerror}: run this in a clone") from error
    matches = [_PIN.match(line.strip()) for line in lines]
    return {canonicalize_name(match[1]): match[2] for match in matches if match is not None}
