"""The folder that `edgechess build` fills and `deploy` and `up` read: the layout that greengrass-cli, ggl-cli and GDK share.

recipes/<name>-<version>.yaml
artifacts/<name>/<version>/<Short>-<architecture>.zip
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgechess_cli.artifact import digest_of
from edgechess_cli.component_catalogue import Room
from edgechess_cli.recipe_text import BOTH, Built, artifact_stem
from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.recipe import SUFFIXES, Recipe, read_recipe
from edgechess_nucleus.versions import Version


class BuiltError(Exception):
    """The folder is not what it should be; the text says what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class BuiltFolder:
    root: Path

    @property
    def recipes(self) -> Path:
        return self.root / "recipes"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    def recipe_path(self, component: str, version: str) -> Path:
        return self.recipes / f"{component}-{version}.yaml"

    def artifact_path(self, room: Room, component: str, version: str, architecture: str) -> Path:
        return self.artifacts / component / version / f"{artifact_stem(room, architecture)}.zip"

    def built(self, room: Room, component: str, version: str) -> list[Built]:
        """What is there of one version, with its digest, in the order of recipes."""
        paths = ((one.architecture, self.artifact_path(room, component, version, one.architecture)) for one in BOTH)
        return [Built(architecture, digest_of(path)) for architecture, path in paths if path.is_file()]

    def read(self, version: str = "") -> list[Recipe]:
        """The newest recipe of each component, or those of one version. Raises BuiltError or DocumentError."""
        files = sorted(path for path in self.recipes.glob("*") if path.suffix in SUFFIXES)
        newest: dict[str, Recipe] = {}
        for recipe in map(read_recipe, files):
            known = newest.get(recipe.name)
            if version in ("", str(recipe.version)) and (known is None or known.version < recipe.version):
                newest[recipe.name] = recipe
        if not newest:
            wanted = f" of version {version}" if version else ""
            raise BuiltError(f"{self.recipes}: no recipe{wanted}: run edgechess build --out {self.root} first")
        return [newest[name] for name in sorted(newest)]

    def files_of(self, recipe: Recipe) -> list[Path]:
        """The artifacts of a recipe. Raises DocumentError: missing, or another file than the recipe's Digest says."""
        found = []
        for artifact in (one for manifest in recipe.manifests for one in manifest.artifacts):
            path = self.artifacts / recipe.name / str(recipe.version) / artifact.file_name
            if not path.is_file():
                raise DocumentError(artifact.place, f"artifact {path} is missing: run edgechess build again")
            if artifact.digest is not None and digest_of(path) != artifact.digest:
                raise DocumentError(artifact.place, f"{path} is not the file whose Digest is here: build again")
            found.append(path)
        return found

    def versions(self, component: str) -> list[Version]:
        return sorted(recipe.version for recipe in map(read_recipe, self.recipes.glob(f"{component}-*")))
