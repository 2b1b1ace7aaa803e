"""A component's artifacts: found, checked, put in their place, unpacked where the recipe wants it.

packages/artifacts/<name>/<version>/<file>                     {artifacts:path}
packages/artifacts-unarchived/<name>/<version>/<zip's name>/   {artifacts:decompressedPath}/<zip's name>
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import unquote, urlsplit

from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.interpolation import ComponentPaths
from edgechess_nucleus.recipe import Access, Artifact, Manifest, Recipe

UNPACKED_LIMIT_BYTES = 8 * 1024**3  # a wheelhouse with a model runtime is 1 GiB; a zip bomb is any size
MEMBERS_LIMIT = 100_000
CHUNK_BYTES = 1024 * 1024


class ArtifactSource(Protocol):
    """Where artifacts come from."""

    def fetch(self, recipe: Recipe, artifact: Artifact) -> Path:
        """A file on this machine. Raises DocumentError at the artifact's place when there is none."""


class FolderSource:
    """The layout that greengrass-cli, ggl-cli and GDK share: `<folder>/<name>/<version>/<file>`; `file://` as it is."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def fetch(self, recipe: Recipe, artifact: Artifact) -> Path:
        parts = urlsplit(artifact.uri)
        if parts.scheme in ("file", ""):
            path = Path(unquote(parts.path))
            path = path if path.is_absolute() else recipe.file.parent / path
        elif parts.scheme not in ("s3", "greengrass", "docker"):
            raise DocumentError(artifact.place, f"Uri: {artifact.uri}: unknown scheme {parts.scheme}")
        elif self._folder is None:
            raise DocumentError(
                artifact.place, f"{artifact.uri}: no folder of artifacts was named, and nothing is downloaded"
            )
        else:
            path = self._folder / recipe.name / str(recipe.version) / artifact.file_name
        if not path.is_file():
            raise DocumentError(
                artifact.place, f"artifact {artifact.file_name} of {recipe.name} is missing: no file {path}"
            )
        return path


def install_artifacts(
    recipe: Recipe, manifest: Manifest, paths: ComponentPaths, source: ArtifactSource
) -> tuple[bytes, ...]:
    """Puts every artifact of the manifest in its place, and gives their SHA-256. What lies there unchanged stays.

    Raises DocumentError naming the artifact's line: missing, another digest, no ZIP, or one that would write outside
    its folder.
    """
    for folder in (paths.artifacts, paths.unarchived, paths.work):
        folder.mkdir(parents=True, exist_ok=True)
    digests = []
    for artifact in manifest.artifacts:
        fetched = source.fetch(recipe, artifact)
        digest = sha256(fetched)
        digests.append(digest)
        if artifact.digest is not None and base64.b64encode(digest).decode() != artifact.digest:
            raise DocumentError(artifact.place, f"{artifact.file_name}: its SHA-256 is not the recipe's Digest")
        target = paths.artifacts / artifact.file_name
        if not target.exists() or sha256(target) != digest:
            shutil.copyfile(fetched, target)
        _permit(target, artifact)
        if artifact.unzip:
            _unzip(artifact, target, paths.unarchived / _stem(artifact.file_name), digest)
    return tuple(digests)


def sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _stem(file_name: str) -> str:
    return file_name.removesuffix(".zip")


def _unzip(artifact: Artifact, archive: Path, folder: Path, digest: bytes) -> None:
    """Unpacks into a new folder and puts it in place whole; a mark beside it says which archive it came from."""
    mark = folder.with_name(f".{folder.name}.sha256")
    if folder.is_dir() and mark.is_file() and mark.read_text() == digest.hex():
        return
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            _check_members(artifact, opened)
            for member in opened.infolist():
                _extract(artifact, opened, member, fresh)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DocumentError(artifact.place, f"{artifact.file_name}: no ZIP that can be read: {error}") from error
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    mark.write_text(digest.hex())


def _check_members(artifact: Artifact, opened: zipfile.ZipFile) -> None:
    members = opened.infolist()
    if len(members) > MEMBERS_LIMIT or sum(member.file_size for member in members) > UNPACKED_LIMIT_BYTES:
        raise DocumentError(artifact.place, f"{artifact.file_name}: unpacks to more than {UNPACKED_LIMIT_BYTES} bytes")
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or not name.parts or "\0" in member.filename:
            raise DocumentError(
                artifact.place, f"{artifact.file_name}: {member.filename!r} would be written outside its folder"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise DocumentError(artifact.place, f"{artifact.file_name}: {member.filename!r} is a symbolic link")


def _extract(artifact: Artifact, opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*PurePosixPath(member.filename.replace("\\", "/")).parts)
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file, CHUNK_BYTES)
    if (member.external_attr >> 16) & stat.S_IXUSR:
        target.chmod(0o755)
    _permit(target, artifact)


_READ: dict[Access, int] = {"OWNER": stat.S_IRUSR, "NONE": 0, "ALL": stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH}
_EXECUTE: dict[Access, int] = {"OWNER": stat.S_IXUSR, "NONE": 0, "ALL": stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH}


def _permit(path: Path, artifact: Artifact) -> None:
    """The recipe's permissions, on top of what an archive says may be executed. We must read and replace it in any case."""
    already = stat.S_IMODE(os.stat(path).st_mode) & stat.S_IXUSR
    path.chmod(_READ[artifact.read] | _EXECUTE[artifact.execute] | already | stat.S_IRUSR | stat.S_IWUSR)
