"""Streams over real sockets and files, with faults: bytes exact or a clear error, and nothing left behind."""

from __future__ import annotations

import os
import random
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from edgechess_inference.weights import chunk_cache, manifest_memory, verifying
from edgechess_inference.weights import manifest as m
from edgechess_inference.weights import model as model_module
from edgechess_inference.weights.copying import pull
from edgechess_inference.weights.errors import (
    DamageError,
    ManifestError,
    SignatureError,
    SourceError,
    StreamStopped,
    WeightsError,
)
from edgechess_inference.weights.fetch_plan import Fault, Limits, Tally
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.http_adapter import HttpSource
from edgechess_inference.weights.manifest import CHUNK_BYTES
from edgechess_inference.weights.manifest_memory import ManifestMemory
from edgechess_inference.weights.model import ModelOptions, open_model
from edgechess_inference.weights.packing import pack
from edgechess_inference.weights.source import FetchFailed
from edgechess_inference.weights.streamer import open_stream
from edgechess_inference.weights.transfer import StreamSettings
from edgechess_inference.weights.unpacking import unpack
from edgechess_inference.weights.verifying import verify

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
QUICK = StreamSettings(connections=4, seed=1, limits=Limits(backoff_s=0.001, hedge_min_s=30.0))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here waits to see how long a store is waited for."""
    monkeypatch.setattr(model_module, "PAUSES_S", (0.001, 0.001, 0.001))
    monkeypatch.setattr(verifying, "PAUSES_S", (0.001, 0.001, 0.001))


async def streamed(address: str, buffer: HostBuffer, settings: StreamSettings = QUICK, **options: Any) -> Tally:
    """Streams all of it and returns what happened; on the way nothing may be left behind."""
    model = await open_model(address, ModelOptions(**options))
    async with open_stream(model, buffer, settings=settings) as stream:
        await stream.done()
        tally = stream.snapshot().tally
    assert receiving() == []
    return tally


def receiving() -> list[str]:
    """The receivers' threads that run now."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("weights-")]


@both
async def test_from_disk(workshop: Any, packed: Path, buffer: HostBuffer, image: str) -> None:
    tally = await streamed(str(packed), buffer)
    assert workshop.digest(buffer) == image
    assert (tally.landed_chunks, tally.broken, tally.refetched_bytes) == (4, 0, 0)


@both
async def test_over_http_on_kept_connections(workshop: Any, server: Any, buffer: HostBuffer, image: str) -> None:
    await streamed(f"{server.url}/tiny.json", buffer)
    assert workshop.digest(buffer) == image
    assert server.sent == buffer.bytes + server.manifest_bytes


@both
async def test_tensors_are_usable_before_the_rest_has_come(server: Any, buffer: HostBuffer, tensors: Any) -> None:
    model = await open_model(f"{server.url}/tiny.json")
    last = model.manifest.shards[0].chunks[-1].address
    server.fault = lambda key, before: "slow" if last in key else ""
    async with open_stream(model, buffer, settings=QUICK) as stream:
        names = ["model.embed_tokens.weight", "model.layers.0.up_proj.weight"]
        await stream.ready(names)
        assert all(stream.is_ready(name) for name in names)
        assert not stream.is_ready("model.layers.3.up_proj.weight")
        moment = stream.snapshot()
        assert 0 < moment.landed_bytes < moment.total_bytes
        assert moment.rate_bytes_s > 0  # what a node tells of a model that is on its way
        for name in names:
            tensor = stream.tensors[name]
            with buffer.view(tensor.offset, tensor.length) as view:
                assert view == tensors[name][2]
        with pytest.raises(ManifestError, match="no tensor 'nobody'"):
            await stream.ready(["nobody"])
        waiting = stream.done()
    with pytest.raises(StreamStopped):
        await waiting


@both
async def test_broken_connections_go_on_where_they_broke(
    workshop: Any, server: Any, buffer: HostBuffer, image: str
) -> None:
    server.fault = lambda key, before: "drop" if before < 2 else ""
    tally = await streamed(f"{server.url}/tiny.json", buffer)
    assert workshop.digest(buffer) == image
    assert tally.broken == 8
    assert tally.refetched_bytes == 0
    assert server.sent == buffer.bytes + server.manifest_bytes  # not one byte twice


async def test_damaged_chunks_are_healed_at_the_price_of_the_damage(
    workshop: Any, server: Any, buffer: HostBuffer, image: str
) -> None:
    damaged = workshop.chunk_keys(server.folder / "tiny.json")[1:3]
    server.fault = lambda key, before: "damage" if key in damaged and not before else ""
    tally = await streamed(f"{server.url}/tiny.json", buffer)
    assert workshop.digest(buffer) == image
    assert (tally.damaged_chunks, tally.healed_chunks) == (2, 2)
    assert server.sent <= buffer.bytes + 2 * CHUNK_BYTES + 10_000


async def test_a_mirror_heals_what_the_store_damages_for_ever(
    workshop: Any, server: Any, packed: Path, buffer: HostBuffer, image: str
) -> None:
    server.fault = lambda key, before: "damage"
    tally = await streamed(f"{server.url}/tiny.json", buffer, mirrors=(str(packed),))
    assert workshop.digest(buffer) == image
    assert tally.healed_chunks == 4
    assert tally.by_source[f"disk {packed.parent}"] == buffer.bytes


@both
async def test_damage_without_end_is_an_error_and_nothing_is_ready(
    workshop: Any, server: Any, buffer: HostBuffer
) -> None:
    first = workshop.chunk_keys(server.folder / "tiny.json")[0]
    server.fault = lambda key, before: "damage" if key == first else ""
    model = await open_model(f"{server.url}/tiny.json")
    async with open_stream(model, buffer, settings=QUICK) as stream:
        with pytest.raises(DamageError, match=r"chunk 0 does not match its digest"):
            await stream.ready(["model.embed_tokens.weight"])
        assert not stream.is_ready("model.embed_tokens.weight")


@pytest.mark.parametrize("fault", ["503", "429", "500"])
async def test_a_store_that_refuses_now_and_then(
    workshop: Any, server: Any, buffer: HostBuffer, image: str, fault: str
) -> None:
    draw = random.Random(2)
    server.fault = lambda key, before: fault if draw.random() < 0.5 else ""
    tally = await streamed(f"{server.url}/tiny.json", buffer)
    assert workshop.digest(buffer) == image
    refused = len([request for request in server.requests if "chunks/" in request]) - 4
    assert refused == tally.throttled + tally.broken
    assert server.sent == buffer.bytes + server.manifest_bytes  # not one byte twice


async def test_a_storm_of_refusals_passes_and_costs_no_byte(
    workshop: Any, server: Any, buffer: HostBuffer, image: str
) -> None:
    server.fault = lambda key, before: "503" if len(server.requests) < 40 else ""
    limits = Limits(backoff_s=0.001, backoff_max_s=0.01, hedge_min_s=30.0)
    tally = await streamed(f"{server.url}/tiny.json", buffer, StreamSettings(connections=4, seed=1, limits=limits))
    assert workshop.digest(buffer) == image
    assert tally.throttled >= 35
    assert server.sent == buffer.bytes + server.manifest_bytes


async def test_every_fault_at_once_costs_no_more_than_the_damage(
    workshop: Any, server: Any, buffer: HostBuffer, image: str
) -> None:
    dropped, damaged, refused, slow = workshop.chunk_keys(server.folder / "tiny.json")
    faults = {dropped: ["drop"] * 3, damaged: ["damage"], refused: ["503"] * 3, slow: ["slow"]}
    server.fault = lambda key, before: (faults.get(key, [])[before:] or [""])[0]
    settings = StreamSettings(connections=4, seed=1, limits=Limits(backoff_s=0.001, hedge_min_s=0.2))
    tally = await streamed(f"{server.url}/tiny.json", buffer, settings)
    assert workshop.digest(buffer) == image
    assert (tally.broken, tally.healed_chunks, tally.throttled) == (3, 1, 3)
    assert tally.hedged >= 1
    harmed = (tally.damaged_chunks + tally.hedged) * CHUNK_BYTES
    assert server.sent - buffer.bytes - server.manifest_bytes <= 1.1 * harmed


async def test_a_server_that_closes_after_each_answer(
    workshop: Any, server: Any, buffer: HostBuffer, image: str
) -> None:
    server.fault = lambda key, before: "close"
    tally = await streamed(f"{server.url}/tiny.json", buffer)
    assert workshop.digest(buffer) == image
    assert tally.broken == 0


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("404", "does not exist"),
        ("403", "answers 403"),
        ("302", "answers 302"),
        ("chunked", "how long"),
        ("short", "bytes, not"),
    ],
)
async def test_what_cannot_work_is_said(server: Any, buffer: HostBuffer, fault: str, text: str) -> None:
    server.fault = lambda key, before: fault
    with pytest.raises(SourceError, match=text):
        await streamed(
            f"{server.url}/tiny.json", buffer, StreamSettings(limits=Limits(attempts_max=2, backoff_s=0.001))
        )


@both
async def test_a_slow_chunk_is_hedged(workshop: Any, server: Any, buffer: HostBuffer, image: str) -> None:
    slow = workshop.chunk_keys(server.folder / "tiny.json")[1]
    server.fault = lambda key, before: "slow" if key == slow and not before else ""
    settings = StreamSettings(connections=4, limits=Limits(hedge_min_s=0.02))
    tally = await streamed(f"{server.url}/tiny.json", buffer, settings)
    assert workshop.digest(buffer) == image
    assert tally.hedged >= 1
    assert server.sent <= buffer.bytes + server.manifest_bytes + tally.hedged * CHUNK_BYTES


async def test_over_tls_with_faults(
    workshop: Any, tls_server: Any, certificate: Path, buffer: HostBuffer, image: str
) -> None:
    tls_server.fault = lambda key, before: ("drop", "damage", "")[min(before, 2)]
    tally = await streamed(f"{tls_server.url}/tiny.json", buffer, ca_file=certificate)
    assert workshop.digest(buffer) == image
    assert (tally.broken, tally.healed_chunks) == (4, 4)


async def test_a_certificate_that_nobody_vouches_for(tls_server: Any, packed: Path) -> None:
    with pytest.raises(SourceError, match="certificate is not trusted"):
        await open_model(f"{tls_server.url}/tiny.json")
    with pytest.raises(SourceError, match="holds no certificates"):
        await open_model(f"{tls_server.url}/tiny.json", ModelOptions(ca_file=packed))


async def test_nobody_there(buffer: HostBuffer) -> None:
    with pytest.raises(SourceError, match="Connection refused"):
        await open_model("http://127.0.0.1:1/tiny.json")
    with pytest.raises(SourceError, match="does not exist"):
        await open_model("/nowhere/tiny.json")
    for address in ("tiny", "ftp://x/tiny.json", "http://x:99999/tiny.json", "s3:///tiny.json"):
        with pytest.raises(SourceError):
            await open_model(address)


async def test_a_server_that_comes_back(
    workshop: Any, server: Any, buffer: HostBuffer, image: str, packed: Path
) -> None:
    """Between the manifest and the chunks the store goes away; a second one at a mirror's address serves."""
    model = await open_model(f"{server.url}/tiny.json", ModelOptions(mirrors=(str(packed),)))
    server.close()
    async with open_stream(model, buffer, settings=QUICK) as stream:
        await stream.done()
    assert workshop.digest(buffer) == image


@both
async def test_cancelled_at_any_moment_nothing_is_left(server: Any, buffer: HostBuffer) -> None:
    server.fault = lambda key, before: "slow"
    files = len(os.listdir("/proc/self/fd"))
    for number in range(6):
        with anyio.move_on_after(0.005 * number):
            await streamed(f"{server.url}/tiny.json", buffer)
            pytest.fail("it cannot have come")
    server.let_go.set()
    await until(lambda: len(os.listdir("/proc/self/fd")) <= files + len(server._open))
    assert receiving() == []


def test_an_interruption_between_two_fetches_is_not_lost(workshop: Any, server: Any) -> None:
    key, into = workshop.chunk_keys(server.folder / "tiny.json")[-1], bytearray(buffer_of(server))
    connection = HttpSource(server.url).connect()
    connection.interrupt()
    with pytest.raises(FetchFailed) as failed:
        connection.fetch(key, memoryview(into))
    assert failed.value.fault is Fault.CANCELLED
    connection.fetch(key, memoryview(into))
    connection.close()


def buffer_of(server: Any) -> int:
    return int(m.parse((server.folder / "tiny.json").read_bytes()).shards[0].chunks[-1].bytes)


async def until(true: Any) -> None:
    with anyio.fail_after(5.0):
        while not true():  # noqa: ASYNC110 — what is waited for is no event of ours
            await anyio.sleep(0.005)


@both
async def test_an_error_of_the_user_of_the_stream_is_not_wrapped(packed: Path, buffer: HostBuffer) -> None:
    model = await open_model(str(packed))
    with pytest.raises(KeyError):
        async with open_stream(model, buffer):
            raise KeyError("mine")


@both
async def test_progress_ends_with_everything(packed: Path, buffer: HostBuffer) -> None:
    model = await open_model(str(packed))
    async with open_stream(model, buffer) as stream:
        seen = [moment async for moment in stream.progress(0.001)]
    assert seen[-1].finished
    assert seen[-1].landed_bytes == seen[-1].total_bytes == buffer.bytes
    assert [moment.landed_bytes for moment in seen] == sorted(moment.landed_bytes for moment in seen)


async def test_what_does_not_fit_is_refused_before_anything_is_fetched(packed: Path) -> None:
    model = await open_model(str(packed))
    small = HostBuffer(1)
    with pytest.raises(WeightsError, match="do not fit"):
        async with open_stream(model, small):
            pass
    with pytest.raises(ManifestError, match="there is no shard 1"):
        async with open_stream(model, small, shard=1):
            pass
    with pytest.raises(WeightsError, match="host memory"):
        async with open_stream(model, HostBuffer(model.manifest.bytes), settings=StreamSettings(host_bytes=1 << 20)):
            pass


async def test_side_files(server: Any) -> None:
    model = await open_model(f"{server.url}/tiny.json")
    assert await model.file("tokenizer.json") == b'{"a": 1}'
    with pytest.raises(ManifestError, match=r"it has tokenizer\.json"):
        await model.file("other.json")
    server.fault = lambda key, before: "damage"
    with pytest.raises(DamageError, match="does not match"):
        await model.file("tokenizer.json")


# ---------------------------------------------------------------- the cache


async def test_with_a_cache_the_second_start_needs_no_network(
    workshop: Any, server: Any, buffer: HostBuffer, image: str, tmp_path: Path
) -> None:
    await streamed(f"{server.url}/tiny.json", buffer, cache=tmp_path)
    server.fault = lambda key, before: "404"
    tally = await streamed(f"{server.url}/tiny.json", buffer, cache=tmp_path)
    assert workshop.digest(buffer) == image
    assert tally.by_source["cache"] == buffer.bytes


async def test_with_a_cache_a_start_needs_nobody_at_all(
    workshop: Any, server: Any, buffer: HostBuffer, image: str, tmp_path: Path
) -> None:
    await streamed(f"{server.url}/tiny.json", buffer, cache=tmp_path)
    server.close()
    with pytest.raises(SourceError, match="refused"):
        await open_model(f"{server.url}/tiny.json")
    with pytest.raises(SourceError, match="refused"):
        await open_model(f"{server.url}/other.json", ModelOptions(cache=tmp_path))
    await streamed(f"{server.url}/tiny.json", buffer, cache=tmp_path)
    assert workshop.digest(buffer) == image
    with pytest.raises(SignatureError):  # it was kept without a signature, and now one is asked for
        await open_model(f"{server.url}/tiny.json", ModelOptions(cache=tmp_path, trust=("ab" * 32,)))


async def test_a_store_that_says_no_is_believed_whatever_the_cache_remembers(server: Any, tmp_path: Path) -> None:
    await open_model(f"{server.url}/tiny.json", ModelOptions(cache=tmp_path))
    for status in ("404", "403"):
        server.of_all = lambda key, before, status=status: status
        with pytest.raises(SourceError, match=status):
            await open_model(f"{server.url}/tiny.json", ModelOptions(cache=tmp_path))


@pytest.mark.parametrize("fault", ["drop", "503"])
async def test_a_manifest_and_a_side_file_are_asked_for_again(server: Any, fault: str) -> None:
    server.of_all = lambda key, before: fault if before < 2 else ""
    model = await open_model(f"{server.url}/tiny.json")
    assert await model.file("tokenizer.json") == b'{"a": 1}'


async def test_a_damaged_side_file_is_asked_for_again(server: Any) -> None:
    model = await open_model(f"{server.url}/tiny.json")
    server.fault = lambda key, before: "damage" if before < 2 else ""
    assert await model.file("tokenizer.json") == b'{"a": 1}'


async def test_a_broken_connection_is_no_finding_of_verify(server: Any) -> None:
    server.fault = lambda key, before: "drop" if before < 2 else ""
    model = await open_model(f"{server.url}/tiny.json")
    assert await anyio.to_thread.run_sync(verify, model.manifest, model.sources[0]) == []
    server.fault = lambda key, before: "404"
    assert len(await anyio.to_thread.run_sync(verify, model.manifest, model.sources[0])) == 5


async def test_unpacked_into_a_folder_that_is_not_there_yet(packed: Path, tmp_path: Path) -> None:
    await unpack(await open_model(str(packed)), tmp_path / "new" / "folder" / "tiny.safetensors")
    assert (tmp_path / "new" / "folder" / "tokenizer.json").read_text() == '{"a": 1}'


@pytest.mark.parametrize("as_folder", [False, True])
async def test_a_mirror_has_the_manifest_too(server: Any, packed: Path, as_folder: bool) -> None:
    mirror = str(packed.parent if as_folder else packed)
    server.close()
    model = await open_model(f"{server.url}/tiny.json", ModelOptions(mirrors=(mirror,)))
    assert await model.file("tokenizer.json") == b'{"a": 1}'


def test_what_is_remembered_of_manifests_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_memory, "KEPT_MAX", 2)
    memory = ManifestMemory(tmp_path)
    for number in range(4):
        memory.keep(f"http://a/{number}.json", b"{}", None)
        os.utime(memory._path(f"http://a/{number}.json"), (number, number))
    assert [memory.recall(f"http://a/{number}.json") for number in range(4)] == [None, None, (b"{}", b""), (b"{}", b"")]


@pytest.mark.parametrize("harm", ["torn", "flipped", "empty", "gone"])
async def test_a_damaged_cache_is_found_and_repaired(
    workshop: Any, server: Any, buffer: HostBuffer, image: str, tmp_path: Path, harm: str
) -> None:
    await streamed(f"{server.url}/tiny.json", buffer, cache=tmp_path)
    victim = tmp_path / workshop.chunk_keys(server.folder / "tiny.json")[2]
    data = victim.read_bytes()
    match harm:
        case "torn":
            victim.write_bytes(data[:5000])
        case "flipped":
            victim.write_bytes(data[:5000] + bytes([data[5000] ^ 128]) + data[5001:])
        case "empty":
            victim.write_bytes(b"")
        case "gone":
            victim.unlink()
    before = server.sent
    await streamed(f"{server.url}/tiny.json", buffer, cache=tmp_path)
    assert workshop.digest(buffer) == image
    assert victim.read_bytes() == data
    assert server.sent - before < CHUNK_BYTES + 10_000


def left_of_chunks(cache: Path) -> list[Path]:
    """Files that are no whole chunk."""
    return [path for path in cache.glob("chunks/??/*") if len(path.name) != 64 or path.stat().st_size >= 3 << 20]


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file can grow beyond three MiB: a chunk breaks off in the middle, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_disk")
async def test_a_full_disk_is_said_and_the_stream_goes_on(
    workshop: Any, server: Any, buffer: HostBuffer, image: str, tmp_path: Path, caplog: Any
) -> None:
    model = await open_model(f"{server.url}/tiny.json", ModelOptions(cache=tmp_path))
    async with open_stream(model, buffer, settings=QUICK) as stream:
        await stream.done()
    assert workshop.digest(buffer) == image
    assert server.sent == buffer.bytes + server.manifest_bytes
    assert caplog.text.count("takes no more chunks: File too large") == 1
    assert "takes no more chunks" in (model.remark or "")
    assert left_of_chunks(tmp_path) == []


async def test_an_update_fetches_only_what_changed(workshop: Any, tensors: Any, tmp_path: Path) -> None:
    changed = dict(tensors)
    dtype, shape, data = changed["model.layers.2.up_proj.weight"]
    changed["model.layers.2.up_proj.weight"] = (dtype, shape, b"\1" + data[1:])
    store = tmp_path / "store"
    pack(workshop.write_checkpoint(tmp_path / "1.safetensors", tensors), store / "one.json", workshop.card)
    pack(workshop.write_checkpoint(tmp_path / "2.safetensors", changed), store / "two.json", workshop.card)
    first = await open_model(str(store / "one.json"))
    await pull(first, tmp_path / "here" / "one.json")
    fetched = await pull(await open_model(str(store / "two.json")), tmp_path / "here" / "two.json")
    assert fetched == CHUNK_BYTES
    assert await pull(first, tmp_path / "here" / "one.json") == 0


async def test_a_cache_keeps_what_is_used_and_forgets_the_oldest(
    workshop: Any, server: Any, buffer: HostBuffer, tmp_path: Path
) -> None:
    old = chunk_cache.ChunkCache(tmp_path)
    old.put("0" * 64, memoryview(b"of another model"))
    left = tmp_path / "chunks" / "00" / "half.1234.partial"
    left.write_bytes(b"half")
    os.utime(left, (1.0, 1.0))
    await streamed(f"{server.url}/tiny.json", buffer, cache=tmp_path)
    assert not left.exists()
    assert len(workshop.stored(tmp_path)) == 5
    used = [Path(key).name for key in workshop.chunk_keys(server.folder / "tiny.json")]
    small = chunk_cache.ChunkCache(tmp_path, limit_bytes=CHUNK_BYTES)
    assert small.prune(used) == len(b"of another model")
    assert sorted(workshop.stored(tmp_path)) == sorted(used)
