"""A UCI engine that judges one position after another: one process, one pipe, a fixed number of nodes each.

Labels are made by the hundred thousand, so there is no event loop between us and the pipe: a question costs the engine's
own time and some microseconds.
"""

from __future__ import annotations

import dataclasses
import os
import select
import subprocess
from types import TracebackType
from typing import Self

from edgechess_training.dataset.errors import DatasetError

ANSWER_TIMEOUT_S = 60.0  # per line; a million nodes take seconds. Only an engine that hangs needs it
READ_BYTES = 1 << 16
HASH_MIB = 4  # a thousand nodes fill a hundredth of it; emptying it at the start of each unit must cost nothing
OPTIONS: dict[str, str] = {"Threads": "1", "Hash": str(HASH_MIB), "UCI_ShowWDL": "true"}


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """`move`: UCI. `wdl`: win, draw and loss of the side to move, per mille, as the engine says them."""

    move: str
    wdl: tuple[int, int, int]


class UciEngine:
    """Use as a context manager. Every method raises DatasetError for an engine that dies, hangs or answers nonsense."""

    def __init__(self, program: str) -> None:
        self._program = program
        try:
            self._process = subprocess.Popen(
                [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
                start_new_session=True,
            )  # fmt: skip  # a session of its own: Ctrl-C is for us
        except OSError as error:
            raise DatasetError(f"{program} does not start: {error.strerror or error}") from error
        self._buffer = b""
        self.name = program
        known = self._introduce()
        for name, value in OPTIONS.items():
            if name not in known:
                self.close()
                raise DatasetError(f"{self.name} has no option {name}; labels need it (Stockfish 12 and later has it)")
            self._say(f"setoption name {name} value {value}")
        self.forget()

    def _introduce(self) -> list[str]:
        self._say("uci")
        options = []
        while (line := self._line()) != "uciok":
            if line.startswith("id name "):
                self.name = line.removeprefix("id name ")
            elif line.startswith("option name "):
                options.append(line.removeprefix("option name ").split(" type ")[0])
        return options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def forget(self) -> None:
        """Empties its memory, so that what comes does not depend on what was."""
        self._say("ucinewgame")
        self._say("isready")
        while self._line() != "readyok":
            pass

    def judge(self, fen: str, nodes: int) -> Judgement | None:
        """None: no legal move."""
        self._say(f"position fen {fen}\ngo nodes {nodes}")
        wdl: tuple[int, int, int] | None = None
        while True:
            words = self._line().split()
            if words[:1] == ["bestmove"]:
                break
            if "wdl" in words:
                at = words.index("wdl") + 1
                wdl = self._wdl(words[at : at + 3], fen)
        if words[1:2] in (["(none)"], []):
            return None
        if wdl is None:
            raise DatasetError(f"{self.name} gave no win, draw and loss for {fen}")
        return Judgement(words[1], wdl)

    def _wdl(self, words: list[str], fen: str) -> tuple[int, int, int]:
        try:
            win, draw, loss = (int(word) for word in words)
        except ValueError:
            raise DatasetError(f"{self.name} said wdl {' '.join(words)} of {fen}") from None
        return win, draw, loss

    def close(self) -> None:
        """At once. Never raises."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{text}\n".encode())
        except OSError as error:
            raise DatasetError(f"{self.name} has died") from error

    def _line(self) -> str:
        assert self._process.stdout is not None
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_TIMEOUT_S)
            if not ready:
                raise DatasetError(f"{self.name} said nothing for {ANSWER_TIMEOUT_S:g} s")
            block = os.read(self._process.stdout.fileno(), READ_BYTES)
            if not block:
                raise DatasetError(f"{self.name} has died")
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace").strip()
