"""Artifacts: found where the tools put them, checked, unpacked inside their folder and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import stat
import zipfile
from pathlib import Path

import pytest

from edgechess_nucleus.artifacts import FolderSource, install_artifacts
from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.interpolation import ComponentPaths
from edgechess_nucleus.recipe import Recipe, read_recipe

from .runtime_rig import write_recipe

URI = "- Uri: s3://bucket/a.B/1.0.0/code.zip\n  Unarchive: ZIP"


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "artifacts" / "a.B" / "1.0.0" / "code.zip"
        self.file.parent.mkdir(parents=True)
        self.paths = ComponentPaths(folder / "art", folder / "un", folder / "work")

    def recipe(self, artifacts: str = URI) -> Recipe:
        return read_recipe(write_recipe(self.folder / "recipes", "a.B", "run: x", artifacts=artifacts))

    def zip(self, members: dict[str, str], *, mode: int = 0o644) -> None:
        with zipfile.ZipFile(self.file, "w") as archive:
            for name, text in members.items():
                member = zipfile.ZipInfo(name)
                member.external_attr = mode << 16
                archive.writestr(member, text)

    def install(self, artifacts: str = URI) -> None:
        recipe = self.recipe(artifacts)
        install_artifacts(recipe, recipe.manifests[0], self.paths, FolderSource(self.folder / "artifacts"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_zip_is_unpacked_into_a_folder_of_its_name(bench: Bench) -> None:
    bench.zip({"install.sh": "hi", "lib/x.txt": "deep"}, mode=0o755)
    bench.install()
    assert (bench.paths.artifacts / "code.zip").is_file()
    unpacked = bench.paths.unarchived / "code"
    assert (unpacked / "lib" / "x.txt").read_text() == "deep"
    assert stat.S_IMODE((unpacked / "install.sh").stat().st_mode) == 0o700
    assert bench.paths.work.is_dir()


def test_a_new_archive_takes_the_place_of_the_old_one_whole(bench: Bench) -> None:
    bench.zip({"old": "1"})
    bench.install()
    marked = bench.paths.unarchived / "code" / "left-alone"
    marked.write_text("")
    bench.install()
    assert marked.exists(), "what did not change is not unpacked again"
    bench.zip({"new": "2"})
    bench.install()
    assert sorted(path.name for path in (bench.paths.unarchived / "code").iterdir()) == ["new"]


def test_permissions_are_the_recipes(bench: Bench) -> None:
    bench.zip({"tool": "x"})
    bench.install(URI + "\n  Permission: {Read: ALL, Execute: ALL}")
    assert stat.S_IMODE((bench.paths.unarchived / "code" / "tool").stat().st_mode) == 0o755


def test_a_digest_is_checked(bench: Bench) -> None:
    bench.zip({"x": "1"})
    digest = base64.b64encode(hashlib.sha256(bench.file.read_bytes()).digest()).decode()
    bench.install(f"{URI}\n  Digest: {digest}\n  Algorithm: SHA-256")
    bench.zip({"x": "2"})
    with pytest.raises(DocumentError, match=r"a\.B-1\.0\.0\.yaml:7: code\.zip: its SHA-256 is not the recipe's Digest"):
        bench.install(f"{URI}\n  Digest: {digest}")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "a\\..\\..\\evil"])
def test_nothing_is_written_outside_the_folder(bench: Bench, name: str) -> None:
    bench.zip({"good": "1", name: "2"})
    with pytest.raises(DocumentError, match="would be written outside its folder"):
        bench.install()
    assert not [path for path in bench.folder.rglob("*evil*") if path.is_file()]
    assert not (bench.paths.unarchived / "code").exists()


def test_a_link_in_an_archive_is_refused(bench: Bench) -> None:
    bench.zip({"link": "/etc/passwd"}, mode=stat.S_IFLNK | 0o777)
    with pytest.raises(DocumentError, match="is a symbolic link"):
        bench.install()


def test_what_is_no_zip_or_missing_is_said_with_its_line(bench: Bench) -> None:
    with pytest.raises(DocumentError, match=r"yaml:7: artifact code\.zip of a\.B is missing: no file .*code\.zip"):
        bench.install()
    bench.file.write_bytes(b"PK\x03\x04 no")
    with pytest.raises(DocumentError, match="no ZIP that can be read"):
        bench.install()
    with pytest.raises(DocumentError, match="unknown scheme ftp"):
        bench.install("- Uri: ftp://host/code.zip")
    recipe = bench.recipe()
    with pytest.raises(DocumentError, match="nothing is downloaded"):
        install_artifacts(recipe, recipe.manifests[0], bench.paths, FolderSource(None))


def test_a_file_uri_is_the_file(bench: Bench) -> None:
    (bench.folder / "my file.txt").write_text("here")
    bench.install(f"- Uri: file://{bench.folder}/my%20file.txt")
    assert (bench.paths.artifacts / "my%20file.txt").read_text() == "here"
