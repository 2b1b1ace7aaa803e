"""What holds for every test.

Nothing is timed, so Hypothesis may take as long as a busy machine needs. What tests leave in the temporary folder goes
with a folder of the run's own; pytest's folders stay where they always are.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TESTS = Path(__file__).parent
LONGEST = (
    "e2e/test_up.py", "e2e/test_play.py", "simulation/test_simulation.py", "kit/test_greengrass_process.py",
    "e2e/test_table.py", "inference_node/test_process.py", "cli/test_bench.py", "console/browser/test_table.py",
    "cli/test_build.py", "inference_node/test_adapters.py", "cli/test_bench_stream.py", "arm_controller/test_killed.py",
    "cli/test_bench_node.py", "training/policy/test_run.py", "inference/backends/test_language_models.py",
)  # fmt: skip
"""Files that take the longest, about from more to less. They begin, lest one of several workers ends with one of them."""

OWN_FOLDER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # workers are given the folder with the environment
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
        # a short name: sockets are made in it, see short_path
        config.stash[OWN_FOLDER] = os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="ec-")
        os.chmod(
            tempfile.tempdir, 0o755
        )  # as /tmp is: a mosquitto that root starts reads its papers there as another user


def pytest_unconfigure(config: pytest.Config) -> None:
    if OWN_FOLDER in config.stash:
        shutil.rmtree(config.stash[OWN_FOLDER], ignore_errors=True)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """For Unix sockets, whose paths have room for 107 bytes: pytest's own folders have long names."""
    with tempfile.TemporaryDirectory(prefix="s-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`installed(group, entries, folders…)`: entry points as an installed package would bring them, for modules in these
    folders and in this one. The package lies in `tmp_path`."""

    def install(group: str, entries: str, *folders: Path) -> None:
        info = tmp_path / "brought-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")
        for folder in (tmp_path, *folders, TESTS):
            monkeypatch.syspath_prepend(str(folder))

    return install


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        order = {TESTS / file: place for place, file in enumerate(LONGEST)}
        items.sort(key=lambda item: order.get(item.path, len(order)))
