"""The floor of the IPC benchmark: a server that only echoes frames.

    python -m edgechess_cli.bench.ipc_null_process --socket PATH

One client after another, a blocking socket, no event loop. It checks nothing, parses no JSON, asks no policy and
matches no topic: it finds the stream's number, and answers from templates with the message's own bytes.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from edgechess_cli.bench.ipc_wire import TOPIC

CHUNK_BYTES = 64 * 1024
# As the stock client writes a JSON message on TOPIC (Python's json.dumps), and what stands around it in the event.
BEFORE = f'{{"topic": "{TOPIC}", "publishMessage": {{"jsonMessage": {{"message": '.encode()
AFTER = b"}}}"
EVENT_BEFORE, EVENT_AFTER = b'{"jsonMessage":{"message":', f',"context":{{"topic":"{TOPIC}"}}}}}}'.encode()
STREAM = b":stream-id\x04"


def number(name: str, value: int) -> bytes:
    return bytes((len(name),)) + name.encode() + b"\x04" + value.to_bytes(4, "big")


def text(name: str, value: str) -> bytes:
    return bytes((len(name),)) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()


def block(flags: int, model: str) -> bytes:
    """The headers of a message, but for the stream's number at their end."""
    head = number(":message-type", 0) + number(":message-flags", flags) + text(":content-type", "application/json")
    return head + text("service-model-type", f"aws.greengrass#{model}") + b"\x0a" + STREAM


PUBLISHED = block(2, "PublishToTopicResponse")
SUBSCRIBED = block(0, "SubscribeToTopicResponse")
EVENT = block(0, "SubscriptionResponseMessage")


def sealed(headers: bytes, payload: bytes) -> bytes:
    lengths = (16 + len(headers) + len(payload)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    body = lengths + crc32(lengths).to_bytes(4, "big") + headers + payload
    return body + crc32(body).to_bytes(4, "big")


ACCEPTED = sealed(number(":message-type", 5) + number(":message-flags", 1) + number(":stream-id", 0), b"")


def frames(client: socket.socket) -> Iterator[list[bytes]]:
    """Those that came together, until the client leaves."""
    buffer = b""
    while data := client.recv(CHUNK_BYTES):
        buffer += data
        found = []
        while len(buffer) >= 4 and len(buffer) >= (size := int.from_bytes(buffer[:4], "big")):
            found.append(buffer[:size])
            buffer = buffer[size:]
        yield found


def serve(client: socket.socket) -> None:
    subscription = b"\0\0\0\0"
    for group in frames(client):
        answers = []
        for frame in group:
            at = frame.find(STREAM) + len(STREAM)
            stream = frame[at : at + 4]
            payload = frame[12 + int.from_bytes(frame[4:8], "big") : -4]
            if b"aws.greengrass#PublishToTopic" in frame:
                message = payload[len(BEFORE) : -len(AFTER)]
                answers.append(sealed(EVENT + subscription, EVENT_BEFORE + message + EVENT_AFTER))
                answers.append(sealed(PUBLISHED + stream, b"{}"))
            elif b"aws.greengrass#SubscribeToTopic" in frame:
                subscription = stream
                answers.append(sealed(SUBSCRIBED + stream, b"{}"))
            elif stream == b"\0\0\0\0":
                answers.append(ACCEPTED)
        client.sendall(b"".join(answers))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The floor of the IPC benchmark: echoes frames.")
    parser.add_argument("--socket", type=Path, required=True)
    arguments = parser.parse_args(argv)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(arguments.socket))
        listener.listen()
        while True:
            client, _ = listener.accept()
            with client:
                serve(client)


if __name__ == "__main__":
    sys.exit(main())
