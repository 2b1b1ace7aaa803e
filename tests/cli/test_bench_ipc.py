"""The IPC benchmark measures what it says: a short run, and an echo that the stock client takes for a server."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("awsiot.greengrasscoreipc", reason="awsiotsdk is not installed")

from edgechess_cli.bench import ipc
from edgechess_cli.bench.ipc_wire import MESSAGE, PAYLOAD_BYTES

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_the_payload_has_its_size() -> None:
    assert len(json.dumps(MESSAGE)) == PAYLOAD_BYTES == 200


@pytest.mark.slow
async def test_a_short_run() -> None:
    report = await ipc.measure(100)
    (table,) = report.tables
    assert [row[1] for row in table.rows] == [str(ipc.BLOCKS * ipc.WINDOW)] * 3
    for name in ("runtime", "floor", "mqtt"):
        assert report.figures[name]["rate_per_s"] > 0
        assert 0 < report.figures[name]["p50_ms"] <= report.figures[name]["p99_ms"]
    assert len(report.targets) == 2
