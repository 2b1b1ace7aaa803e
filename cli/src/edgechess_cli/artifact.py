"""One artifact: a component's wheels, what they must hash to, and the script that makes a venv of them offline."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import parse_wheel_filename

from edgechess_cli.archive import EXECUTABLE, PLAIN, write_archive
from edgechess_cli.requirement_closure import Target

INSTALL = """\
#!/bin/sh
# Makes WORK/venv of the wheels beside this file, of exactly these: no index is asked, nothing outside WORK is touched.
# Usage: install.sh WORK. When the venv is there already, made of the same wheels, nothing happens.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${{1%/}}
if cmp -s "$here/requirements.txt" "$work/venv/requirements.txt" && "$work/venv/bin/python" -c ''; then
  exit 0
fi
if [ "$(uname -m)" != {platform} ]; then
  echo "this artifact is for {platform}, and this machine is $(uname -m): build one for it (edgechess build --platform)" >&2
  exit 1
fi
python=
for candidate in python{python} python3; do
  if "$candidate" -c 'import sys, venv; sys.exit("%d.%d" % sys.version_info[:2] != "{python}")' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  found=$(python3 --version 2>&1 || true)
  echo "this artifact needs Python {python} with its venv module, and found ${{found:-none}}: install it, or build the" \\
    "artifact for the Python that is here (edgechess build --python)" >&2
  exit 1
fi
rm -rf "$work/venv"
"$python" -m venv --without-pip "$work/venv"
"$work/venv/bin/python" "$here/wheels/{pip}/pip" --isolated install --quiet --disable-pip-version-check \\
  --no-index --no-deps --no-cache-dir --require-hashes --find-links "$here/wheels" -r "$here/requirements.txt"
cp "$here/requirements.txt" "$work/venv/requirements.txt"
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Artifact:
    """`digest` is base64 of the file's SHA-256, as recipes have it."""

    path: Path
    size_bytes: int
    wheels: int
    digest: str


def write_artifact(path: Path, wheels: Sequence[Path], pip: Path, target: Target, licence: bytes) -> Artifact:
    """`pip` is the wheel that installs the others; it needs no ensurepip on the core device."""
    members = [(f"wheels/{wheel.name}", wheel.read_bytes(), PLAIN) for wheel in (*wheels, pip)]
    requirements = "".join(sorted(_line(wheel) for wheel in wheels))
    install = INSTALL.format(platform=target.platform, python=target.python, pip=pip.name)
    members += [
        ("LICENSE", licence, PLAIN),
        ("install.sh", install.encode(), EXECUTABLE),
        ("requirements.txt", requirements.encode(), PLAIN),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_archive(path, members, compress=False)  # wheels are compressed already
    return Artifact(path, path.stat().st_size, len(wheels), digest_of(path))


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "sha256").digest()).decode()


def _line(wheel: Path) -> str:
    name, version, _, _ = parse_wheel_filename(wheel.name)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
