"""The embedded broker: amqtt on loopback, as a process of its own (`python -m edgechess_kit.embedded_broker_adapter`).

For machines without mosquitto. It keeps nothing on disk, and ends when its standard input closes, on SIGTERM or on
SIGINT: a broker must not outlive a command that was killed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import anyio
from amqtt.broker import Broker

from edgechess_kit.guardian import until_orphaned, until_signal


async def serve(host: str, port: int, folder: Path | None) -> None:
    """Serves until told to stop; see `until_orphaned` for the folder. Raises amqtt's BrokerError when the port is taken."""
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(until_signal, group.cancel_scope)
            group.start_soon(until_orphaned, group.cancel_scope, folder)
    finally:
        with anyio.CancelScope(shield=True):
            await broker.shutdown()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="An MQTT broker on loopback, for machines without mosquitto.")
    parser.add_argument("--port", type=int, required=True, help="TCP port")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--folder", type=Path, help="removed when standard input has closed")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    anyio.run(serve, arguments.host, arguments.port, arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
