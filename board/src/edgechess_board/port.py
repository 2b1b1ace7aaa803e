"""What a board's byte stream can say about itself."""

from __future__ import annotations

import anyio


class PortAttribute(anyio.TypedAttributeSet):
    """Extra attributes of the byte streams that lead to a board; a stream may have none."""

    name: str = anyio.typed_attribute()
    """For people: "/dev/ttyACM0"."""
