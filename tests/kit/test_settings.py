"""Settings: three sources, one order, and errors that name the key and where it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from edgechess_kit.errors import SettingsError
from edgechess_kit.settings import BusSettings, describe, load


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    port: int = 29999


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    robot_enabled: bool = True
    timeout_s: Annotated[float, msgspec.Meta(gt=0.0, description="silence after which it is asked again")] = 5.0
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    level: Literal["low", "high"] = "low"
    words: tuple[str, ...] = ()
    arms: tuple[Arm, ...] = ()
    limit: int | None = None
    folder: Path | None = None
    reach_mm: float = 900.0

    def __post_init__(self) -> None:
        if self.level == "high" and self.attempts == 1:
            raise ValueError("level high needs two attempts")


class Needy(msgspec.Struct, frozen=True, kw_only=True):
    port: str


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "manager.toml"


def manager(file: Path | None = None, env: dict[str, str] | None = None, **flags: str) -> Settings:
    return load(Settings, section="game-manager", file=file, env=env or {}, flags=flags)


def test_defaults() -> None:
    assert manager() == Settings()


def test_later_sources_win(file: Path) -> None:
    file.write_text('[game-manager]\nattempts = 4\ntimeout_s = 6\nlevel = "high"\n[other]\nx = 1\n')
    env = {"EDGECHESS_GAME_MANAGER_ATTEMPTS": "5", "EDGECHESS_GAME_MANAGER_TIMEOUT_S": "7", "EDGECHESS_OTHER_Y": "1"}
    settings = manager(file, env, timeout_s="8.5")
    assert (settings.level, settings.attempts, settings.timeout_s) == ("high", 5, 8.5)


@pytest.mark.parametrize("key", ["robot_enabled", "robot-enabled", "robotEnabled"])
@pytest.mark.parametrize(("text", "value"), [("false", False), ("False", False), ("0", False), ("true", True)])
def test_the_samples_robot_enabled_in_any_spelling(file: Path, key: str, text: str, value: bool) -> None:
    assert manager(None, None, **{key: text}).robot_enabled is value
    file.write_text(f'[game-manager]\n{key} = "{text}"\n')  # nucleus lite makes a string of it
    assert manager(file).robot_enabled is value


def test_lists_tables_paths_and_nothing(file: Path) -> None:
    assert manager(words="a, b,c").words == ("a", "b", "c")
    assert manager(words='["a,b"]').words == ("a,b",)
    assert manager(words="").words == ()
    assert manager(arms='[{"name":"white","port":"1"}]').arms == (Arm(name="white", port=1),)
    file.write_text('[game-manager]\narms = [{name = "white"}]\nlimit = 7\nfolder = "/tmp/x"\n')
    settings = manager(file)
    assert (settings.arms, settings.limit, settings.folder) == ((Arm(name="white"),), 7, Path("/tmp/x"))
    assert manager(limit="null").limit is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("attempts", "0", ">= 1"),
        ("attempts", "many", "Expected `int`"),
        ("timeout_s", "-1", "> 0"),
        ("robot_enabled", "maybe", "Expected `bool`"),
        ("level", "medium", "Invalid enum value"),
        ("arms", "[{}]", "`name`"),
        ("arms", "[{", "JSON|truncated"),
    ],
)
def test_a_wrong_value_names_key_and_source(file: Path, key: str, value: str, said: str) -> None:
    sources: list[tuple[dict[str, Any], str]] = [
        ({"flags": {key: value}}, f"--set {key}"),
        (
            {"env": {f"EDGECHESS_GAME_MANAGER_{key.upper()}": value}},
            f"environment EDGECHESS_GAME_MANAGER_{key.upper()}",
        ),
    ]
    if not value.startswith("[{"):
        file.write_text(f'[game-manager]\n{key} = "{value}"\n')
        sources.append(({"file": file}, str(file)))
    for given, source in sources:
        with pytest.raises(SettingsError, match=said) as caught:
            load(Settings, section="game-manager", **{"file": None, "env": {}, "flags": {}, **given})
        assert f"game-manager.{key} (from {source})" in str(caught.value)


def test_unknown_keys_are_named_with_the_known_ones(file: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"game-manager\.atempts \(from --set atempts\): no such setting; .*attempts"
    ):
        manager(atempts="1")
    with pytest.raises(SettingsError, match="EDGECHESS_GAME_MANAGER_ATEMPTS"):
        manager(env={"EDGECHESS_GAME_MANAGER_ATEMPTS": "1"})
    file.write_text("[game-manager]\natempts = 1\n")
    with pytest.raises(SettingsError, match="atempts"):
        manager(file)


def test_a_missing_one_says_where_it_could_be_set() -> None:
    with pytest.raises(SettingsError, match=r"board-sensor\.port is missing.*EDGECHESS_BOARD_SENSOR_PORT.*--set port"):
        load(Needy, section="board-sensor", file=None, env={}, flags={})


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(SettingsError, match="game-manager: level high needs two attempts"):
        manager(level="high", attempts="1")


@pytest.mark.parametrize(
    ("content", "said"),
    [("[game-manager", "not TOML"), ("game-manager = 3", "expected a table"), (None, "cannot be read")],
)
def test_a_file_that_cannot_be_used(file: Path, content: str | None, said: str) -> None:
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=said):
        manager(file)


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECHESS_BUS_BROKER", "mqtt://127.0.0.1:9")
    assert load(BusSettings, section="bus").broker == "mqtt://127.0.0.1:9"


def test_probabilities_and_prefixes_are_checked() -> None:
    for flags in ({"chaos_delay": "1.5"}, {"chaos_duplicate": "-0.1"}, {"prefix": "a/+/b"}, {"prefix": ""}):
        with pytest.raises(SettingsError, match=next(iter(flags))):
            load(BusSettings, section="bus", file=None, env={}, flags=flags)


def test_every_setting_is_described_with_type_unit_and_default() -> None:
    assert describe(Settings, "game-manager")[:5] == [
        "  game-manager.robot_enabled: bool, default True",
        "  game-manager.timeout_s: float [s], default 5.0. silence after which it is asked again",
        "  game-manager.attempts: int, default 3",
        "  game-manager.level: low | high, default 'low'",
        "  game-manager.words: tuple[str, ...], default ()",
    ]
    assert describe(Settings, "game-manager")[-1] == "  game-manager.reach_mm: float [mm], default 900.0"
    assert describe(Needy, "board-sensor") == ["  board-sensor.port: str, required"]
