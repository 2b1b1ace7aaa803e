"""Where tasks run: in this process, in several of this machine, or over a Ray cluster."""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

from edgechess_training.errors import TrainingError
from edgechess_training.evaluation.work import Result, Task, do
from edgechess_training.processes_adapter import KILLED, Pending, ProcessKilled, ended, first_of, started

RAY_AHEAD = 2  # tasks per processor that wait on the cluster, so that none of it is idle


class Here:
    """One after the other, in this process."""

    def results(self, tasks: Iterable[Task]) -> Iterator[Result]:
        return map(do, tasks)

    def close(self) -> None:
        """Nothing is held."""


class Processes:
    """`jobs` processes of this machine; each keeps the networks that it has loaded."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool = started(jobs)

    def results(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Raises TrainingError where a process was killed."""
        waiting, running = iter(tasks), set[Pending[Result]]()
        try:
            while True:
                coming = list(itertools.islice(waiting, self._jobs + 1 - len(running)))
                running |= {self._pool.submit(do, task) for task in coming}
                if not running:
                    return
                done, running = first_of(running)
                for found in done:
                    yield found.result()
        except ProcessKilled as error:
            raise TrainingError(KILLED) from error

    def close(self) -> None:
        """What still runs is wanted by nobody."""
        ended(self._pool)


class Ray:
    """A cluster that `ray` knows (`address` "auto", or ray://HOST:PORT). Its machines need edgechess installed, and see the
    model, the books and the data under the same paths. `ray`: the module, for tests; None: the installed one."""

    def __init__(self, address: str, ray: Any = None) -> None:
        """Raises TrainingError: Ray is not installed, or no cluster answers."""
        self._ray = ray if ray is not None else _installed_ray()
        try:
            self._ray.init(address=address)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise TrainingError(f"no Ray cluster answers at {address}: {' '.join(str(error).split())[:200]}") from error
        self._do = self._ray.remote(num_cpus=1)(do)

    def results(self, tasks: Iterable[Task]) -> Iterator[Result]:
        waiting = iter(tasks)
        running: list[Any] = []
        ahead = RAY_AHEAD * max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        while True:
            running += [self._do.remote(task) for task in itertools.islice(waiting, ahead - len(running))]
            if not running:
                return
            done, running = self._ray.wait(running, num_returns=1)
            yield self._ray.get(done[0])

    def close(self) -> None:
        self._ray.shutdown()


def executor_of(jobs: int, ray: str | None) -> Here | Processes | Ray:
    """`jobs` 0: one per processor. Raises TrainingError."""
    if ray is not None:
        return Ray(ray)
    jobs = jobs or os.cpu_count() or 1
    return Processes(jobs) if jobs > 1 else Here()


def _installed_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise TrainingError(
            "--ray needs Ray, which is not installed: `pip install ray` here and on the cluster, or use --jobs"
        ) from error
