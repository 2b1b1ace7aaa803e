"""What machine this is, and which manifest of a recipe is for it. Source: reference "greengrass-recipes", Platform."""

from __future__ import annotations

import dataclasses
import platform as machine
import re
import sys
from collections.abc import Mapping

from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.flavour import LITE, Flavour
from edgechess_nucleus.recipe import Manifest, Recipe

ARCHITECTURES = {  # what the kernel says -> what Greengrass says (arm64 is not one of its words)
    "x86_64": "amd64",
    "amd64": "amd64",
    "i386": "x86",
    "i686": "x86",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "armv6l": "arm",
    "armv7l": "arm",
}
LITE_RUNTIME = "aws_nucleus_lite"


@dataclasses.dataclass(frozen=True, slots=True)
class Platform:
    """Attributes of a core device by their names in recipes. `runtime` None: the Java nucleus, which has no name."""

    attributes: Mapping[str, str]
    runtime: str | None

    def describe(self) -> str:
        told = [f"{name} {value}" for name, value in self.attributes.items()]
        return ", ".join([*told, f"runtime {self.runtime}" if self.runtime else "the Java nucleus"])


def this_platform(flavour: Flavour) -> Platform:
    system = {"linux": "linux", "darwin": "darwin", "win32": "windows"}.get(sys.platform, sys.platform)
    kernel = machine.machine().lower()
    attributes = {"os": system, "architecture": ARCHITECTURES.get(kernel, kernel), "architecture.detail": kernel}
    return Platform(attributes, LITE_RUNTIME if flavour is LITE else None)


def manifest_for(recipe: Recipe, platform: Platform) -> Manifest:
    """The first manifest that matches. Raises DocumentError naming why none does."""
    for manifest in recipe.manifests:
        if mismatch(manifest, platform) is None:
            return manifest
    why = "; ".join(f"line {m.place.line}: {mismatch(m, platform)}" for m in recipe.manifests) or "it has none"
    raise DocumentError(recipe.place, f"{recipe.name}: no manifest for {platform.describe()} ({why})")


def mismatch(manifest: Manifest, platform: Platform) -> str | None:
    """Why the manifest is not for the platform; None when it is."""
    wanted = dict(manifest.platform)
    runtime = wanted.pop("runtime", None)
    if platform.runtime is None:
        if runtime not in (None, "*"):
            return f"runtime {runtime}"
    elif runtime not in ("*", platform.runtime):
        # lite skips a manifest without this key: "No lifecycle was found for linux"
        return f'runtime {runtime or "is not given"}: nucleus lite needs "*" or {platform.runtime}'
    for name, value in wanted.items():
        if not _matches(value, platform.attributes.get(name)):
            return f"{name} {value}"
    return None


def _matches(wanted: str, actual: str | None) -> bool:
    if wanted in ("*", "all"):
        return True
    if actual is None:
        return False
    if len(wanted) > 1 and wanted.startswith("/") and wanted.endswith("/"):
        return re.fullmatch(wanted[1:-1], actual) is not None
    return wanted.lower() == actual.lower()
