"""Pieces of work that know everything they need, so that any process, here or on another machine, can do them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")


class Work(Protocol):
    """Frozen and picklable."""

    def run(self) -> Any:
        """What came of it, as JSON has it: dicts, lists, numbers, texts. Raises TrainingError."""


@dataclass(frozen=True, slots=True)
class Task:
    """`section` and `number` name it among the results that are kept."""

    section: str
    number: int
    work: Work


def portions(
    section: str, items: Sequence[Item], size: int, work: Callable[[tuple[Item, ...]], Work]
) -> Iterator[Task]:
    """Tasks of `size` items each. A number says which items a task has: more of them later change none that is full, and a
    short last task is another than the full one that then stands in its place."""
    for start in range(0, len(items), size):
        some = tuple(items[start : start + size])
        yield Task(section, start * size + len(some), work(some))


Result = tuple[Task, Any]


class Executor(Protocol):
    """Does tasks, some at a time. Results come as they are ready; whoever stops asking leaves the rest undone."""

    def results(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Raises what a task raised."""

    def close(self) -> None: ...


def do(task: Task) -> Result:
    """In whatever process."""
    return task, task.work.run()
