"""Artifacts for components that run from the installed workspace, so that a fresh clone needs no wheels.

A built artifact's `install.sh WORK` makes `WORK/venv` from its wheelhouse. The one made here has the same name, the
same layout and the same promise (`WORK/venv/bin/python` can import the component), and hands over to the interpreter
that runs this. So the recipe that is deployed to a core device is the one that runs here, line for line.
"""

from __future__ import annotations

import shlex
import sys
import zipfile
from pathlib import Path

from edgechess_nucleus.recipe import Artifact, Recipe

INSTALL = """\
#!/bin/sh
# Stands for the install script of a built artifact: instead of a venv, a launcher of the workspace's interpreter.
set -eu
rm -rf "$1/venv"
mkdir -p "$1/venv/bin"
cat > "$1/venv/bin/python" <<'END'
#!/bin/sh
exec {python} "$@"
END
chmod 755 "$1/venv/bin/python"
"""
MADE_AT = (1980, 1, 1, 0, 0, 0)  # the earliest that ZIP knows: the same text makes the same file


class WorkspaceSource:
    """An ArtifactSource: makes each artifact that is asked for, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, recipe: Recipe, artifact: Artifact) -> Path:
        path = self._folder / recipe.name / str(recipe.version) / artifact.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo("install.sh", MADE_AT), INSTALL.format(python=shlex.quote(sys.executable)))
        return path
