"""Lines typed at the prompt: from a pipe or from a terminal that gives every key at once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from edgechess_cli.line_reader import LineReader

pytestmark = pytest.mark.anyio


@pytest.fixture
def keys() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


async def test_lines_keys_and_the_end(keys: tuple[int, int]) -> None:
    reading, writing = keys
    shown: list[tuple[str, str]] = []
    reader = LineReader(reading, lambda prompt, text: shown.append((prompt, text)))
    os.write(writing, b"e5\x7f4\r  Nf3 \nha")
    assert await reader.line("? ") == "e4"
    assert shown == [("? ", ""), ("? ", "e"), ("? ", "e5"), ("? ", "e"), ("? ", "e4")]
    assert await reader.line("? ") == "Nf3"
    os.close(writing)
    assert await reader.line("? ") is None
    assert reader.closed


async def test_control_d_and_a_place_where_nobody_types(keys: tuple[int, int]) -> None:
    reading, writing = keys
    os.write(writing, b"\x04")
    assert await LineReader(reading, lambda *_: None).line("? ") is None
    os.close(writing)
    nobody = os.open(os.devnull, os.O_RDONLY)
    assert await LineReader(nobody, lambda *_: None).line("? ") is None
    os.close(nobody)
