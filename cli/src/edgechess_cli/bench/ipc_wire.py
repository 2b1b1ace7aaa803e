"""What the measured servers and their client agree on."""

from __future__ import annotations

COMPONENT = "io.edgechess.Bench"
TOKEN = "BENCHBENCHBENCHB"
TOPIC = "bench/ipc"
PAYLOAD_BYTES = 200
"""The JSON text of a message."""

MESSAGE = {"data": "x" * (PAYLOAD_BYTES - len('{"data": ""}'))}
