"""What a new deployment means for components that run: who ends, who starts, who goes on with another configuration.

A component starts afresh when its version, its artifacts or a script of its has changed, variables filled in; so a
changed value reaches a running process only where a script names it. Every other change of configuration is told to
those who subscribed to it. Who depends HARD on one that starts afresh stands still meanwhile. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from edgechess_nucleus.configuration import KeyPath
from edgechess_nucleus.deployed import Deployed
from edgechess_nucleus.interpolation import Variables


@dataclasses.dataclass(frozen=True, slots=True)
class Changes:
    """Names of components. `held` are kept, and stand still while what they need is away; of those that are kept
    `configured` have another configuration (known once it is in force)."""

    removed: tuple[str, ...]
    replaced: tuple[str, ...]
    added: tuple[str, ...]
    held: tuple[str, ...]
    configured: tuple[str, ...] = ()

    @property
    def ending(self) -> tuple[str, ...]:
        return (*self.removed, *self.replaced)

    @property
    def beginning(self) -> tuple[str, ...]:
        return (*self.replaced, *self.added)

    @property
    def started(self) -> tuple[str, ...]:
        """Afresh, or again."""
        return (*self.beginning, *self.held)


Filled = tuple[Deployed, Variables]


def changes(running: Mapping[str, Filled], wanted: Mapping[str, Filled], down: Collection[str]) -> Changes:
    """`wanted` in the order of dependencies. `down`: those that do not run any more, and get another chance."""
    replaced = tuple(
        name for name in wanted if name in running and (name in down or _other(running[name], wanted[name]))
    )
    held: list[str] = []
    for name, (deployed, _) in wanted.items():
        needs = {one.name for one in deployed.recipe.dependencies if one.kind == "HARD"}
        if name in running and name not in replaced and not needs.isdisjoint((*replaced, *held)):
            held.append(name)
    return Changes(
        removed=tuple(name for name in running if name not in wanted),
        replaced=replaced,
        added=tuple(name for name in wanted if name not in running),
        held=tuple(held),
    )


def _other(running: Filled, wanted: Filled) -> bool:
    (before, _), (after, _) = running, wanted
    return (
        before.recipe.version != after.recipe.version
        or before.artifacts != after.artifacts
        or _scripts(*running) != _scripts(*wanted)
    )


def _scripts(deployed: Deployed, variables: Variables) -> list[object]:
    """All that a shell is given, whatever line it stands in."""

    def fill(text: str | None) -> str | None:
        return None if text is None else variables.fill(text).text

    def fill_all(pairs: tuple[tuple[str, str], ...]) -> list[object]:
        return [(name, fill(value)) for name, value in pairs]

    lifecycle = deployed.lifecycle
    return [
        fill_all(lifecycle.setenv),
        *(
            (step.name, fill(step.script), fill(step.timeout), fill(step.skip_if), fill_all(step.setenv))
            for step in lifecycle.steps
        ),
    ]


def differing_keys(before: Mapping[str, Any], after: Mapping[str, Any], above: KeyPath = ()) -> list[KeyPath]:
    """The leaves whose value is another now, and what is gone as a whole."""
    found: list[KeyPath] = []
    for name in (*after, *(name for name in before if name not in after)):
        old, new, path = before.get(name), after.get(name), (*above, name)
        if isinstance(new, Mapping) and (isinstance(old, Mapping) or new):
            found += differing_keys(old if isinstance(old, Mapping) else {}, new, path)
        elif name not in before or name not in after or old != new or type(old) is not type(new):
            found.append(path)
    return found
