"""Memory of a torch device for one image, and its tensors as views. Only imported where torch is used (extra `[torch]`).

On the CPU chunks are received straight into place. Everywhere else each receiver has one pinned chunk of host memory
and copies it over on a stream of its own, beside whatever the device computes; a chunk has landed when that copy has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch

from edgechess_inference.weights.errors import WeightsError
from edgechess_inference.weights.host_buffer import HostBuffer
from edgechess_inference.weights.manifest import CHUNK_BYTES, Tensor

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "C64": torch.complex64,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
}


class TorchBuffer:
    """A destination of a stream. `staged`: by pinned memory and copies; None: on every device but the CPU."""

    def __init__(self, size: int, device: str | torch.device = "cpu", *, staged: bool | None = None) -> None:
        """Raises WeightsError where the device has not that much memory, or is not there."""
        self.bytes = size
        self.device = _known(device)
        self._host: HostBuffer | None = None
        self._stages: dict[int, _Stage] = {}
        if self.device.type == "cpu":
            self._host = HostBuffer(size)
            self.memory = torch.frombuffer(self._host.view(0, max(1, size)), dtype=torch.uint8)
        else:
            try:
                self.memory = torch.empty(size, dtype=torch.uint8, device=self.device)
            except (
                RuntimeError,
                AssertionError,
            ) as error:  # out of memory is the first, a torch without CUDA the second
                raise WeightsError(f"{size} bytes of weights cannot be held on {self.device}: {error}") from error
        self._staged = self.device.type != "cpu" if staged is None else staged

    @property
    def staging_bytes(self) -> int:
        return CHUNK_BYTES if self._staged else 0

    def slot(self, offset: int, length: int, receiver: int) -> memoryview:
        if not self._staged:
            assert self._host is not None
            return self._host.view(offset, length)
        stage = self._stages.get(receiver)
        if stage is None:
            stage = self._stages[receiver] = _Stage(self.device)
        return stage.view[:length]

    def land(self, offset: int, length: int, receiver: int) -> None:
        """Waits for the copy, without the interpreter's lock. Raises RuntimeError where the device fails."""
        if self._staged:
            self._stages[receiver].copy_to(self.memory[offset : offset + length])

    def tensor(self, tensor: Tensor) -> torch.Tensor:
        """A view, not a copy; valid as long as this buffer lives. Raises WeightsError for a type torch lacks."""
        dtype = DTYPES.get(tensor.dtype)
        if dtype is None:
            raise WeightsError(f"tensor {tensor.name!r}: torch has no type for {tensor.dtype}")
        return self.memory[tensor.offset : tensor.offset + tensor.length].view(dtype).view(tensor.shape)

    def tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, torch.Tensor]:
        """`stream.tensors` → what `load_state_dict(..., assign=True)` takes."""
        return {name: self.tensor(tensor) for name, tensor in tensors.items()}

    def release_staging(self) -> None:
        """Gives the pinned memory back once the stream has ended."""
        self._stages.clear()


def _known(device: str | torch.device) -> torch.device:
    """Raises WeightsError for no device of torch's, and for the one that keeps no bytes."""
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise WeightsError(f"{device!r} is no device of torch's: cpu, cuda, cuda:1 …") from error
    if found.type == "meta":
        raise WeightsError("the device meta holds no bytes: weights cannot be there")
    return found


class _Stage:
    """One receiver's pinned chunk and its way to the device."""

    def __init__(self, device: torch.device) -> None:
        cuda = cast(Any, torch.cuda)  # its streams have no types
        self._stream = cuda.Stream(device) if device.type == "cuda" else None
        if device.type == "cuda":
            self._memory = torch.empty(CHUNK_BYTES, dtype=torch.uint8, pin_memory=True)  # begins a page, as all pinned
            self.view = memoryview(cast(Any, self._memory.numpy()))  # numpy's stubs do not know that arrays are buffers
        else:
            self.view = HostBuffer(CHUNK_BYTES).view(0, CHUNK_BYTES)
            self._memory = torch.frombuffer(self.view, dtype=torch.uint8)

    def copy_to(self, place: torch.Tensor) -> None:
        source = self._memory[: place.numel()]
        if self._stream is None:
            place.copy_(source)
            return
        with torch.cuda.stream(self._stream):
            place.copy_(source, non_blocking=True)
        self._stream.synchronize()
