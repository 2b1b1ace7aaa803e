"""What `edgechess bench stream` asks of the machine: its memory and page cache, a memory cgroup, a certificate."""

from __future__ import annotations

import importlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DROP = Path("/proc/sys/vm/drop_caches")


def available_bytes() -> int:
    """Memory that can be taken without driving anybody else's out."""
    return _of_the_machine("MemAvailable")


def cached_bytes() -> int:
    """The page cache of the machine: others fill it too, which the median forgives."""
    return _of_the_machine("Cached")


def _of_the_machine(field: str) -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    return 0


def can_drop_caches() -> bool:
    return os.access(DROP, os.W_OK)


def drop_caches() -> None:
    DROP.write_text("1")


def why_no_device(device: str) -> str | None:
    """Why nothing can be measured there; None where it can."""
    try:
        torch: Any = importlib.import_module("torch")  # an extra of edgechess-inference, and seconds
    except ImportError:
        return f"--device {device} needs torch: install edgechess-inference[torch]"
    try:
        if torch.zeros(1, device=device).is_meta:
            return f"--device {device} holds no bytes: there is nothing to measure"
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA raises the second
        return f"--device {device}: torch {torch.__version__} cannot use it here: {str(error).splitlines()[0]}"
    return None


def certificate(key: Path, cert: Path) -> bool:
    """Self-signed, for loopback. False where there is no openssl."""
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", str(key), "-out", str(cert), "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
    ]  # fmt: skip
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
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
