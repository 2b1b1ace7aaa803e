"""Where tasks run: the order is free, a failure is told, what nobody asks for is not done."""

from __future__ import annotations

import importlib.util
import os
import signal
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from edgechess_training.dataset.errors import DatasetError
from edgechess_training.dataset.parallel import in_order
from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.executors import Here, Processes, Ray, executor_of
from edgechess_training.evaluation.work import Task


@dataclass(frozen=True)
class Square:
    number: int

    def run(self) -> int:
        if self.number < 0:
            raise TrainingError("no roots here")
        return self.number**2


def tasks(*numbers: int) -> list[Task]:
    return [Task("squares", number, Square(number)) for number in numbers]


def test_here_one_after_the_other() -> None:
    assert [value for _, value in Here().results(tasks(1, 2, 3))] == [1, 4, 9]
    assert isinstance(executor_of(1, None), Here)


@pytest.mark.slow
def test_processes_do_what_is_asked_for_and_no_more() -> None:
    drawn = []

    def many() -> Any:
        for number in range(100):
            drawn.append(number)
            yield from tasks(number)

    executor = Processes(2)
    try:
        results = executor.results(many())
        assert len([next(results) for _ in range(4)]) == 4
        assert len(drawn) < 10
        assert sorted(value for _, value in executor.results(tasks(1, 2, 3))) == [1, 4, 9]
        with pytest.raises(TrainingError, match="no roots here"):
            list(executor.results(tasks(1, -1)))
    finally:
        executor.close()


@dataclass(frozen=True)
class Killed:
    """As the kernel does it to whoever takes too much memory."""

    def run(self) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0


@pytest.mark.slow  # processes are started
def test_a_killed_process_ends_an_evaluation_and_a_build_with_a_word() -> None:
    executor = Processes(2)
    try:
        with pytest.raises(TrainingError, match="one of the processes was killed"):
            list(executor.results([Task("killed", number, Killed()) for number in range(3)]))
    finally:
        executor.close()
    with pytest.raises(DatasetError, match="one of the processes was killed"):
        list(in_order([0, 1, 2], _kill_the_second, lambda number: False, 2))


def _kill_the_second(number: int, unit: int) -> None:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)


class StubRay:
    """As much of Ray as is used; `remote` work is done when it is waited for."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses, self.log = refuses, []

    def init(self, address: str) -> None:
        if self.refuses:
            raise ConnectionError(f"no cluster at {address}")
        self.log.append(f"init {address}")

    def remote(self, num_cpus: int) -> Any:
        return lambda function: SimpleNamespace(remote=lambda task: (function, task))

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 1.0}

    def wait(self, running: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        self.log.append(f"{len(running)} running")
        return running[-1:], running[:-1]

    def get(self, reference: Any) -> Any:
        function, task = reference
        return function(task)

    def shutdown(self) -> None:
        self.log.append("shutdown")


def test_ray_keeps_its_processors_busy_and_no_more() -> None:
    ray = StubRay()
    executor = Ray("auto", ray)
    assert sorted(value for _, value in executor.results(tasks(1, 2, 3, 4))) == [1, 4, 9, 16]
    executor.close()
    assert ray.log == ["init auto", "2 running", "2 running", "2 running", "1 running", "shutdown"]


def test_ray_that_is_not_there_is_told() -> None:
    with pytest.raises(TrainingError, match="no Ray cluster answers at ray://host:1: no cluster"):
        Ray("ray://host:1", StubRay(refuses=True))
    if importlib.util.find_spec("ray") is None:
        with pytest.raises(TrainingError, match="--ray needs Ray, which is not installed"):
            executor_of(4, "auto")
