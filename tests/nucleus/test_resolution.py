"""Which recipes run, in what order, with what configuration and what in place of their variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgechess_nucleus.configuration import Configuration
from edgechess_nucleus.deployed import resolve_configuration
from edgechess_nucleus.deployment import ConfigurationUpdate, Deployment, read_deployment
from edgechess_nucleus.documents import DocumentError
from edgechess_nucleus.flavour import JAVA, LITE
from edgechess_nucleus.interpolation import ComponentPaths, Variables
from edgechess_nucleus.recipe import Recipe, read_recipe
from edgechess_nucleus.resolution import read_recipes, resolve

from .runtime_rig import write_recipe


class Shelf:
    """A folder of recipes, and what a deployment of some of them comes to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, version: str = "1.0.0", **needs: str) -> Path:
        """`b="^1.0.0"` needs it HARD, `b="~ ^1.0.0"` SOFT."""
        lines = []
        for other, wanted in needs.items():
            kind = "SOFT" if wanted.startswith("~ ") else "HARD"
            lines.append(f'  {other}: {{VersionRequirement: "{wanted.removeprefix("~ ")}", DependencyType: {kind}}}')
        head = "ComponentDependencies:\n" + "\n".join(lines) if lines else ""
        return write_recipe(self.folder, name, "run: x", version=version, head=head)

    def deploy(self, text: str) -> list[str]:
        path = self.folder.parent / "deployment.yaml"
        path.write_text("components:\n" + text, encoding="utf-8")
        chosen = resolve(read_deployment(path), read_recipes(self.folder, JAVA))
        return [f"{recipe.name} {recipe.version}" for recipe in chosen]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "recipes")


def test_dependencies_come_first_in_the_newest_version_that_suits_everybody(shelf: Shelf) -> None:
    shelf.put("app", b=">=1.0.0", c="^1.0.0")
    shelf.put("b", "1.0.0")
    shelf.put("b", "1.5.0")
    shelf.put("b", "2.0.0")
    shelf.put("c", b="<2.0.0")
    assert shelf.deploy("  app: {}\n") == ["b 1.5.0", "c 1.0.0", "app 1.0.0"]
    assert shelf.deploy("  b: {componentVersion: 1.0.0}\n  app: {}\n") == ["b 1.0.0", "c 1.0.0", "app 1.0.0"]


def test_soft_dependencies_order_when_they_can(shelf: Shelf) -> None:
    shelf.put("a", b="~ *", nowhere="~ *")
    shelf.put("b", c="*")
    shelf.put("c")
    assert shelf.deploy("  a: {}\n  b: {}\n") == ["c 1.0.0", "b 1.0.0", "a 1.0.0"]
    shelf.put("c", a="~ *")  # a circle with SOFT parts: HARD ones hold
    assert shelf.deploy("  a: {}\n  b: {}\n") == ["a 1.0.0", "c 1.0.0", "b 1.0.0"]


def test_a_circle_is_named(shelf: Shelf) -> None:
    shelf.put("a", b="*")
    shelf.put("b", c="*")
    path = shelf.put("c", b="*")
    with pytest.raises(DocumentError) as told:
        shelf.deploy("  a: {}\n")
    assert "dependencies go round in a circle: b -> c -> b" in str(told.value)
    assert str(told.value).startswith(f"{path}:5: ")


def test_what_is_missing_is_said_where_it_is_wanted(shelf: Shelf, tmp_path: Path) -> None:
    path = shelf.put("a", b="^1.0.0")
    with pytest.raises(DocumentError) as told:
        shelf.deploy("  a: {}\n")
    assert str(told.value) == f"{path}:5: b: a 1.0.0 wants it, and no recipe is called so (there are: a)"
    with pytest.raises(DocumentError, match=r"deployment\.yaml:2: z: the deployment wants it"):
        shelf.deploy("  z: {}\n")


def test_versions_that_do_not_go_together_are_all_named(shelf: Shelf) -> None:
    shelf.put("a", b="^2.0.0")
    shelf.put("b", "1.0.0")
    shelf.put("b", "2.0.0")
    with pytest.raises(DocumentError) as told:
        shelf.deploy("  b: {componentVersion: 1.0.0}\n  a: {}\n")
    text = str(told.value)
    assert "b: no version satisfies everybody: the deployment wants 1.0.0" in text
    assert "a 1.0.0 wants ^2.0.0" in text
    assert "there are 2.0.0, 1.0.0" in text


def test_folders_that_cannot_be(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no folder of recipes"):
        read_recipes(tmp_path / "none", JAVA)
    shelf.put("a").rename(shelf.folder / "other.yaml")
    shelf.put("a")
    with pytest.raises(DocumentError, match=r"a 1\.0\.0 is also in"):
        read_recipes(shelf.folder, JAVA)


# -- configuration -------------------------------------------------------------------------------------------------


def with_defaults(tmp_path: Path, defaults: str) -> Recipe:
    head = f"ComponentConfiguration:\n  DefaultConfiguration: {defaults}"
    return read_recipe(write_recipe(tmp_path, "a.B", "run: x", head=head))


def test_changed_defaults_reach_a_running_configuration_only_by_reset(tmp_path: Path) -> None:
    first = with_defaults(tmp_path, "{port: 1, mode: {fast: true}, gone: 1}")
    configuration = resolve_configuration(first, None, ConfigurationUpdate({"extra": 5}), JAVA, 1000)
    assert configuration.snapshot() == {"port": 1, "mode": {"fast": True}, "gone": 1, "extra": 5}

    second = with_defaults(tmp_path, "{port: 2, mode: {fast: false, new: 1}}")
    kept = configuration.stamped()
    again = resolve_configuration(second, kept, ConfigurationUpdate(), JAVA, 2000)
    assert again.snapshot() == {"port": 1, "mode": {"fast": True, "new": 1}, "gone": 1, "extra": 5}

    reset = resolve_configuration(second, kept, ConfigurationUpdate({"port": 9}, ("/mode", "/gone")), JAVA, 2000)
    assert reset.snapshot() == {"port": 9, "mode": {"fast": False, "new": 1}, "extra": 5}
    assert resolve_configuration(second, kept, ConfigurationUpdate({}, ("",)), JAVA, 2000).snapshot() == {
        "port": 2,
        "mode": {"fast": False, "new": 1},
    }


def test_java_folds_the_case_of_keys_and_lite_makes_text_of_yaml(tmp_path: Path) -> None:
    recipe = with_defaults(tmp_path, "{Port: 1}")
    java = resolve_configuration(recipe, None, ConfigurationUpdate({"port": 2}), JAVA, 1000)
    assert java.snapshot() == {"Port": 2}
    lite = resolve_configuration(recipe, None, ConfigurationUpdate({"port": 2}), LITE, 1000)
    assert lite.snapshot() == {"Port": "1", "port": 2}


# -- variables -----------------------------------------------------------------------------------------------------


def variables(*, dependencies: bool = True, slash: bool = False) -> Variables:
    paths = ComponentPaths(Path("/r/artifacts/a/1"), Path("/r/unarchived/a/1"), Path("/r/work/a"))
    others = ComponentPaths(Path("/r/artifacts/d/1"), Path("/r/unarchived/d/1"), Path("/r/work/d"))
    named = {"com.Dep": (Configuration({"port": 7}, fold_case=True), others)} if dependencies else {}
    own = Configuration({"name": "x y", "on": True, "tree": {"a": [1]}, "a/b": 1}, fold_case=True)
    return Variables(own, paths, Path("/r"), "thing-1", named, slash)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{configuration:/name}", "x y"),
        ("{configuration:/on} {configuration:/tree}", 'true {"a":[1]}'),
        ("{configuration:/tree/a}", "[1]"),
        ("{configuration:/a~1b}", "1"),
        ("{artifacts:path}/x {artifacts:decompressedPath}", "/r/artifacts/a/1/x /r/unarchived/a/1"),
        ("{work:path} {kernel:rootPath} {iot:thingName}", "/r/work/a /r thing-1"),
        ("{com.Dep:configuration:/port} {com.Dep:artifacts:path}", "7 /r/artifacts/d/1"),
        ("${HOME} {} awk '{print $1}' {a,b}", "${HOME} {} awk '{print $1}' {a,b}"),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    result = variables().fill(text)
    assert (result.text, result.unknown) == (filled, ())


@pytest.mark.parametrize(
    "text",
    ["{configuration:/nope}", "{configuration:name}", "{artifacts:nope}", "{com.Other:artifacts:path}",
     "{com.Dep:work:path}", "{iot:region}"],
)  # fmt: skip
def test_an_unknown_variable_stays_and_is_told(text: str) -> None:
    result = variables().fill(f"a {text} b")
    assert (result.text, result.unknown) == (f"a {text} b", (text,))


def test_lite_knows_no_dependencies_and_ends_the_work_path_with_a_slash() -> None:
    result = variables(dependencies=False, slash=True).fill("{work:path} {com.Dep:artifacts:path}")
    assert (result.text, result.unknown) == ("/r/work/a/ {com.Dep:artifacts:path}", ("{com.Dep:artifacts:path}",))


def test_the_repositorys_own_recipes_are_read_by_both_nuclei() -> None:
    recipes = Path(__file__).resolve().parents[2] / "recipes"
    deployment: Deployment = read_deployment(recipes / "deployments" / "local.yaml")
    for flavour in (None, JAVA, LITE):
        chosen = resolve(deployment, read_recipes(recipes, flavour))
        notes = {note.partition(": ")[2] for recipe in chosen for note in recipe.notes}
        assert notes <= {"shutdown: nucleus lite ignores it", "recover: nucleus lite ignores it"}
