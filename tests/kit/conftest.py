"""Backends, virtual time, a context on a memory bus, and certificates made on the spot."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio.testing

from edgechess_kit.clock import SeededIds, VirtualClock
from edgechess_kit.component import Context
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.memory_bus import MemoryBroker
from edgechess_kit.messages import EdgeStatus


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "trio":
        return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return request.param


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def make_context(broker: MemoryBroker) -> Callable[..., Context[None]]:
    def make(name: str = "game-manager") -> Context[None]:
        bus = broker.client(name, EdgeStatus(component=name, status="lost"))
        clock = VirtualClock()
        return Context(name, None, bus, broker.topics, SqliteJournal(":memory:", clock), clock, SeededIds(1))

    return make


@pytest.fixture(scope="session")
def certificates() -> Iterator[Path]:
    """A folder with ca.pem, broker.pem/.key (for 127.0.0.1), client.pem/.key, and an unrelated stranger.pem/.key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    # not in pytest's folders: as root, mosquitto becomes another user before it reads these, and those are closed to it
    with tempfile.TemporaryDirectory(prefix="edgechess-certificates-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _issue(openssl, folder)
        yield folder


def _issue(openssl: str, folder: Path) -> None:
    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for authority in ("ca", "strange-ca"):
        run("req", "-x509", *curve, "-days", "2", "-subj", f"/CN={authority}", "-keyout", f"{authority}.key",
            "-out", f"{authority}.pem", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name, authority in (("broker", "ca"), ("client", "ca"), ("stranger", "strange-ca")):
        run("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", f"{name}.pem")  # fmt: skip
        (folder / f"{name}.key").chmod(0o644)
