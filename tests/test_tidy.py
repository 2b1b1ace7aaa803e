"""The walls of the house: who imports whom, protocol modules without I/O, every import declared by its own package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECTS = sorted(
    path.parent for path in ROOT.glob("**/pyproject.toml") if ".venv" not in path.parts and path.parent != ROOT
)
PACKAGES = {next((project / "src").iterdir()).name: project for project in PROJECTS}

# DESIGN: components -> kit and the device rooms they serve; twin -> board and robots (never a driver); cli -> anything.
MAY_IMPORT: dict[str, set[str]] = {
    "edgechess_board": set(),
    "edgechess_robots": set(),
    "edgechess_inference": set(),
    "edgechess_twin": {"edgechess_board", "edgechess_robots"},
    "edgechess_kit": set(),
    "edgechess_game_manager": {"edgechess_kit"},
    "edgechess_board_sensor": {"edgechess_kit", "edgechess_board"},
    "edgechess_arm_controller": {"edgechess_kit", "edgechess_robots"},
    "edgechess_match_director": {"edgechess_kit", "edgechess_inference"},
    "edgechess_inference_node": {"edgechess_kit", "edgechess_inference"},
    "edgechess_console": {"edgechess_kit"},
    "edgechess_nucleus": set(),
    "edgechess_training": {"edgechess_inference"},
    "edgechess_cli": set(PACKAGES),
}
NOT_FOR_THE_TWIN = re.compile(r"driver|adapter|\.tcp$")
PROTOCOL = re.compile(r"(^|_)protocol\.py$")
NO_IO = {
    "time",
    "datetime",
    "threading",
    "socket",
    "logging",
    "asyncio",
    "anyio",
    "trio",
    "select",
    "subprocess",
    "random",
}
ONLY_IN_ADAPTERS = {"asyncio", "threading", "aiomqtt", "paho", "serial", "awsiot", "awscrt", "concurrent", "amqtt"}
BROAD = {"Exception", "BaseException"}
DISTRIBUTION = {
    "serial": "pyserial",
    "paho": "paho-mqtt",
    "yaml": "pyyaml",
    "awsiot": "awsiotsdk",
    "awscrt": "awsiotsdk",
    "botocore": "boto3",
}  # where the import name is not the distribution's
IMPORT_ONLY = {"trio": {"virtual_time.py"}}  # the one file that seeds the scheduler


def sources(package: str) -> list[Path]:
    return sorted((PACKAGES[package] / "src" / package).rglob("*.py"))


def imports(path: Path) -> list[str]:
    """Absolute module names that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.append(node.module or "")
    return names


def every_source() -> list[Path]:
    return [path for package in PACKAGES for path in sources(package)]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_room_is_in_the_table() -> None:
    assert set(PACKAGES) == set(MAY_IMPORT)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_who_imports_whom(package: str) -> None:
    for path in sources(package):
        for name in imports(path):
            room = name.split(".")[0]
            if room.startswith("edgechess_") and room != package:
                assert room in MAY_IMPORT[package], f"{named(path)} imports {name}"


def test_the_twin_never_imports_a_driver() -> None:
    for path in sources("edgechess_twin"):
        for name in imports(path):
            if name.startswith(("edgechess_board", "edgechess_robots")):
                assert not NOT_FOR_THE_TWIN.search(name), f"{named(path)} imports {name}"


def test_protocol_modules_have_no_io_no_clock_and_no_third_party() -> None:
    found = [path for path in every_source() if PROTOCOL.search(path.name)]
    assert found
    for path in found:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree)), named(path)
        for name in imports(path):
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names or top.startswith("edgechess_"), f"{named(path)} imports {name}"
            assert top not in NO_IO, f"{named(path)} imports {name}"


def test_what_only_asyncio_or_a_thread_can_do_lives_in_adapters() -> None:
    for path in every_source():
        if path.name.endswith("_adapter.py"):
            continue
        for name in imports(path):
            assert name.split(".")[0] not in ONLY_IN_ADAPTERS, f"{named(path)} imports {name}"
            only = IMPORT_ONLY.get(name.split(".")[0])
            assert only is None or path.name in only, f"{named(path)} imports {name}"


def test_one_broad_except_in_the_whole_system() -> None:
    broad = []
    for path in every_source():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "Exception"
                if any(word in BROAD for word in re.findall(r"\w+", caught)):
                    broad.append(named(path))
    assert broad == ["greengrass-components/component-kit/src/edgechess_kit/supervision.py"], broad


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_every_third_party_import_is_declared_by_its_own_package(package: str) -> None:
    project = tomllib.loads((PACKAGES[package] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    declared = {re.split(r"[\[<>=!~ ]", text)[0].lower() for texts in lists for text in texts}
    own = project["name"]
    for path in sources(package):
        for name in imports(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top == package:
                continue
            distribution = DISTRIBUTION.get(top, top.replace("_", "-"))
            assert distribution in declared, f"{named(path)} imports {name}, which {own} does not declare"


@pytest.mark.parametrize("package", ["edgechess_game_manager", "edgechess_console"])
def test_manager_and_console_install_without_torch_numpy_or_a_serial_library(package: str) -> None:
    """What it imports, transitively, holds none of them: asked of a fresh interpreter."""
    program = (
        f"import sys, importlib, pkgutil, {package} as package\n"
        "for module in pkgutil.iter_modules(package.__path__):\n"
        "    if module.name != '__main__': importlib.import_module(package.__name__ + '.' + module.name)\n"
        "print([name for name in ('torch', 'numpy', 'serial') if name in sys.modules])\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_file_names_say_what_is_inside() -> None:
    for path in every_source():
        assert not re.search(r"(^|_)(utils?|helpers?|misc|common)\.py$", path.name), named(path)
    for folder in (ROOT, *(project for project in PROJECTS)):
        assert not (folder / "__init__.py").exists(), f"{folder} is no package"


def test_no_lock_file_and_no_address_of_a_registry_is_committed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert "uv.lock" not in tracked
    assert not re.search(r"https?://|file:|@ ", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
