"""ZIP archives that are the same bytes whenever the same files go in: order, times and rights are fixed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

MADE_AT = (1980, 1, 1, 0, 0, 0)  # the earliest that ZIP knows
PLAIN, EXECUTABLE = 0o100644, 0o100755


def write_archive(path: Path, members: Iterable[tuple[str, bytes, int]], *, compress: bool) -> None:
    """`members` are name, content and mode. Written beside `path` first, so that it is there whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    with zipfile.ZipFile(fresh, "w") as archive:
        for name, content, mode in sorted(members):
            info = zipfile.ZipInfo(name, MADE_AT)
            info.create_system = 3  # Unix, wherever it is made
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
            archive.writestr(info, content)
    fresh.replace(path)


def repacked(source: Path, target: Path) -> None:
    """A wheel's content, archived our way: builders put times and an order of their own into it."""
    with zipfile.ZipFile(source) as archive:
        members = [
            (info.filename, archive.read(info), EXECUTABLE if (info.external_attr >> 16) & 0o100 else PLAIN)
            for info in archive.infolist()
            if not info.is_dir()
        ]
    target.parent.mkdir(parents=True, exist_ok=True)
    write_archive(target, members, compress=True)
