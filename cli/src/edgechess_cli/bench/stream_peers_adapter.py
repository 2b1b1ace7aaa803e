"""The limits and the peers that `edgechess bench stream` stands beside, each in a fresh process.

    python stream_peers_adapter.py NAME PLACE      then a line on stdin for each iteration, a JSON line back

Imports nothing of ours, so that it also runs in an environment that holds only the peers. PLACE is JSON: `file` (a
safetensors file), `folder` (the chunks), `url` (the same over HTTP), `key`, `ca`. Every loader ends with every page of
every tensor in memory; each iteration says seconds, processor seconds and the peak of resident memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import mmap
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Place = dict[str, Any]
Load = Callable[[], Any]
RING_BYTES = 64 << 20
PART_BYTES = 8 << 20
PAGE_BYTES = 4096


# ---------------------------------------------------------------- limits


def ring() -> memoryview:
    """64 MB of warm private memory, in huge pages."""
    taken = mmap.mmap(-1, RING_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    taken.madvise(mmap.MADV_HUGEPAGE)
    view = memoryview(taken)
    view[:] = bytes(RING_BYTES)
    return view


def fresh(size: int) -> memoryview:
    """A buffer like ours, not touched yet."""
    taken = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    taken.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(taken)


def in_threads(count: int, parts: int, prepare: Callable[[int], Callable[[int], None]]) -> None:
    """`prepare(thread)` gives what fetches part i."""
    lock, waiting, failed = threading.Lock(), iter(range(parts)), list[BaseException]()

    def work(thread: int) -> None:
        try:
            fetch = prepare(thread)
            while True:
                with lock:
                    part = next(waiting, None)
                if part is None:
                    return
                fetch(part)
        except (OSError, ValueError) as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def disk_limit(place: Place) -> Load:
    """O_DIRECT reads of the same chunks, 8 threads, into 64 MB that are used again and again: nothing can be faster."""
    view, keys, folder = ring(), place["keys"], Path(place["folder"])

    def prepare(thread: int) -> Callable[[int], None]:
        mine = view[thread * PART_BYTES : (thread + 1) * PART_BYTES]

        def fetch(part: int) -> None:
            file = os.open(folder / keys[part], os.O_RDONLY | os.O_DIRECT)
            try:
                os.preadv(file, [mine], 0)
            finally:
                os.close(file)

        return fetch

    return lambda: in_threads(8, len(keys), prepare)


def http_limit(place: Place) -> Load:
    """The same chunks from the same server by the same number of plain sockets, received and thrown away."""
    view, keys, parts = ring(), place["keys"], urlsplit(place["url"])
    connections, slots = place["connections"], RING_BYTES // PART_BYTES

    def prepare(thread: int) -> Callable[[int], None]:
        mine = view[thread % slots * PART_BYTES : (thread % slots + 1) * PART_BYTES]
        link = socket.create_connection((parts.hostname, parts.port))

        def fetch(part: int) -> None:
            link.sendall(f"GET {parts.path}/{keys[part]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += link.recv(512)
            if not head.startswith(b"HTTP/1.1 200"):
                raise ValueError(head.split(b"\r\n")[0].decode())
            size = int(head.split(b"Content-Length: ")[1].split(b"\r")[0])
            left = size - (len(head) - head.index(b"\r\n\r\n") - 4)
            while left:
                left -= link.recv_into(mine[:left], 0, socket.MSG_WAITALL) or _ended()

        return fetch

    return lambda: in_threads(connections, len(keys), prepare)


def _ended() -> int:
    raise ConnectionError("the server ended the connection")


def device_limit(place: Place) -> Load:
    """Copies of pinned chunks to the device by as many threads, each on a stream of its own: nothing can be faster."""
    torch = importlib.import_module("torch")
    size, device = place["size"], torch.device(place["device"])
    target, parts = torch.empty(size, dtype=torch.uint8, device=device), -(-size // PART_BYTES)

    def prepare(thread: int) -> Callable[[int], None]:
        pinned, copy = _pinned(torch, device), _copier(torch, device)

        def fetch(part: int) -> None:
            begin, end = part * PART_BYTES, min(size, (part + 1) * PART_BYTES)
            copy(target[begin:end], pinned[: end - begin])

        return fetch

    return lambda: in_threads(place["connections"], parts, prepare)


def _pinned(torch: Any, device: Any) -> Any:
    return torch.empty(PART_BYTES, dtype=torch.uint8, pin_memory=device.type == "cuda")


def _copier(torch: Any, device: Any) -> Callable[[Any, Any], None]:
    """Copies and waits for the copy."""
    if device.type != "cuda":
        return lambda place, source: place.copy_(source)
    stream = torch.cuda.Stream(device)

    def copy(place: Any, source: Any) -> None:
        with torch.cuda.stream(stream):
            place.copy_(source, non_blocking=True)
        stream.synchronize()

    return copy


def _arrived(torch: Any, device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


# ---------------------------------------------------------------- peers to a device


def safetensors_to_device(place: Place) -> Load:
    torch, library = importlib.import_module("torch"), importlib.import_module("safetensors.torch")

    def load() -> Any:
        found = library.load_file(place["file"], device=place["device"])
        _arrived(torch, place["device"])
        return found

    return load


def pinned_loop(place: Place) -> Load:
    """What is written by hand: the file read into pinned memory by several threads, and copied on."""
    torch = importlib.import_module("torch")
    size, device = place["size"], torch.device(place["device"])
    target = torch.empty(size, dtype=torch.uint8, device=device)
    file = os.open(place["file"], os.O_RDONLY)

    def prepare(thread: int) -> Callable[[int], None]:
        pinned, copy = _pinned(torch, device), _copier(torch, device)
        view = memoryview(pinned.numpy())

        def fetch(part: int) -> None:
            begin, end = part * PART_BYTES, min(size, (part + 1) * PART_BYTES)
            os.preadv(file, [view[: end - begin]], begin)
            copy(target[begin:end], pinned[: end - begin])

        return fetch

    return lambda: in_threads(place["connections"], -(-size // PART_BYTES), prepare)


def instanttensor(place: Place) -> Load:
    torch, library = importlib.import_module("torch"), importlib.import_module("instanttensor")

    def load() -> Any:
        with library.safe_open([place["file"]], framework="pt", device=place["device"]) as opened:
            found = {name: tensor.clone() for name, tensor in opened.tensors()}
        _arrived(torch, place["device"])
        return found

    return load


def runai_to_device(place: Place) -> Load:
    return _runai_to_device(place, place["file"])


def runai_s3_to_device(place: Place) -> Load:
    _s3_environment(place)
    return _runai_to_device(place, f"s3://{place['bucket']}/{place['key']}")


def _runai_to_device(place: Place, address: str) -> Load:
    torch = importlib.import_module("torch")
    streamer = importlib.import_module("runai_model_streamer").SafetensorsStreamer

    def load() -> Any:
        with streamer() as opened:
            opened.stream_file(address)
            found = {name: tensor.to(place["device"]) for name, tensor in opened.get_tensors()}
        _arrived(torch, place["device"])
        return found

    return load


def fastsafetensors_to_device(place: Place) -> Load:
    torch, library = importlib.import_module("torch"), importlib.import_module("fastsafetensors")

    def load() -> Any:
        with library.fastsafe_open(filenames=[place["file"]], nogds=True, device=place["device"]) as opened:
            found = {key: opened.get_tensor(key).clone() for key in opened.keys()}  # noqa: SIM118 — no mapping
        _arrived(torch, place["device"])
        return found

    return load


# ---------------------------------------------------------------- peers on disk


def touch(tensors: Mapping[str, Any]) -> None:
    """Reads one byte of each page: mapped files pay here."""
    torch = importlib.import_module("torch")
    for tensor in tensors.values():
        tensor.contiguous().view(-1).view(torch.uint8)[::PAGE_BYTES].sum()


def safetensors_touched(place: Place) -> Load:
    library = importlib.import_module("safetensors.torch")
    return lambda: touch(library.load_file(place["file"]))


def safetensors_cloned(place: Place) -> Load:
    library = importlib.import_module("safetensors.torch")
    return lambda: {name: tensor.clone() for name, tensor in library.load_file(place["file"]).items()}


def torch_load(place: Place) -> Load:
    torch = importlib.import_module("torch")
    return lambda: torch.load(place["torch"], mmap=False, weights_only=True)


def torch_load_mapped(place: Place) -> Load:
    torch = importlib.import_module("torch")
    return lambda: touch(torch.load(place["torch"], mmap=True, weights_only=True))


def torch_dcp(place: Place) -> Load:
    torch, dcp = importlib.import_module("torch"), importlib.import_module("torch.distributed.checkpoint")
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in _mapped(place).items()}

    def load() -> None:
        state = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}
        dcp.load(state, checkpoint_id=place["dcp"], no_dist=True)

    return load


def _mapped(place: Place) -> Any:
    return importlib.import_module("safetensors.torch").load_file(place["file"])


def runai(place: Place) -> Load:
    streamer = importlib.import_module("runai_model_streamer").SafetensorsStreamer

    def load() -> None:
        with streamer() as opened:
            opened.stream_file(place["file"])
            kept = {name: tensor for name, tensor in opened.get_tensors()}  # noqa: C416 — it is a generator of pairs
            touch(kept)

    return load


def fastsafetensors(place: Place) -> Load:
    library = importlib.import_module("fastsafetensors")

    def load() -> None:
        with library.fastsafe_open(filenames=[place["file"]], nogds=True, device="cpu") as opened:
            touch({key: opened.get_tensor(key) for key in opened.keys()})  # noqa: SIM118 — no mapping

    return load


def tensorizer(place: Place) -> Load:
    library = importlib.import_module("tensorizer")

    def load() -> None:
        found = library.TensorDeserializer(place["tensorizer"], device="cpu", num_readers=4, lazy_load=False)
        touch(dict(found.items()))
        found.close()

    return load


# ---------------------------------------------------------------- peers over the network


def _client(place: Place) -> Any:
    boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
    return boto3.client(
        "s3",
        endpoint_url=place["endpoint"],
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        verify=place.get("ca"),
        config=config.Config(s3={"addressing_style": "path"}, max_pool_connections=64),
    )


def boto3_download(place: Place) -> Load:
    """What most people do: download, then load."""
    client, library = _client(place), importlib.import_module("safetensors.torch")
    target = place["scratch"]

    def load() -> None:
        client.download_file(place["bucket"], place["key"], target)
        touch(library.load_file(target))
        os.unlink(target)

    return load


def boto3_ranges(place: Place) -> Load:
    """Ranged reads of 8 MiB by 8 threads into one buffer."""
    client, size = _client(place), place["size"]
    whole = fresh(size)

    def prepare(thread: int) -> Callable[[int], None]:
        def fetch(part: int) -> None:
            begin, end = part * PART_BYTES, min(size, (part + 1) * PART_BYTES)
            body = client.get_object(Bucket=place["bucket"], Key=place["key"], Range=f"bytes={begin}-{end - 1}")["Body"]
            got = begin
            while got < end:
                got += body.readinto(whole[got:end]) or _ended()

        return fetch

    return lambda: in_threads(8, -(-size // PART_BYTES), prepare)


def awscrt(place: Place) -> Load:
    """AWS' own C runtime, parts of 8 MB, copied into one buffer as they come."""
    io, s3 = importlib.import_module("awscrt.io"), importlib.import_module("awscrt.s3")
    auth, http = importlib.import_module("awscrt.auth"), importlib.import_module("awscrt.http")
    parts = urlsplit(place["endpoint"])
    group = io.EventLoopGroup()
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    tls = None
    if parts.scheme == "https":
        options = io.TlsContextOptions()
        options.override_default_trust_store_from_path(None, place["ca"])
        tls = io.ClientTlsContext(options).new_connection_options()
    provider = auth.AwsCredentialsProvider.new_static("x", "x")
    client = s3.S3Client(
        bootstrap=bootstrap,
        region="us-east-1",
        credential_provider=provider,
        part_size=PART_BYTES,
        throughput_target_gbps=20,
        tls_mode=s3.S3RequestTlsMode.ENABLED if tls else s3.S3RequestTlsMode.DISABLED,
        tls_connection_options=tls,
    )
    whole = fresh(place["size"])

    def body(chunk: bytes, offset: int, **_: Any) -> None:
        whole[offset : offset + len(chunk)] = chunk

    def load() -> None:
        headers = http.HttpHeaders([("host", parts.netloc)])
        request = http.HttpRequest("GET", f"/{place['bucket']}/{place['key']}", headers)
        made = client.make_request(request=request, type=s3.S3RequestType.GET_OBJECT, on_body=body)
        made.finished_future.result(120)

    return load


def obstore(place: Place) -> Load:
    library, stores = importlib.import_module("obstore"), importlib.import_module("obstore.store")
    store = stores.HTTPStore.from_url(place["url"], client_options={"allow_http": True})
    size = place["size"]
    whole = fresh(size)

    def prepare(thread: int) -> Callable[[int], None]:
        def fetch(part: int) -> None:
            begin, end = part * PART_BYTES, min(size, (part + 1) * PART_BYTES)
            whole[begin:end] = memoryview(library.get_range(store, place["key"], start=begin, end=end))

        return fetch

    return lambda: in_threads(8, -(-size // PART_BYTES), prepare)


def pycurl(place: Place) -> Load:
    library, size = importlib.import_module("pycurl"), place["size"]
    whole = fresh(size)

    def prepare(thread: int) -> Callable[[int], None]:
        handle = library.Curl()
        handle.setopt(library.URL, f"{place['url']}/{place['key']}")
        handle.setopt(library.BUFFERSIZE, 512 << 10)
        if place.get("ca"):
            handle.setopt(library.CAINFO, place["ca"])

        def fetch(part: int) -> None:
            begin, end = part * PART_BYTES, min(size, (part + 1) * PART_BYTES)
            at = begin

            def take(data: bytes) -> None:
                nonlocal at
                whole[at : at + len(data)] = data
                at += len(data)

            handle.setopt(library.RANGE, f"{begin}-{end - 1}")
            handle.setopt(library.WRITEFUNCTION, take)
            handle.perform()

        return fetch

    return lambda: in_threads(8, -(-size // PART_BYTES), prepare)


def runai_s3(place: Place) -> Load:
    _s3_environment(place)
    streamer = importlib.import_module("runai_model_streamer").SafetensorsStreamer

    def load() -> None:
        with streamer() as opened:
            opened.stream_file(f"s3://{place['bucket']}/{place['key']}")
            touch({name: tensor for name, tensor in opened.get_tensors()})  # noqa: C416 — a generator of pairs

    return load


def s3torchconnector(place: Place) -> Load:
    _s3_environment(place)
    library = importlib.import_module("s3torchconnector")
    safetensors = importlib.import_module("safetensors.torch")
    config = library.S3ClientConfig(force_path_style=True)
    checkpoint = library.S3Checkpoint(region="us-east-1", endpoint=place["endpoint"], s3client_config=config)

    def load() -> None:
        with checkpoint.reader(f"s3://{place['bucket']}/{place['key']}") as reader:
            touch(safetensors.load(reader.read()))

    return load


def tensorizer_http(place: Place) -> Load:
    library = importlib.import_module("tensorizer")

    def load() -> None:
        source = f"{place['url']}/{Path(place['tensorizer']).name}"
        found = library.TensorDeserializer(source, device="cpu", num_readers=4, lazy_load=False)
        touch(dict(found.items()))
        found.close()

    return load


def _s3_environment(place: Place) -> None:
    os.environ.update(
        AWS_ACCESS_KEY_ID="x",
        AWS_SECRET_ACCESS_KEY="x",
        AWS_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_ENDPOINT_URL=place["endpoint"],
        RUNAI_STREAMER_S3_ENDPOINT=place["endpoint"],
        RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING="0",
    )


LOADERS: dict[str, Callable[[Place], Load]] = {
    "disk limit": disk_limit,
    "http limit": http_limit,
    "device limit": device_limit,
    "safetensors to device": safetensors_to_device,
    "pinned loop": pinned_loop,
    "instanttensor": instanttensor,
    "runai to device": runai_to_device,
    "runai S3 to device": runai_s3_to_device,
    "fastsafetensors to device": fastsafetensors_to_device,
    "safetensors touched": safetensors_touched,
    "safetensors cloned": safetensors_cloned,
    "torch.load": torch_load,
    "torch.load mapped": torch_load_mapped,
    "torch DCP": torch_dcp,
    "runai": runai,
    "fastsafetensors": fastsafetensors,
    "tensorizer": tensorizer,
    "boto3 download": boto3_download,
    "boto3 ranges": boto3_ranges,
    "awscrt": awscrt,
    "obstore": obstore,
    "pycurl": pycurl,
    "runai S3": runai_s3,
    "s3torchconnector": s3torchconnector,
    "tensorizer HTTP": tensorizer_http,
}


# ---------------------------------------------------------------- one process


def resident_bytes(process: int) -> int:
    """What a process has in memory now."""
    return status_bytes("VmRSS", process)


def status_bytes(field: str, process: int | str = "self") -> int:
    """A line of /proc/PID/status ("VmHWM", "VmRSS")."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    return 0


def processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def serve(load: Load, base_bytes: int) -> None:
    """An iteration for each line of stdin."""
    for _ in sys.stdin:
        before_s, started_s = processor_s(), time.perf_counter()
        kept = load()
        took_s = time.perf_counter() - started_s
        used_s = processor_s() - before_s
        del kept
        peak = status_bytes("VmHWM") - base_bytes
        print(json.dumps({"s": took_s, "cpu_s": used_s, "peak_bytes": peak}), flush=True)


def end_with_parent() -> None:
    """A benchmark that is interrupted leaves no child behind (Linux: PR_SET_PDEATHSIG)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, 15)


def main(argv: list[str]) -> int:
    end_with_parent()
    name, place = argv[0], json.loads(argv[1])
    try:
        load = LOADERS[name](place)
    except (ImportError, OSError, RuntimeError, ValueError, AttributeError, TypeError) as error:
        print(json.dumps({"absent": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}), flush=True)
        return 0
    print(json.dumps({"ready": name}), flush=True)
    try:
        serve(load, status_bytes("VmRSS"))
    except (OSError, RuntimeError, ValueError, AttributeError, TypeError, KeyError) as error:
        print(json.dumps({"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
