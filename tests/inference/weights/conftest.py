"""A model of a few chunks, and an object server on loopback that fails as it is told."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgechess_inference.weights import manifest as m
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.packing import pack
from edgechess_inference.weights.safetensors_file import header_bytes

CARD = m.Card(name="tiny", architecture="LlamaForCausalLM", licence="MIT")
Fault = Callable[[str, int], str]
"""(key, how often it was asked for before) → "" or "drop", "damage", "503", "slow", "404", "short", "403" …"""


def write_checkpoint(path: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> Path:
    """A safetensors file of (dtype, shape, bytes)."""
    header = header_bytes([(name, dtype, shape) for name, (dtype, shape, _) in tensors.items()], {})
    path.write_bytes(header + b"".join(data for _, _, data in tensors.values()))
    return path


def model_tensors(seed: int = 1, layers: int = 4) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """About 7 MB each: as many chunks as there are layers, and tensors across their borders."""
    draw, found = random.Random(seed), {}
    for number in reversed(range(layers)):  # the file's order is not the model's
        found[f"model.layers.{number}.up_proj.weight"] = ("BF16", (1800, 2000), draw.randbytes(7_200_000))
        found[f"model.layers.{number}.norm.weight"] = ("F32", (25,), draw.randbytes(100))
    found["model.embed_tokens.weight"] = ("F8_E4M3", (1000, 700), draw.randbytes(700_000))
    found["scale"] = ("I8", (), draw.randbytes(1))
    found["none"] = ("F32", (0, 4), b"")
    return found


class Workshop:
    """What tests make models with."""

    card = CARD
    write_checkpoint = staticmethod(write_checkpoint)
    model_tensors = staticmethod(model_tensors)

    @staticmethod
    def digest(buffer: HostBuffer) -> str:
        with buffer.view(0, buffer.bytes) as view:
            return hashlib.sha256(view).hexdigest()

    @staticmethod
    def chunk_keys(address: Path) -> list[str]:
        chunks = m.parse(address.read_bytes()).shards[0].chunks
        return [f"chunks/{chunk.address[:2]}/{chunk.address}" for chunk in chunks]

    @staticmethod
    def stored(folder: Path) -> list[str]:
        """What is whole."""
        return [path.name for path in folder.glob("chunks/??/*") if path.suffix != ".partial"]


@pytest.fixture
def anyio_backend() -> str:
    """One is enough for most: what differs between the two is a few tests' affair, which name both."""
    return "asyncio"


@pytest.fixture(scope="session")
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture(scope="session")
def tensors() -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return model_tensors()


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> Path:
    """The address of a packed model on disk; not to be changed."""
    folder = tmp_path_factory.mktemp("packed")
    source = write_checkpoint(folder / "model.safetensors", tensors)
    (folder / "tokenizer.json").write_text('{"a": 1}')
    pack(source, folder / "store" / "tiny.json", CARD, files=[folder / "tokenizer.json"])
    return folder / "store" / "tiny.json"


@pytest.fixture(scope="session")
def memory(packed: Path) -> Iterator[HostBuffer]:
    """Taken once: fresh memory is dear."""
    buffer = HostBuffer(m.parse(packed.read_bytes()).shards[0].bytes)
    yield buffer
    buffer.close()


@pytest.fixture
def buffer(memory: HostBuffer) -> HostBuffer:
    """Wiped."""
    with memory.view(0, memory.bytes) as view:
        view[:] = bytes(memory.bytes)
    return memory


@pytest.fixture(scope="session")
def image(packed: Path) -> str:
    """SHA-256 of the right bytes, read by other means than the streamer's."""
    found = hashlib.sha256()
    for chunk in m.parse(packed.read_bytes()).shards[0].chunks:
        found.update((packed.parent / "chunks" / chunk.address[:2] / chunk.address).read_bytes())
    return found.hexdigest()


class FaultyServer:
    """Objects below `folder` over HTTP/1.1. `fault` decides about each request for a chunk; `sent` counts body bytes."""

    def __init__(self, folder: Path, tls: ssl.SSLContext | None = None) -> None:
        self.folder = folder
        self._tls = tls
        self.manifest_bytes = (folder / "tiny.json").stat().st_size
        self.fault: Fault = lambda key, before: ""
        self.of_all: Fault = lambda key, before: ""
        """Of manifests and signatures too."""
        self.sent = 0
        self.requests: list[str] = []
        self.asked: dict[str, int] = {}
        self.let_go = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: list[socket.socket] = []
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.let_go.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for held in self._open:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
            held.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self._open.append(accepted)
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), accepted:
            link = self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted
            waiting = b""
            while True:
                while b"\r\n\r\n" not in waiting:
                    data = link.recv(65536)
                    if not data:
                        return
                    waiting += data
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                if not self._answer(link, head.decode()):
                    return

    def _answer(self, link: socket.socket, head: str) -> bool:
        key = head.split(" ", 2)[1].lstrip("/")
        asked = re.search(r"\r\nRange: bytes=(\d+)-", head)
        begin = int(asked.group(1)) if asked else 0
        with self._lock:
            before = self.asked.get(key, 0)
            self.asked[key] = before + 1
            self.requests.append(f"{key} {begin}")
            fault = self.of_all(key, before) or (self.fault(key, before) if "chunks/" in key else "")
        path = self.folder / key
        if fault.isdecimal() or not path.is_file():
            status = fault or "404"
            link.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\nRetry-After: 0\r\n\r\nno".encode())
            return True
        data = bytearray(path.read_bytes())
        size = len(data)
        if fault == "damage":
            data[size // 2] ^= 1
        if fault == "short":
            data, size = data[:-1], size - 1
        body = memoryview(data)[begin:]
        status = f"206 Partial Content\r\nContent-Range: bytes {begin}-{size - 1}/{size}" if begin else "200 OK"
        framing = "Transfer-Encoding: chunked" if fault == "chunked" else f"Content-Length: {len(body)}"
        closing = "\r\nConnection: close" if fault == "close" else ""
        link.sendall(f"HTTP/1.1 {status}\r\n{framing}{closing}\r\n\r\n".encode())
        if fault in ("drop", "slow"):
            body = body[: len(body) // 3]
        link.sendall(body)
        with self._lock:
            self.sent += len(body)
        if fault == "slow":
            self.let_go.wait(30.0)
        return fault not in ("drop", "slow", "close")


@pytest.fixture
def server(packed: Path) -> Iterator[FaultyServer]:
    made = FaultyServer(packed.parent)
    yield made
    made.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    pytest.importorskip("cryptography")
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    address, now = x509.IPAddress(ipaddress.ip_address("127.0.0.1")), datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([address]), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls_server(packed: Path, certificate: Path) -> Iterator[FaultyServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    made = FaultyServer(packed.parent, context)
    yield made
    made.close()
