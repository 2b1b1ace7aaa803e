"""Matches of `edgechess play` as events: the journals of its components, read where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from edgechess_console.history import History
from edgechess_kit.clock import SystemClock
from edgechess_kit.errors import JournalError
from edgechess_kit.journal import SqliteJournal
from edgechess_kit.messages import EdgeEvent

COMPONENTS = ("match-director", "game-manager", "arm-controller", "board-sensor")
FOLDERS_LIMIT = 500  # the newest; older ones are taken in on another day


def take_in(root: str, history: History, go_on: Callable[[], bool] = lambda: True) -> int:
    """How many folders were new or had grown. A folder that cannot be read is passed over. Raises HistoryError.

    Takes seconds for each hundred: `go_on` is asked before each."""
    count = 0
    for folder in _folders(root):
        if not go_on():
            break
        size = _size(folder)
        if size == 0 or history.taken(str(folder), size):
            continue
        history.take(str(folder), size, _events(folder))
        count += 1
    return count


def _folders(root: str) -> list[Path]:
    try:
        found = [path for path in Path(root).expanduser().iterdir() if (path / "journal").is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda path: path.name, reverse=True)[:FOLDERS_LIMIT]


def _size(folder: Path) -> int:
    """Of all that its journals have written so far; a new entry makes it larger."""
    files = (path for name in COMPONENTS for path in (folder / "journal").glob(f"{name}.sqlite*"))
    return sum(path.stat().st_size for path in files if not path.name.endswith(("-shm", ".owner")))


def _events(folder: Path) -> Iterator[EdgeEvent]:
    for component in COMPONENTS:
        path = folder / "journal" / f"{component}.sqlite"
        try:
            journal = SqliteJournal.read_only(path, SystemClock())
        except JournalError:
            continue
        try:
            for entry in journal.entries():
                yield EdgeEvent(
                    component=component,
                    kind=entry.kind[:200],
                    seq=entry.seq,
                    at=entry.at,
                    session_id=entry.session_id,
                    data=entry.data,
                )
        except JournalError:
            continue
        finally:
            journal.close()
