"""The floor's child process: it commits and forwards, and does nothing else that the game manager does.

    python -m edgechess_cli.bench.floor_process --broker mqtt://127.0.0.1:1883 --disk FILE --row-bytes 400

Commits are durable as the journal's are (SQLite, write-ahead log, synchronous=FULL), one row each in a bare table.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from pathlib import Path

import anyio
import msgspec

from edgechess_cli.bench.wire import floor_topics
from edgechess_kit.mqtt_adapter import MqttBus
from edgechess_kit.settings import BusSettings

CLIENT_ID = "bench-floor"


def open_disk(path: Path) -> sqlite3.Connection:
    """One bare table, every commit fsynced. Raises sqlite3.Error."""
    disk = sqlite3.connect(path, isolation_level=None)
    disk.execute("PRAGMA journal_mode=WAL")
    disk.execute("PRAGMA synchronous=FULL")
    disk.execute("CREATE TABLE IF NOT EXISTS row (number INTEGER PRIMARY KEY, data TEXT NOT NULL)")
    return disk


async def serve(broker: str, disk: sqlite3.Connection, row_bytes: int) -> None:
    """Until it is cancelled or killed."""
    settings, row = BusSettings(broker=broker), "x" * row_bytes
    topics = floor_topics(settings.prefix)
    async with MqttBus(settings, CLIENT_ID) as bus, bus.subscribe(topics.child) as deliveries:
        async for delivery in deliveries:
            hop = delivery.decode(topics.child)
            started_s = time.perf_counter()
            for _ in range(hop.commits[0]):
                disk.execute("INSERT INTO row (data) VALUES (?)", (row,))
            committed_s = hop.committed_s + time.perf_counter() - started_s
            rest = msgspec.structs.replace(hop, peers=hop.peers[1:], commits=hop.commits[1:], committed_s=committed_s)
            await bus.publish(topics.peers[hop.peers[0]], rest)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The floor of the manager's benchmark: commits and forwards.")
    parser.add_argument("--broker", required=True)
    parser.add_argument("--disk", type=Path, required=True)
    parser.add_argument("--row-bytes", type=int, required=True)
    arguments = parser.parse_args(argv)
    anyio.run(serve, arguments.broker, open_disk(arguments.disk), arguments.row_bytes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
