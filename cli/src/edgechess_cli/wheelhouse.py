"""Wheels for another machine: ours built from the workspace, all others fetched at their pins and kept in a cache.

A distribution that comes as source only is built here if what comes of it runs anywhere; what holds compiled code has
to be built on such a machine, and is then found in a folder that the user names.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from edgechess_cli.archive import repacked
from edgechess_cli.requirement_closure import Target

OLDEST_GLIBC = 17  # 2.17: manylinux2014
NEWEST_GLIBC = 28  # 2.28: Debian 10, Amazon Linux 2023, Raspberry Pi OS "buster" and all that came after them
FETCH_TIMEOUT_S = 900.0  # numpy alone is 17 MB, and a club's line is slow
WHEEL_DATE = "315532800"  # 1980-01-01, the earliest that ZIP knows: SOURCE_DATE_EPOCH of every build


QUIETLY = ("--quiet", "--disable-pip-version-check")
DOWNLOAD = ("pip", "download", *QUIETLY, "--only-binary", ":all:", "--no-deps")


class WheelError(Exception):
    """One or more wheels that cannot be had; the text names distribution, version and machine, and the cure."""


@dataclasses.dataclass(frozen=True, slots=True)
class Workspace:
    """The clone that this command runs from. `projects` by distribution."""

    root: Path
    projects: Mapping[str, Path]

    @property
    def constraints(self) -> Path:
        return self.root / "constraints.txt"


def find_workspace() -> Workspace:
    """Raises WheelError when the command was not installed from a clone."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "constraints.txt").is_file():
        raise WheelError(f"{root} is no clone of edgechess: artifacts are built from one (make setup, then this)")
    projects: dict[str, Path] = {}
    for file in sorted([*root.glob("*/pyproject.toml"), *root.glob("*/*/pyproject.toml")]):
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        projects[canonicalize_name(project.get("name", file.parent.name))] = file.parent
    return Workspace(root, projects)


def tags_of(target: Target) -> frozenset[Tag]:
    """What a wheel may be tagged with to run there."""
    version = tuple(int(part) for part in target.python.split("."))
    platforms = [f"manylinux_2_{minor}_{target.platform}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)]
    platforms += [f"manylinux2014_{target.platform}", f"linux_{target.platform}"]
    interpreter = f"cp{''.join(target.python.split('.'))}"
    return frozenset(cpython_tags(version, platforms=platforms)) | frozenset(
        compatible_tags(version, interpreter, platforms)
    )


class Wheelhouse:
    """Where wheels come from. `extra`: folders of the user's own wheels, which go first. `say` is told what takes time."""

    def __init__(self, workspace: Workspace, cache: Path, extra: Sequence[Path], say: Callable[[str], None]) -> None:
        self._workspace = workspace
        self._cache = cache
        self._extra = extra
        self._say = say
        self._built: dict[str, Path] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="edgechess-wheels-")

    def close(self) -> None:
        self._folder.cleanup()

    def ours(self, distribution: str) -> Path:
        """Built from the sources as they are now, once for each command. Raises WheelError."""
        if distribution not in self._built:
            self._say(f"building {distribution}")
            out = Path(self._folder.name) / distribution
            self._build(["uv", "build", "--quiet", "--wheel", "--no-config", "--out-dir", str(out)], distribution)
            [wheel] = out.glob("*.whl")
            self._built[distribution] = wheel
        return self._built[distribution]

    def _build(self, words: list[str], distribution: str) -> None:
        project = self._workspace.projects[distribution]
        words = [*words, "--build-constraints", str(self._workspace.constraints), str(project)]
        done = _run(words)
        if done.returncode != 0:
            raise WheelError(f"{distribution} cannot be built from {project}: {_last_line(done.stderr)}")

    def others(self, pins: Sequence[tuple[str, str]], target: Target) -> list[Path]:
        """One wheel for each. Raises WheelError that names every one that is missing."""
        wanted = [pin for pin in pins if self._found(pin, target) is None]
        if wanted:
            self._say(f"fetching {len(wanted)} wheels for {target}")
            self._fetch(wanted, target)
        missing = [pin for pin in wanted if self._found(pin, target) is None]
        for pin in missing:
            self._fetch([pin], target)
        reasons = [reason for pin in missing if (reason := self._from_source(pin, target)) is not None]
        if reasons:
            raise WheelError("\n".join(reasons))
        found = [self._found(pin, target) for pin in pins]
        return [path for path in found if path is not None]

    def _found(self, pin: tuple[str, str], target: Target) -> Path | None:
        for folder in (*self._extra, self._cache):
            path = wheel_in(folder.glob("*.whl"), pin, target)
            if path is not None:
                return path
        return None

    def _fetch(self, pins: Sequence[tuple[str, str]], target: Target) -> None:
        """What pip finds; what it does not is seen by whoever looks."""
        self._cache.mkdir(parents=True, exist_ok=True)
        platforms = [f"manylinux_2_{minor}_{target.platform}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)]
        platforms.append(f"manylinux2014_{target.platform}")
        interpreter = f"cp{''.join(target.python.split('.'))}"
        words = [*DOWNLOAD, "--implementation", "cp", "--python-version", target.python, "--dest", str(self._cache)]
        words += [word for platform in platforms for word in ("--platform", platform)]
        words += [word for abi in (interpreter, "abi3", "none") for word in ("--abi", abi)]
        _run([*words, *(f"{name}=={version}" for name, version in pins)])

    def _from_source(self, pin: tuple[str, str], target: Target) -> str | None:
        """Why there is no such wheel; None when one was made of the source and put into the cache."""
        if self._found(pin, target) is not None:
            return None
        name, version = pin
        out = Path(self._folder.name) / "from-source" / name
        there_is_one_for_us = _run([*DOWNLOAD, "--dest", str(out), f"{name}=={version}"])
        lacking = f"no wheel of {name} {version} for {target}"
        compiled = (
            f"{lacking}, and its source holds compiled code: on such a machine run `pip wheel --no-deps"
            f" {name}=={version}`, and name the folder of what comes of it with --wheels"
        )
        if there_is_one_for_us.returncode == 0:
            return compiled
        self._say(f"building {name} {version} from its source")
        done = _run(
            ["pip", "wheel", *QUIETLY, "--no-deps", "--no-cache-dir", "--wheel-dir", str(out), f"{name}=={version}"],
            {"PIP_CONSTRAINT": str(self._workspace.constraints)},
        )
        if done.returncode != 0:
            return f"{lacking}, and its source cannot be built here: {_last_line(done.stderr)}"
        made = wheel_in(out.glob("*.whl"), pin, target)
        if made is None:
            return compiled
        repacked(made, self._cache / made.name)
        return None


def wheel_in(paths: Iterable[Path], pin: tuple[str, str], target: Target) -> Path | None:
    """The wheel among files that is this version and runs there."""
    tags = tags_of(target)
    for path in sorted(paths):
        try:
            name, version, _, own = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        if name == pin[0] and str(version) == pin[1] and own & tags:
            return path
    return None


def _run(words: Sequence[str], more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m WORDS`. Raises WheelError when that cannot be started or takes too long."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": WHEEL_DATE, **(more or {})}
    try:
        return subprocess.run(
            [sys.executable, "-m", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=FETCH_TIMEOUT_S,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise WheelError(f"{' '.join(words[:2])} was not done after {FETCH_TIMEOUT_S:g} s") from error


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it does not say why"
