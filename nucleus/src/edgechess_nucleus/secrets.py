"""Secrets from a file on this machine, for GetSecretValue.

The file is JSON: `{"secrets": [{"name": "engine-key", "secretString": "…"}, …]}`. Optional beside it: `arn`,
`versionId`, `versionStages` (["AWSCURRENT"]), and `secretBinary` (base64) in place of `secretString`. One entry is one
version; two versions of a secret are two entries. The file must be readable by its owner alone. No value is logged.
"""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec

from edgechess_nucleus.errors import NucleusError

CURRENT = "AWSCURRENT"  # the stage that is meant when none is asked for
FILE_LIMIT_BYTES = 1024 * 1024


class SecretsError(NucleusError):
    """The file cannot be used; the text names it and the cure."""


class FileSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One version. Exactly one of `secret_string` and `secret_binary`."""

    name: str
    arn: str = ""
    version_id: str = "1"
    version_stages: tuple[str, ...] = (CURRENT,)
    secret_string: str | None = None
    secret_binary: bytes | None = None

    def __repr__(self) -> str:
        return f"FileSecret({self.name!r})"

    @property
    def stages(self) -> tuple[str, ...]:
        return self.version_stages

    @property
    def text(self) -> str | None:
        return self.secret_string

    @property
    def data(self) -> bytes | None:
        return self.secret_binary


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    secrets: list[FileSecret]


class FileSecrets:
    """What a file held when it was read; no file, no secrets."""

    def __init__(self, secrets: tuple[FileSecret, ...] = ()) -> None:
        self._secrets = secrets

    @classmethod
    def read(cls, path: Path, region: str) -> FileSecrets:
        """Raises SecretsError."""
        try:
            mode = path.stat()
            if stat.S_IMODE(mode.st_mode) & 0o077:
                raise SecretsError(f"{path}: others may read it; chmod 600 {path}")
            if mode.st_size > FILE_LIMIT_BYTES:
                raise SecretsError(f"{path}: {mode.st_size} bytes, at most {FILE_LIMIT_BYTES}")
            entries = msgspec.json.decode(path.read_bytes(), type=_File).secrets
        except OSError as error:
            raise SecretsError(f"{path}: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise SecretsError(f"{path}: {error}") from error
        for entry in entries:
            if (entry.secret_string is None) == (entry.secret_binary is None):
                raise SecretsError(f"{path}: {entry.name}: one of secretString and secretBinary belongs there")
        return cls(tuple(_with_arn(entry, region) for entry in entries))

    def find(self, secret_id: str, version_id: str | None, version_stage: str | None) -> FileSecret | None:
        """By name or ARN; see the port in host.py."""
        for secret in self._secrets:
            if secret_id not in (secret.name, secret.arn):
                continue
            if version_id is not None and version_id != secret.version_id:
                continue
            if version_id is None and (version_stage or CURRENT) not in secret.version_stages:
                continue
            return secret
        return None


def _with_arn(secret: FileSecret, region: str) -> FileSecret:
    """An ARN of AWS's form, in an account that cannot exist."""
    if secret.arn:
        return secret
    arn = f"arn:aws:secretsmanager:{region}:000000000000:secret:{secret.name}-000000"
    return msgspec.structs.replace(secret, arn=arn)
