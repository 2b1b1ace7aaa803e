"""The same artifacts without a cloud: handed to our runtime, or laid out for `greengrass-cli` and `ggl-cli` on a core."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgechess_cli.built_folder import BuiltFolder
from edgechess_cli.deploy_plan import Plan, Release
from edgechess_nucleus.deployment import overlaid

CORE_FOLDER = "/greengrass/v2"  # where the Java nucleus is installed, unless somebody said otherwise


def up_command(document: Path, built: BuiltFolder, root: Path | None, flavour: str | None) -> list[str]:
    """Our runtime, with what was built. None: as `edgechess up` has it."""
    words = ["up", str(document), "--recipes", str(built.recipes), "--artifacts", str(built.artifacts)]
    words += ["--root", str(root)] if root is not None else []
    words += ["--flavour", flavour] if flavour is not None else []
    return [sys.executable, "-m", "edgechess_cli.main", *words]


def lay_out(plan: Plan, out: Path, *, lite: bool) -> list[str]:
    """Fills `out` with recipes/ and artifacts/, and says the command to run on the core device.

    `lite`: ggl-cli takes no configuration, so what the document merges becomes the recipe's default.
    """
    folder = BuiltFolder(out)
    for release in plan.releases:
        _copy(release, folder, _merge_of(plan, release.name) if lite else None)
    return _ggl_cli(plan, folder) if lite else _greengrass_cli(plan, folder)


def _copy(release: Release, folder: BuiltFolder, merge: dict[str, Any] | None) -> None:
    target = folder.artifacts / release.name / release.version
    target.mkdir(parents=True, exist_ok=True)
    folder.recipes.mkdir(parents=True, exist_ok=True)
    for file in release.files:
        shutil.copyfile(file, target / file.name)
    stem = f"{release.name}-{release.version}"
    for old in folder.recipes.glob(f"{stem}.*"):
        old.unlink()
    if merge is None:
        shutil.copyfile(release.recipe.file, folder.recipes / f"{stem}{release.recipe.file.suffix}")
        return
    recipe = release.recipe.root.data()
    recipe.setdefault("ComponentConfiguration", {})["DefaultConfiguration"] = overlaid(release.defaults, merge)
    (folder.recipes / f"{stem}.json").write_text(json.dumps(recipe, indent=1, ensure_ascii=False), encoding="utf-8")


def _merge_of(plan: Plan, name: str) -> dict[str, Any]:
    return next(dict(one.update.merge) for one in plan.deployment.components if one.name == name)


def _greengrass_cli(plan: Plan, folder: BuiltFolder) -> list[str]:
    words = ["sudo", f"{CORE_FOLDER}/bin/greengrass-cli", "deployment", "create"]
    words += ["--recipeDir", str(folder.recipes), "--artifactDir", str(folder.artifacts)]
    update = {
        wanted.name: {"MERGE": dict(wanted.update.merge), "RESET": list(wanted.update.reset)}
        for wanted in plan.deployment.components
        if wanted.update.merge or wanted.update.reset
    }
    for name, entry in plan.components({}).items():
        words += ["--merge", f"{name}={entry['componentVersion']}"]
    return [*words, *(["--update-config", json.dumps(update, separators=(",", ":"))] if update else [])]


def _ggl_cli(plan: Plan, folder: BuiltFolder) -> list[str]:
    words = ["sudo", "ggl-cli", "deploy", "--recipe-dir", str(folder.recipes), "--artifacts-dir", str(folder.artifacts)]
    return [*words, *(word for one in plan.releases for word in ("--add-component", f"{one.name}={one.version}"))]


def said(words: Sequence[str]) -> str:
    return shlex.join(words)
