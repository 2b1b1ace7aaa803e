"""The runtime's IPC server alone, as a process: one component with one token, which may use one topic.

python -m edgechess_cli.bench.ipc_server_process --socket PATH
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from edgechess_cli.bench.ipc_wire import COMPONENT, TOKEN, TOPIC
from edgechess_nucleus.configuration import Configuration, KeyPath
from edgechess_nucleus.host import ReportedState
from edgechess_nucleus.ipc_server import IpcServer
from edgechess_nucleus.secrets import FileSecrets

POLICY = {
    "aws.greengrass.ipc.pubsub": {
        "bench:pubsub:1": {
            "operations": ["aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"],
            "resources": [TOPIC],
        }
    }
}


class OneComponent:
    """The host's side, with nothing behind it."""

    thing_name = "bench"
    region = "local"
    secrets = FileSecrets()

    def __init__(self) -> None:
        self._configuration = Configuration({"accessControl": POLICY}, fold_case=True)

    def component_of(self, token: str) -> str | None:
        return COMPONENT if token == TOKEN else None

    def configuration(self, component: str) -> Configuration | None:
        return self._configuration if component == COMPONENT else None

    def configuration_changed(self, component: str, changed: Sequence[KeyPath]) -> None:
        """Nothing is kept."""

    def report_state(self, component: str, state: ReportedState) -> None:
        """Nobody asks."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The runtime's IPC server alone, to be measured.")
    parser.add_argument("--socket", type=Path, required=True)
    arguments = parser.parse_args(argv)
    anyio.run(IpcServer(OneComponent()).serve, arguments.socket)
    return 0


if __name__ == "__main__":
    sys.exit(main())
