"""The twin's control socket: the person's orders, the truth about the table, and where its devices are.

JSON, one object per line, over a Unix socket of the user's own. Request: `{"id": 1, "do": "play", "with": {…}}`;
answer: `{"id": 1, "result": …}` or `{"id": 1, "error": "…"}`. Orders of one connection are served in turn.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from edgechess_board.placement import Placement
from edgechess_twin.errors import HandError, TwinError, TwinNotFound
from edgechess_twin.table import Table
from edgechess_twin.world import XYZ

LINE_BYTES = 65536  # the truth about a table is about 4 kB; anything longer is not one of our messages


def runtime_directory() -> Path:
    """Where running twins of this user are noted: `$XDG_RUNTIME_DIR/edgechess`, else `edgechess-UID` in the
    system's directory for temporary files."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "edgechess" if base else Path(tempfile.gettempdir()) / f"edgechess-{os.getuid()}"


def note_running(directory: Path, seed: int, board_path: str, control_path: str) -> Path:
    """Write the runtime file by which clients find this twin. Returns its path."""
    note = directory / f"twin-{Path(control_path).stem.removeprefix('control-')}.json"
    text = json.dumps({"pid": os.getpid(), "seed": seed, "board": board_path, "control": control_path})
    fresh = note.with_suffix(".new")
    fresh.write_text(text + "\n", encoding="utf-8")
    fresh.replace(note)
    return note


def forget_running(note: Path) -> None:
    note.unlink(missing_ok=True)


def find_running(directory: Path | None = None) -> str:
    """The control socket of the twin that was started last and still runs. Raises TwinNotFound."""
    directory = runtime_directory() if directory is None else directory
    notes = [path for path in directory.glob("twin-*.json") if re.fullmatch(r"twin-[0-9a-f-]+\.json", path.name)]
    for note in sorted(notes, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            data = json.loads(note.read_text(encoding="utf-8"))
            os.kill(int(data["pid"]), 0)
        except (OSError, ValueError, KeyError):
            continue  # left over from a twin that was killed
        return str(data["control"])
    raise TwinNotFound(f"no twin is running (looked in {directory}): start one with `edgechess twin`")


class ControlServer:
    """Serves one table's control socket."""

    def __init__(self, table: Table, *, devices_text: dict[str, Any]) -> None:
        self._table = table
        self._devices = devices_text

    async def serve(self, path: Path, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; only this user may connect."""
        listener = await anyio.create_unix_listener(path, mode=0o600)
        try:
            task_status.started()
            await listener.serve(self._serve_client)
        finally:
            with anyio.CancelScope(shield=True):
                await listener.aclose()
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - one unlink of a local socket at the very end

    async def _serve_client(self, stream: anyio.abc.ByteStream) -> None:
        reader = BufferedByteReceiveStream(stream)
        async with stream:
            try:
                while True:
                    line = await reader.receive_until(b"\n", LINE_BYTES)
                    await stream.send(await self._answer(line) + b"\n")
            except (
                anyio.IncompleteRead,
                anyio.DelimiterNotFound,
                anyio.EndOfStream,
                anyio.BrokenResourceError,
                anyio.ClosedResourceError,
            ):
                return

    async def _answer(self, line: bytes) -> bytes:
        number: Any = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise HandError("expected one JSON object per line")
            number = request.get("id")
            result = await self._do(str(request.get("do")), dict(request.get("with") or {}))
        except TwinError as error:
            return json.dumps({"id": number, "error": str(error)}).encode()
        except (ValueError, TypeError) as error:
            return json.dumps({"id": number, "error": f"not understood: {error}"}).encode()
        return json.dumps({"id": number, "result": result}).encode()

    async def _do(self, order: str, given: dict[str, Any]) -> Any:
        person = self._table.person
        match order:
            case "play" | "arrange" | "lift" | "place" | "slide" | "knock" | "take_from":
                await getattr(person, order)(**{name: str(value) for name, value in given.items() if value is not None})
                return None
            case "guide":
                point = [float(value) for value in given["point_mm"]]
                if len(point) != 3:
                    raise HandError("point_mm: expected three numbers")
                await person.guide(str(given["arm"]), (point[0], point[1], point[2]))
                return None
            case "press_estop" | "release_estop" | "collide":
                getattr(self._table.arm_device(str(given["arm"])), order)()
                return None
            case "placement":
                return self._table.world.placement().fen
            case "status":
                return self._status()
            case "lose_link":
                self._table.lose_link(str(given["name"]))
                return None
            case _:
                raise HandError(f"order {order!r} is not known")

    def _status(self) -> dict[str, Any]:
        """The truth, for people and tests: never for components, which know only what their devices tell."""
        world = self._table.world
        return {
            "devices": self._devices,
            "seed": self._table.options.seed,
            "speed": self._table.options.speed,
            "rotated": self._table.options.rotated,
            "placement": world.placement().fen,
            "pieces": [
                [
                    view.letter,
                    round(view.x_mm, 2),
                    round(view.y_mm, 2),
                    round(view.z_mm, 2),
                    view.upright,
                    view.held_by,
                    round(view.steadiness, 3),
                ]
                for view in world.pieces()
            ],
            "joints_deg": {
                name: [round(angle, 4) for angle in arm.controller.joints()] for name, arm in self._table.arms.items()
            },
            "kinds": {name: self._table.options.kind(name) for name in self._table.arms},
            "accidents": world.accidents[-20:],
        }


class ControlClient:
    """A person at a twin in another process: the same methods as `Person`, and the truth.

    `async with ControlClient() as hand: await hand.play("e2e4", fen)`. Without a path it finds the twin that runs.
    Raises HandError for what the person cannot do, TwinNotFound when there is no twin or it went away.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._stream: anyio.abc.ByteStream | None = None
        self._reader: BufferedByteReceiveStream | None = None
        self._lock = anyio.Lock()
        self._number = 0

    async def __aenter__(self) -> ControlClient:
        path = self._path or find_running()
        try:
            self._stream = await anyio.connect_unix(path)
        except OSError as error:
            raise TwinNotFound(f"the twin at {path} does not answer: {error}") from error
        self._reader = BufferedByteReceiveStream(self._stream)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            await self._stream.aclose()

    async def play(self, uci: str, before_fen: str) -> None:
        await self._ask("play", uci=uci, before_fen=before_fen)

    async def arrange(self, placement_fen: str) -> None:
        await self._ask("arrange", placement_fen=placement_fen)

    async def lift(self, square: str) -> None:
        await self._ask("lift", square=square)

    async def place(self, square: str, piece: str | None = None) -> None:
        await self._ask("place", square=square, piece=piece)

    async def slide(self, origin: str, target: str) -> None:
        await self._ask("slide", origin=origin, target=target)

    async def knock(self, square: str) -> None:
        await self._ask("knock", square=square)

    async def take_from(self, arm: str) -> None:
        await self._ask("take_from", arm=arm)

    async def guide(self, arm: str, point_mm: XYZ) -> None:
        await self._ask("guide", arm=arm, point_mm=list(point_mm))

    async def press_estop(self, arm: str) -> None:
        """Hit the red button of the arm's controller. It stays pressed until it is released."""
        await self._ask("press_estop", arm=arm)

    async def release_estop(self, arm: str) -> None:
        """Turn the red button free again. The arm stays off until somebody recovers it."""
        await self._ask("release_estop", arm=arm)

    async def collide(self, arm: str) -> None:
        """Let the arm feel a collision."""
        await self._ask("collide", arm=arm)

    async def placement(self) -> Placement:
        return Placement.from_fen(str(await self._ask("placement")))

    async def status(self) -> dict[str, Any]:
        status = await self._ask("status")
        assert isinstance(status, dict)
        return status

    async def lose_link(self, name: str) -> None:
        await self._ask("lose_link", name=name)

    async def _ask(self, order: str, **given: Any) -> Any:
        if self._stream is None or self._reader is None:
            raise TwinNotFound("not connected: use `async with`")
        async with self._lock:
            self._number += 1
            request = {"id": self._number, "do": order, "with": given}
            try:
                await self._stream.send(json.dumps(request).encode() + b"\n")
                while True:
                    answer = json.loads(await self._reader.receive_until(b"\n", LINE_BYTES))
                    if answer.get("id") == self._number:  # an answer to an order that was given up is passed over
                        break
            except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError) as error:
                raise TwinNotFound("the twin went away") from error
        if "error" in answer:
            raise HandError(str(answer["error"]))
        return answer.get("result")
