"""From a deployment document and recipes to components that can be started: everything that can be wrong is found here.

Configuration, as the Java nucleus resolves it: what ran stays; RESET removes; the recipe's defaults fill what is not
there, as older than everything else; MERGE overlays. So the changed defaults of a new version do not reach a place
where the old ones ran, unless they are reset. Source: reference "greengrass-recipes", configuration merge.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgechess_nucleus.artifacts import ArtifactSource, install_artifacts
from edgechess_nucleus.configuration import DEFAULTS_TIMESTAMP_MS, Configuration, ConfigurationError, KeyPath
from edgechess_nucleus.deployment import ConfigurationUpdate, Deployment
from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.interpolation import ComponentPaths
from edgechess_nucleus.platform import manifest_for, this_platform
from edgechess_nucleus.recipe import Lifecycle, Manifest, Recipe
from edgechess_nucleus.resolution import read_recipes, resolve
from edgechess_nucleus.root_folder import RootFolder
from edgechess_nucleus.state import KeptComponent, KeptState


@dataclasses.dataclass(frozen=True, slots=True)
class Fetched:
    """A recipe and its manifest for this machine, with the SHA-256 of its artifacts, which are in their place."""

    recipe: Recipe
    manifest: Manifest
    artifacts: tuple[bytes, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Deployed:
    """One component, ready to be started. `configuration` is the live tree; `notes` are worth a line in its log."""

    recipe: Recipe
    manifest: Manifest
    artifacts: tuple[bytes, ...]
    lifecycle: Lifecycle
    paths: ComponentPaths
    configuration: Configuration
    bootstrapped: bool
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.recipe.name


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """`components` in the order of their dependencies."""

    deployment: Deployment
    fingerprint: str
    components: tuple[Deployed, ...]


def check(
    deployment: Deployment, recipes: Path, flavour: Flavour, source: ArtifactSource | None = None
) -> tuple[Recipe, ...]:
    """The recipes that `prepare` would take, in order; nothing is written. Raises DocumentError.

    With `source`, artifacts that are missing there are found out too.
    """
    found = resolve(deployment, read_recipes(recipes, flavour))
    platform = this_platform(flavour)
    for recipe in found:
        manifest = manifest_for(recipe, platform)
        if source is not None:
            for artifact in manifest.artifacts:
                source.fetch(recipe, artifact)
    return found


def prepare(
    deployment: Deployment,
    recipes: Path,
    root: RootFolder,
    kept: KeptState,
    source: ArtifactSource,
    *,
    flavour: Flavour,
    now_ms: int,
) -> Prepared:
    """Raises DocumentError with file and line: recipe, platform, dependency, version, artifact or configuration."""
    found = fetch(deployment, recipes, root, source, flavour)
    return configure(deployment, found, root, kept, flavour=flavour, now_ms=now_ms)


def fetch(
    deployment: Deployment, recipes: Path, root: RootFolder, source: ArtifactSource, flavour: Flavour
) -> tuple[Fetched, ...]:
    """What is to run, in order, its artifacts in their place. Touches nothing that runs. Raises as `prepare`."""
    platform = this_platform(flavour)
    found = []
    for recipe in check(deployment, recipes, flavour):
        manifest = manifest_for(recipe, platform)
        paths = root.paths_of(recipe.name, recipe.version)
        found.append(Fetched(recipe, manifest, install_artifacts(recipe, manifest, paths, source)))
    return tuple(found)


def configure(
    deployment: Deployment,
    found: Sequence[Fetched],
    root: RootFolder,
    kept: KeptState,
    *,
    flavour: Flavour,
    now_ms: int,
) -> Prepared:
    """Every component with the configuration that follows from what was kept. Raises DocumentError."""
    fingerprint = _fingerprint(deployment, [one.recipe for one in found])
    updates = {wanted.name: wanted.update for wanted in deployment.components}
    same = fingerprint == kept.deployment

    def one(fetched: Fetched) -> Deployed:
        name = fetched.recipe.name
        update = ConfigurationUpdate() if same else updates.get(name, ConfigurationUpdate())
        return _deployed(fetched, root, kept.components.get(name), update, flavour, now_ms)

    return Prepared(deployment, fingerprint, tuple(one(fetched) for fetched in found))


def _fingerprint(deployment: Deployment, recipes: Sequence[Recipe]) -> str:
    told = {
        "versions": {recipe.name: str(recipe.version) for recipe in recipes},
        "updates": {
            wanted.name: {"merge": wanted.update.merge, "reset": wanted.update.reset}
            for wanted in deployment.components
        },
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _deployed(
    fetched: Fetched,
    root: RootFolder,
    kept: KeptComponent | None,
    update: ConfigurationUpdate,
    flavour: Flavour,
    now_ms: int,
) -> Deployed:
    recipe = fetched.recipe
    running = None if kept is None else kept.configuration
    try:
        configuration = resolve_configuration(recipe, running, update, flavour, now_ms)
    except ConfigurationError as error:
        raise DocumentError(recipe.place, f"{recipe.name}: configuration: {error}") from error
    return Deployed(
        recipe=recipe,
        manifest=fetched.manifest,
        artifacts=fetched.artifacts,
        lifecycle=recipe.lifecycle_of(fetched.manifest),
        paths=root.paths_of(recipe.name, recipe.version),
        configuration=configuration,
        bootstrapped=kept is not None and kept.bootstrapped and kept.version == str(recipe.version),
        notes=(*recipe.notes, *_unreached(recipe, configuration, flavour)),
    )


def resolve_configuration(
    recipe: Recipe, running: Mapping[str, Any] | None, update: ConfigurationUpdate, flavour: Flavour, now_ms: int
) -> Configuration:
    """`running` is the stamped tree that was kept. Raises ConfigurationError."""
    defaults = _defaults(recipe, flavour)
    configuration = Configuration.of_stamped(running or {}, fold_case=flavour.fold_case)
    configuration.reset(update.reset, defaults)
    configuration.add_defaults(defaults)
    configuration.merge((), update.merge, now_ms)
    return configuration


def _defaults(recipe: Recipe, flavour: Flavour) -> dict[str, Any]:
    if recipe.defaults is None:
        return {}
    defaults: dict[str, Any] = recipe.defaults.data(lose_types=flavour.yaml_scalars_are_text)
    return defaults


def _unreached(recipe: Recipe, configuration: Configuration, flavour: Flavour) -> Iterator[str]:
    """Defaults that changed in the recipe while an older one stays in force."""
    for path, default in _leaves(_defaults(recipe, flavour), ()):
        try:
            stale = configuration.timestamp_ms(path) == DEFAULTS_TIMESTAMP_MS and configuration.get(path) != default
        except KeyError:
            continue
        if stale:
            pointer = "".join(f"/{key}" for key in path)
            yield f"the recipe's new default of {pointer} does not reach a running configuration: reset {pointer}"


def _leaves(tree: Mapping[str, Any], above: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value
