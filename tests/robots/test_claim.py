"""An arm's address is claimed by one process of a machine at a time."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgechess_robots.claim import claimed
from edgechess_robots.errors import ArmClaimed

HOLD = """
import sys
from edgechess_robots.claim import claimed
with claimed("white", "127.0.0.9", 29999, "a test"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_second_claim_is_refused_and_says_by_whom() -> None:
    with claimed("white", "127.0.0.9", 29999, "the arm controller"):
        with claimed("black", "127.0.0.8", 29999, "the arm controller"):
            pass  # another arm
        with (
            pytest.raises(
                ArmClaimed, match=r"arm white at 127.0.0.9:29999 is held by the arm controller \(process \d+\)"
            ),
            claimed("white", "127.0.0.9", 29999, "somebody else"),
        ):
            pass
    with claimed("white", "127.0.0.9", 29999, "somebody else"):
        pass


def test_two_names_of_one_address_are_one_arm() -> None:
    with (
        claimed("white", "localhost", 29999, "the arm controller"),
        pytest.raises(ArmClaimed),
        claimed("white", "127.0.0.1", 29999, "somebody else"),
    ):
        pass


def test_a_claim_ends_with_its_process_however_that_ended(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"TMPDIR": str(folder)}
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(ArmClaimed, match="a test"), claimed("white", "127.0.0.9", 29999, "us"):
        pass
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    with claimed("white", "127.0.0.9", 29999, "us"):
        pass


def test_another_users_file_is_locked_though_it_cannot_be_written(folder: Path) -> None:
    with claimed("white", "127.0.0.9", 29999, "root"):
        pass
    (file,) = folder.iterdir()
    file.chmod(0o444)
    with (
        claimed("white", "127.0.0.9", 29999, "us"),
        pytest.raises(ArmClaimed),
        claimed("white", "127.0.0.9", 29999, "x"),
    ):
        pass
