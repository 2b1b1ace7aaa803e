"""What a deployment consists of: recipes and artifacts of a built folder, a document, and what has to be reset.

A device that ran an older version keeps that version's defaults, accessControl included: new defaults only fill what
is not there (reference "greengrass-recipes", configuration merge). So whatever a new version changes must be reset.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgechess_cli.built_folder import BuiltError, BuiltFolder
from edgechess_cli.component_catalogue import room_of
from edgechess_cli.recipe_check_configuration import ACCESS_CONTROL
from edgechess_cli.recipe_text import PLACEHOLDER_BUCKET
from edgechess_nucleus.deployment import Deployment, Wanted, read_deployment
from edgechess_nucleus.documents import DocumentError, read_document
from edgechess_nucleus.recipe import Recipe

JsonObject = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """One component of ours as it is to be registered. `files` are its artifacts."""

    recipe: Recipe
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def version(self) -> str:
        return str(self.recipe.version)

    @property
    def defaults(self) -> JsonObject:
        return self.recipe.defaults.data() if self.recipe.defaults is not None else {}

    def key(self, file: Path) -> str:
        """In the bucket, as the recipe's Uri has it."""
        return f"{self.name}/{self.version}/{file.name}"

    def registered(self, bucket: str) -> JsonObject:
        """The recipe with the bucket's name, without digests: the service takes its own."""
        recipe: JsonObject = copy.deepcopy(self.recipe.root.data())
        for manifest in recipe.get("Manifests", []):
            for artifact in manifest.get("Artifacts", []):
                artifact["Uri"] = artifact["Uri"].replace(f"s3://{PLACEHOLDER_BUCKET}/", f"s3://{bucket}/", 1)
                for name in ("Digest", "Algorithm"):
                    artifact.pop(name, None)
        return recipe


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """`releases` are those that the document names; `raw` is the document as plain JSON."""

    deployment: Deployment
    raw: Mapping[str, Any]
    releases: tuple[Release, ...]

    def components(self, resets: Mapping[str, list[str]]) -> JsonObject:
        """As `create_deployment` takes them. `resets` are added to the document's own."""
        versions = {release.name: release.version for release in self.releases}
        return {wanted.name: _entry(wanted, versions, resets) for wanted in self.deployment.components}


def read_plan(document: Path, built: BuiltFolder, version: str) -> Plan:
    """Raises DocumentError or BuiltError: a component of ours that is not built, an artifact that is missing."""
    deployment = read_deployment(document)
    recipes = {recipe.name: recipe for recipe in built.read(version)}
    releases = []
    for wanted in deployment.components:
        recipe = recipes.get(wanted.name)
        if recipe is not None:
            releases.append(Release(recipe, tuple(built.files_of(recipe))))
        elif room_of(wanted.name) is not None:
            what = f"{wanted.name}{f' {version}' if version else ''} is not in {built.root}"
            raise DocumentError(wanted.place, f"{what}: run edgechess build {wanted.name.rpartition('.')[2]}")
    if not releases:
        raise BuiltError(f"{document} names none of the components in {built.root}")
    return Plan(deployment, read_document(document).data(), tuple(releases))


def _entry(wanted: Wanted, versions: Mapping[str, str], resets: Mapping[str, list[str]]) -> JsonObject:
    entry: JsonObject = {
        "componentVersion": versions.get(wanted.name) or (wanted.version.text if wanted.version else "")
    }
    if not entry["componentVersion"]:
        raise DocumentError(wanted.place, f"{wanted.name}: componentVersion is missing: the cloud takes an exact one")
    update: JsonObject = {}
    if wanted.update.merge:
        update["merge"] = json.dumps(wanted.update.merge, separators=(",", ":"))
    reset = list(dict.fromkeys([*wanted.update.reset, *resets.get(wanted.name, [])]))
    if reset:
        update["reset"] = reset
    return entry | ({"configurationUpdate": update} if update else {})


def resets(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The pointers that a new version's defaults need: changed and gone, each as deep as it goes.

    Policies go as a whole: half an old policy beside half a new one allows what neither did. What is only added needs
    nothing.
    """
    found = [pointer for pointer in _changed(old, new, "") if not pointer.startswith(f"/{ACCESS_CONTROL}")]
    if ACCESS_CONTROL in old and old[ACCESS_CONTROL] != new.get(ACCESS_CONTROL):
        found.append(f"/{ACCESS_CONTROL}")
    return sorted(found)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], above: str) -> Iterator[str]:
    for key, value in old.items():
        pointer = f"{above}/{key.replace('~', '~0').replace('/', '~1')}"
        other = new.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            yield from _changed(value, other, pointer)
        elif key not in new or other != value:
            yield pointer


def defaults_in(recipe: Mapping[str, Any]) -> JsonObject:
    """Of a recipe as the service gives it back."""
    part = recipe.get("ComponentConfiguration")
    defaults = part.get("DefaultConfiguration") if isinstance(part, Mapping) else None
    return dict(defaults) if isinstance(defaults, Mapping) else {}
