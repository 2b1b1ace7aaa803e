"""Certificates made on the spot by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def issued() -> Iterator[Path]:
    """A folder with ca.pem, broker.pem/.key (for 127.0.0.1), client.pem/.key, elsewhere.pem/.key (a broker's, for
    another name), and an unrelated stranger.pem/.key with its strange-ca.pem. Skips where openssl is missing."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    # not in pytest's folders: as root, mosquitto becomes another user before it reads these, and those are closed to it
    with tempfile.TemporaryDirectory(prefix="edgechess-certificates-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _issue(openssl, folder)
        yield folder


def _issue(openssl: str, folder: Path) -> None:
    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for authority in ("ca", "strange-ca"):
        run("req", "-x509", *curve, "-days", "2", "-subj", f"/CN={authority}", "-keyout", f"{authority}.key",
            "-out", f"{authority}.pem", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    for name, authority, subject in (
        ("broker", "ca", "IP:127.0.0.1"),
        ("client", "ca", "DNS:client"),
        ("elsewhere", "ca", "DNS:a1-ats.iot.eu-west-1.amazonaws.com"),
        ("stranger", "strange-ca", "IP:127.0.0.1"),
    ):
        (folder / "san").write_text(f"subjectAltName={subject}\n")
        run("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", f"{name}.pem")  # fmt: skip
        (folder / f"{name}.key").chmod(0o644)
