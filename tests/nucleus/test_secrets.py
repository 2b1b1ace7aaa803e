"""Secrets from a file: versions, stages, and files that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgechess_nucleus.secrets import FileSecrets, SecretsError


def write(folder: Path, content: Any, mode: int = 0o600) -> Path:
    path = folder / "secrets.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    path.chmod(mode)
    return path


def test_versions_and_stages(tmp_path: Path) -> None:
    entries = [
        {"name": "key", "versionId": "v2", "secretString": "new"},
        {"name": "key", "versionId": "v1", "versionStages": ["AWSPREVIOUS"], "secretBinary": "AG9sZA=="},
        {"name": "named", "arn": "arn:own", "secretString": "x"},
    ]
    secrets = FileSecrets.read(write(tmp_path, {"secrets": entries}), "eu-central-1")
    current = secrets.find("key", None, None)
    assert current is not None
    assert (current.version_id, current.text, current.data) == ("v2", "new", None)
    assert current.arn == "arn:aws:secretsmanager:eu-central-1:000000000000:secret:key-000000"
    old = secrets.find(current.arn, None, "AWSPREVIOUS")
    assert old is not None
    assert old.data == b"\x00old"
    assert secrets.find("key", "v1", None) is old
    assert secrets.find("key", "v3", None) is None
    assert secrets.find("absent", None, None) is None
    assert secrets.find("arn:own", None, None) is not None
    assert "new" not in repr(current)
    assert FileSecrets().find("key", None, None) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no json", "JSON"),
        ({"secrets": [{"name": "a"}]}, "a: one of secretString and secretBinary"),
        ({"secrets": [{"name": "a", "secretString": "x", "secretBinary": "AA=="}]}, "one of"),
        ({"secrets": [{"name": "a", "secretstring": "x"}]}, "secretstring"),
        ({"secret": []}, "secret"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: Any, said: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(SecretsError, match=said) as error:
        FileSecrets.read(path, "eu")
    assert str(path) in str(error.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretsError, match="chmod 600"):
        FileSecrets.read(write(tmp_path, {"secrets": []}, 0o644), "eu")
    with pytest.raises(SecretsError, match="No such file"):
        FileSecrets.read(tmp_path / "absent", "eu")
