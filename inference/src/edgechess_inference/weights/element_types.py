"""The element types of tensors: safetensors' names, so that a pack says what the file said.

Source: the `Dtype` table of safetensors 0.6 and later. Types under a byte are packed; a tensor of them fills whole bytes.
"""

from __future__ import annotations

BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}

DIMENSIONS_MAX = 8  # torch and onnx models have five at most
ELEMENTS_MAX = 1 << 48  # keeps every product far from where other readers' 64-bit arithmetic wraps


def byte_length(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a dense tensor. Raises ValueError naming what is wrong with type or shape."""
    bits = BITS.get(dtype)
    if bits is None:
        raise ValueError(f"element type {dtype!r} is none of {', '.join(BITS)}")
    if len(shape) > DIMENSIONS_MAX:
        raise ValueError(f"{len(shape)} dimensions (at most {DIMENSIONS_MAX})")
    elements = 1
    for extent in shape:
        if extent < 0:
            raise ValueError(f"negative extent {extent}")
        elements *= extent
        if elements > ELEMENTS_MAX:
            raise ValueError(f"more than {ELEMENTS_MAX} elements")
    if elements * bits % 8:
        raise ValueError(f"{elements} elements of {bits} bits do not fill whole bytes")
    return elements * bits // 8
