"""Which version of which component runs, and in what order: dependencies of recipes against what a deployment wants."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edgechess_nucleus.deployment import Deployment
from edgechess_nucleus.documents import DocumentError, Place
from edgechess_nucleus.flavour import Flavour
from edgechess_nucleus.recipe import SUFFIXES, Dependency, Kind, Recipe, read_recipe
from edgechess_nucleus.versions import Range, Version

Recipes = Mapping[str, Sequence[Recipe]]


@dataclasses.dataclass(frozen=True, slots=True)
class Requirement:
    """Somebody wants a version of a component; `by` is the deployment or a component, for the message."""

    place: Place
    by: str
    range: Range | None


def read_recipes(folder: Path, flavour: Flavour | None) -> dict[str, list[Recipe]]:
    """Every recipe in the folder, by component, newest version first. Other folders inside are not looked into.

    Raises DocumentError: a recipe that does not parse, two of one version, or no folder.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    except OSError as error:
        raise DocumentError(Place(folder, 1, 1), f"no folder of recipes: {error.strerror}") from error
    found: dict[str, list[Recipe]] = {}
    for file in files:
        recipe = read_recipe(file, flavour)
        others = found.setdefault(recipe.name, [])
        for other in others:
            if other.version == recipe.version:
                raise DocumentError(recipe.place, f"{recipe.name} {recipe.version} is also in {other.file}")
        others.append(recipe)
    for recipes in found.values():
        recipes.sort(key=lambda recipe: recipe.version, reverse=True)
    return found


def resolve(deployment: Deployment, recipes: Recipes) -> tuple[Recipe, ...]:
    """The recipes to run, each after its dependencies; components that nothing orders stand in the document's order.

    A SOFT dependency without a recipe is left out, as is one that only a cycle could order. Raises DocumentError naming
    the component, where it is wanted, and why it cannot be: no recipe, no version, a cycle.
    """
    return _ordered(_choose(deployment, recipes))


def _choose(deployment: Deployment, recipes: Recipes) -> dict[str, Recipe]:
    """One version of each component that satisfies everybody. Versions only fall from round to round, so it ends."""
    chosen: dict[str, Recipe] = {}
    highest: dict[str, Version] = {}
    while True:
        wants = _requirements(deployment, chosen.values(), recipes)
        now = {name: _newest(name, wants[name], recipes, highest.get(name)) for name in wants}
        if now == chosen:
            return chosen
        chosen = now
        highest |= {name: recipe.version for name, recipe in now.items()}


def _requirements(deployment: Deployment, chosen: Iterable[Recipe], recipes: Recipes) -> dict[str, list[Requirement]]:
    wants: dict[str, list[Requirement]] = {}
    for wanted in deployment.components:
        wants.setdefault(wanted.name, []).append(Requirement(wanted.place, "the deployment", wanted.version))
    for recipe in chosen:
        for dependency in recipe.dependencies:
            if dependency.kind == "SOFT" and dependency.name not in recipes:
                continue
            by = f"{recipe.name} {recipe.version}"
            wants.setdefault(dependency.name, []).append(Requirement(dependency.place, by, dependency.requirement))
    return wants


def _newest(name: str, wants: Sequence[Requirement], recipes: Recipes, at_most: Version | None) -> Recipe:
    if name not in recipes:
        known = ", ".join(recipes) or "none"
        raise DocumentError(
            wants[0].place, f"{name}: {wants[0].by} wants it, and no recipe is called so (there are: {known})"
        )
    for recipe in recipes[name]:
        if at_most is not None and recipe.version > at_most:
            continue
        if all(want.range is None or want.range.allows(recipe.version) for want in wants):
            return recipe
    told = ", ".join(f"{want.by} wants {want.range} ({want.place})" for want in wants if want.range is not None)
    versions: list[Version] = [recipe.version for recipe in recipes[name]]
    there = ", ".join(map(str, versions))
    raise DocumentError(wants[-1].place, f"{name}: no version satisfies everybody: {told}; there are {there}")


def _ordered(chosen: Mapping[str, Recipe]) -> tuple[Recipe, ...]:
    waiting = dict(chosen)
    order: list[Recipe] = []
    while waiting:
        ready = _first_ready(waiting, ("HARD", "SOFT")) or _first_ready(waiting, ("HARD",))
        if ready is None:
            raise _circle(waiting)
        order.append(waiting.pop(ready))
    return tuple(order)


def _first_ready(waiting: Mapping[str, Recipe], kinds: tuple[Kind, ...]) -> str | None:
    return next((name for name, recipe in waiting.items() if not _open(recipe, waiting, kinds)), None)


def _open(recipe: Recipe, waiting: Mapping[str, Recipe], kinds: tuple[Kind, ...]) -> list[Dependency]:
    return [d for d in recipe.dependencies if d.kind in kinds and d.name in waiting]


def _circle(waiting: Mapping[str, Recipe]) -> DocumentError:
    """Follows HARD dependencies, each of which is still waiting, until one comes again."""
    path = [next(iter(waiting))]
    while True:
        dependency = _open(waiting[path[-1]], waiting, ("HARD",))[0]
        path.append(dependency.name)
        if dependency.name in path[:-1]:
            circle = " -> ".join(path[path.index(dependency.name) :])
            return DocumentError(dependency.place, f"dependencies go round in a circle: {circle}")
