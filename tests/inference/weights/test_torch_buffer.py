"""Tensors of torch as views of a stream's memory; the way by staging, which every accelerator takes, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from edgechess_inference.weights.element_types import BITS  # noqa: E402
from edgechess_inference.weights.errors import WeightsError  # noqa: E402
from edgechess_inference.weights.manifest import CHUNK_BYTES, Tensor  # noqa: E402
from edgechess_inference.weights.model import open_model  # noqa: E402
from edgechess_inference.weights.streamer import open_stream  # noqa: E402
from edgechess_inference.weights.torch_buffer import DTYPES, TorchBuffer  # noqa: E402
from edgechess_inference.weights.transfer import StreamSettings  # noqa: E402

pytestmark = pytest.mark.anyio


def raw(tensor: Any) -> bytes:
    return bytes(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())


@pytest.mark.parametrize("staged", [False, True])
async def test_tensors_are_views_of_what_was_streamed(packed: Path, tensors: Any, staged: bool) -> None:
    model = await open_model(str(packed))
    buffer = TorchBuffer(model.manifest.bytes, staged=staged)
    assert buffer.staging_bytes == (CHUNK_BYTES if staged else 0)
    async with open_stream(model, buffer, settings=StreamSettings(connections=3)) as stream:
        await stream.done()
        found = buffer.tensors(stream.tensors)
    buffer.release_staging()
    for name, (dtype, shape, data) in tensors.items():
        assert (found[name].dtype, tuple(found[name].shape)) == (DTYPES[dtype], shape)
        assert raw(found[name]) == data
    name = "model.layers.1.up_proj.weight"
    assert found[name].data_ptr() == buffer.memory.data_ptr() + stream.tensors[name].offset


async def test_a_staged_stream_that_heals(server: Any, tensors: Any) -> None:
    server.fault = lambda key, before: ("damage", "drop", "")[min(before, 2)]
    model = await open_model(f"{server.url}/tiny.json")
    buffer = TorchBuffer(model.manifest.bytes, staged=True)
    async with open_stream(model, buffer) as stream:
        await stream.done()
        assert stream.snapshot().tally.healed_chunks == 4
    name = "model.layers.2.up_proj.weight"
    assert raw(buffer.tensor(stream.tensors[name])) == tensors[name][2]


def test_how_many_staged_receivers_fit_into_the_host_memory() -> None:
    assert StreamSettings().receivers(0) == 12
    assert StreamSettings().receivers(CHUNK_BYTES) == 5
    assert StreamSettings(host_bytes=256 << 20, connections=64).receivers(CHUNK_BYTES) == 26


def test_types_are_as_wide_as_the_format_says() -> None:
    assert {name: dtype.itemsize * 8 for name, dtype in DTYPES.items()} == {name: BITS[name] for name in DTYPES}
    with pytest.raises(WeightsError, match="torch has no type for F4"):
        TorchBuffer(16).tensor(Tensor(name="t", dtype="F4", shape=(4,), offset=0))


def test_a_device_that_is_not_there_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(WeightsError, match="cuda"):
        TorchBuffer(16, "cuda")


@pytest.mark.parametrize(("device", "text"), [("nonsense", "no device of torch's"), ("meta", "holds no bytes")])
def test_what_is_no_device_is_said_in_a_line(device: str, text: str) -> None:
    with pytest.raises(WeightsError, match=text):
        TorchBuffer(10, device)
