"""`edgechess arm calibrate` and `verify` on served twins of both makers, and every input that cannot be."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from edgechess_arm_controller.settings import ArmSettings, Settings
from edgechess_board.placement import Placement
from edgechess_cli import arm_calibrate
from edgechess_cli.arm_access import ArmChoice, at_address, from_file, of_the_twin, twin_arm
from edgechess_cli.arm_calibrate import _calibrate, _verify, cure
from edgechess_cli.calibrate import CORNERS, residual_so_far
from edgechess_kit.errors import SettingsError
from edgechess_robots import calibration as calibrations
from edgechess_robots import conduct
from edgechess_robots.calibration import Touch, fit
from edgechess_robots.errors import ArmClaimed, CalibrationRefused
from edgechess_robots.layout import Point, standard_layout
from edgechess_twin import faults
from edgechess_twin.serve import Devices, serve
from edgechess_twin.table import Table, TableOptions

SPEED = 50.0
LINK_WAIT_S = 1.5  # nobody waits ten seconds for what never comes
CORNERS_ALONE = ("a1", "h1", "h8", "a8")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conduct, "LINK_WAIT_S", LINK_WAIT_S)


@asynccontextmanager
async def served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> AsyncIterator[tuple[Table, Devices]]:
    """A twin with an empty board, found by whoever looks for the one that runs."""
    runtime = Path(tempfile.mkdtemp(prefix="ec"))  # a Unix socket's path is short: pytest's folders are not
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    table = Table(TableOptions(placement=Placement.empty(), speed=SPEED, **options))
    async with anyio.create_task_group() as tasks:
        await tasks.start(table.run)
        async with serve(table) as devices:
            yield table, devices
        tasks.cancel_scope.cancel()
    shutil.rmtree(runtime)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["dobot", pytest.param("ro1", marks=pytest.mark.slow)])  # no speed-up of HTTP
async def test_a_hidden_pose_of_the_board_is_found_and_verified(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(
        tmp_path, monkeypatch, kinds=(kind, kind), seed=7, faults=faults.parse("calibration-touch-mm=0.2")
    ) as (table, _):
        choice = await of_the_twin("black", tmp_path)
        file = choice.calibration_file
        await _calibrate(choice, CORNERS_ALONE, True, file)
        found = calibrations.load(file)
        await _verify(choice, True, file)
        truth = table.arms["black"].truth.base  # type: ignore[attr-defined]
    assert found.date == datetime.date.today()
    assert found.arm_serial == "black"
    # hidden: no arm of the twin stands exactly where the layout has it
    ideal = standard_layout().site("black").base.inverse()
    assert (found.board.x_mm, found.board.y_mm) != (ideal.x_mm, ideal.y_mm)
    base = found.board.inverse()  # of the arm, in the board frame
    assert abs(base.x_mm - truth[0][3]) < 2.0
    assert abs(base.y_mm - truth[1][3]) < 2.0
    told = capsys.readouterr().out
    assert "4 of 4  a8" in told
    assert "residual" in told.splitlines()[3], "the fit so far is told as soon as there is one"
    assert "good: worst corner" in told


@pytest.mark.anyio
async def test_not_beside_a_controller_that_moves_these_arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this arm or of the other one: it would go on with its jobs while somebody has a hand at the board."""
    async with served(tmp_path, monkeypatch, kinds=("dobot", "dobot")) as (table, _):
        choice = await of_the_twin("white", tmp_path)
        before = table.world.tip("white")
        for arm in choice.settings.arms:
            for act in (
                _calibrate(choice, CORNERS_ALONE, True, tmp_path / "c.toml"),
                _verify(choice, True, choice.calibration_file),
            ):
                _nominal(choice)
                with arm.claimed("the arm controller"), pytest.raises(ArmClaimed) as refused:
                    await act
                assert f"arm {arm.name} at {arm.host}" in str(refused.value)
                assert "is held by the arm controller (process " in str(refused.value)
        assert table.world.tip("white") == before
        assert not (tmp_path / "c.toml").exists()
        await anyio.sleep(0.05)


def _nominal(choice: ArmChoice) -> None:
    base = standard_layout().site(choice.name).base
    found = calibrations.nominal(base, arm_serial=choice.serial, date=datetime.date(2024, 1, 1))
    calibrations.save(found, choice.calibration_file)


@pytest.mark.slow  # a calibration in virtual time
@pytest.mark.anyio
async def test_a_board_that_was_moved_does_not_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, monkeypatch, kinds=("dobot", "dobot"), seed=3):
        choice = await of_the_twin("white", tmp_path)
        file = choice.calibration_file
        await _calibrate(choice, CORNERS_ALONE, True, file)
        right = calibrations.load(file)
        moved = dataclasses.replace(right.board, x_mm=right.board.x_mm + 4.0)
        calibrations.save(dataclasses.replace(right, board=moved), file)
        with pytest.raises(CalibrationRefused, match=r"off \(at most .*Calibrate again"):
            await _verify(choice, True, file)


@pytest.mark.anyio
async def test_a_calibration_that_cannot_be_reached_is_refused_before_anything_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch, kinds=("dobot", "dobot")) as (table, _):
        choice = await of_the_twin("white", tmp_path)
        far = calibrations.nominal(
            dataclasses.replace(standard_layout().site("white").base, x_mm=2500.0), arm_serial="white", date=datetime.date(2024, 1, 1)
        )  # fmt: skip
        calibrations.save(far, choice.calibration_file)
        before = table.world.tip("white")
        with pytest.raises(BaseExceptionGroup) as failed:
            await _verify(choice, True, choice.calibration_file)
        assert f"cannot be reached as {choice.calibration_file} has it: " in _words(failed.value)
        assert "the board's middle is 2571 mm from arm white's base. Is it this arm's" in _words(failed.value)
        assert table.world.tip("white") == before


@pytest.mark.anyio
async def test_a_wrong_token_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, monkeypatch, kinds=("ro1", "ro1")):
        choice = await of_the_twin("white", tmp_path)
        assert not (tmp_path / "token-white").exists(), "where somebody stands is no place for tokens"
        _write_token(choice, "secret-word")
        with pytest.raises(BaseExceptionGroup) as failed:
            await _calibrate(choice, CORNERS_ALONE, True, tmp_path / "c.toml")
    assert "token" in _words(failed.value)
    assert "secret-word" not in _words(failed.value), "a token is never shown"


@pytest.mark.anyio
async def test_an_absent_gripper_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path, monkeypatch, kinds=("ro1", "ro1"), ro1_gripper="none_connected"):
        choice = await of_the_twin("white", tmp_path)
        with pytest.raises(BaseExceptionGroup) as failed:
            await _calibrate(choice, CORNERS_ALONE, True, tmp_path / "c.toml")
    assert "gripper" in _words(failed.value)


@pytest.mark.anyio
async def test_a_controller_that_keeps_out_of_tcp_mode_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, monkeypatch, kinds=("dobot", "dobot")) as (table, _):
        choice = await of_the_twin("white", tmp_path)
        await _calibrate(choice, CORNERS_ALONE, True, tmp_path / "c.toml")
        table.dobot("white").controller.tcp_mode = False  # and an enabled arm gives control to nobody
        with pytest.raises(BaseExceptionGroup) as failed:
            await _calibrate(choice, CORNERS_ALONE, True, tmp_path / "c.toml")
    assert "TCP" in _words(failed.value)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["dobot", "ro1"])
async def test_nobody_at_the_address(kind: str, tmp_path: Path) -> None:
    choice = _at("127.99.0.9", kind, tmp_path)
    with pytest.raises(BaseExceptionGroup) as failed:
        await _calibrate(choice, CORNERS_ALONE, False, tmp_path / "c.toml")
    assert "no connection" in _words(failed.value)
    assert "Connection refused" in _words(failed.value)
    assert "?" in _words(failed.value), "what to look at is asked"


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "cause"), [("dobot", "Dobot"), ("ro1", "does not speak HTTP")])
async def test_a_port_that_is_no_robot(kind: str, cause: str, tmp_path: Path) -> None:
    async def chatter(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"220 mail.example.org ESMTP; ready\r\n\r\n")
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        for number in (29999, 30004) if kind == "dobot" else (3000,):
            listener = await anyio.create_tcp_listener(local_host="127.98.0.9", local_port=number)
            tasks.start_soon(listener.serve, chatter)
        with pytest.raises(BaseExceptionGroup) as failed:
            await _calibrate(_at("127.98.0.9", kind, tmp_path), CORNERS_ALONE, False, tmp_path / "c.toml")
        tasks.cancel_scope.cancel()
    assert cause in _words(failed.value)


@pytest.mark.anyio
async def test_a_controller_that_hangs_up_may_have_another_client(tmp_path: Path) -> None:
    async def hang_up(stream: anyio.abc.SocketStream) -> None:
        await stream.aclose()

    async with anyio.create_task_group() as tasks:
        for number in (29999, 30004):
            listener = await anyio.create_tcp_listener(local_host="127.97.0.9", local_port=number)
            tasks.start_soon(listener.serve, hang_up)
        with pytest.raises(BaseExceptionGroup) as failed:
            await _calibrate(_at("127.97.0.9", "dobot", tmp_path), CORNERS_ALONE, False, tmp_path / "c.toml")
        tasks.cancel_scope.cancel()
    assert "anything else connected" in _words(failed.value)


# -- what is refused before anything is opened ---------------------------------------------------------------------


def test_live_needs_its_own_word() -> None:
    with pytest.raises(SettingsError, match="live"):
        at_address("127.0.0.1", "white", "ro1", {"robot_kind": "live", "token_file": "t"}, live=False, out=None)
    with pytest.raises(SettingsError, match="not on this machine: say --live to move it"):
        at_address("192.168.1.6", "white", "dobot", {}, live=False, out=None)


def test_metres_for_millimetres() -> None:
    with pytest.raises(SettingsError, match="metres"):
        at_address(
            "127.0.0.1", "white", "ro1", {"robot_kind": "simulated", "token_file": "t", "tool_length_mm": 0.15}, live=False, out=None
        )  # fmt: skip


def test_metres_for_millimetres_of_a_dobot_and_of_the_table(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="metres"):
        at_address("127.0.0.1", "white", "dobot", {"tool_length_mm": 0.15}, live=False, out=None)
    file = tmp_path / "arms.toml"
    file.write_text("[arm-controller]\nbase_distance_mm = 0.6\n")
    with pytest.raises(SettingsError, match=r"base_distance_mm is 0\.6: .*metres"):
        from_file(file, "white")


def test_unknown_kinds_and_options_name_what_there_is() -> None:
    with pytest.raises(SettingsError, match="dobot, ro1"):
        at_address("127.0.0.1", "white", "kuka", {}, live=False, out=None)
    with pytest.raises(SettingsError, match="there is no option colour"):
        at_address("127.0.0.1", "white", "dobot", {"colour": 1.0}, live=False, out=None)


def test_the_arms_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "arms.toml"
    file.write_text(
        '[arm-controller]\narms = [{name = "left", calibration = "left.toml", serial = "CR-17"}]\nracks = {}\n'
    )
    choice = from_file(file, "left")
    assert choice.serial == "CR-17"
    assert choice.calibration_file == Path("left.toml")
    with pytest.raises(SettingsError, match="no arm 'white'; there are left"):
        from_file(file, "white")
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        from_file(tmp_path / "nowhere.toml", "white")


def test_a_token_lies_where_only_its_owner_reads_it(tmp_path: Path) -> None:
    twin_arm("white", {"kind": "ro1", "host": "127.0.0.1", "ports": {"3000": 3100}, "token": "secret"}, tmp_path)
    assert (tmp_path / "token-white").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("white",), "--config FILE, --host ADDRESS or --twin"),
        (("white", "--host", "127.0.0.1", "--twin"), "One of"),
        (("white", "--host", "127.0.0.1", "--yes"), "--twin"),
        (("white", "--twin", "--points", "a1,h1,h8"), "at least 4"),
        (("white", "--twin", "--points", "a1,h1,h8,i9"), "'i9' is no square"),
        (("white", "--twin"), "no twin is running"),
        (("white", "--host", "127.0.0.1", "--option", "x"), "KEY=VALUE"),
    ],
)
def test_words_that_cannot_be(words: tuple[str, ...], named: str, edgechess: Any) -> None:
    result = edgechess("arm", "calibrate", *words)
    assert result.code == 2
    assert named in result.err


def test_a_result_that_could_not_be_kept_is_refused_before_anybody_touches_a_square(
    tmp_path: Path, edgechess: Any
) -> None:
    host = ("--host", "127.99.0.9")
    result = edgechess("arm", "calibrate", "white", *host, "--out", str(tmp_path / "no" / "white.toml"))
    assert (result.code, result.out) == (2, "")
    assert f"there is no folder {tmp_path / 'no'}" in result.err
    result = edgechess("arm", "calibrate", "white", *host, "--out", str(tmp_path))
    assert (result.code, result.out) == (2, "")
    assert "is a folder" in result.err


def test_what_was_never_calibrated_cannot_be_verified(tmp_path: Path, edgechess: Any) -> None:
    file = tmp_path / "white.toml"
    result = edgechess("arm", "verify", "white", "--host", "127.99.0.9", "--out", str(file))
    assert result.code == 2
    assert result.err == (
        f"edgechess arm verify: {file}: No such file or directory: `edgechess arm calibrate white` makes it; or name"
        " another one with --out\n"
    )


@pytest.mark.parametrize("verb", ["calibrate", "verify"])
def test_a_refusal_names_the_command_that_was_given(verb: str, edgechess: Any) -> None:
    assert edgechess("arm", verb, "white").err.startswith(f"edgechess arm {verb}: ")


def test_a_url_is_no_host(tmp_path: Path, edgechess: Any) -> None:
    where = ("--host", "http://192.168.1.40:3000", "--live", "--out", str(tmp_path / "white.toml"))
    result = edgechess("arm", "calibrate", "white", *where)
    assert result.code == 2
    assert "arm white: host is 'http://192.168.1.40:3000': expected an address or a name alone" in result.err


def test_options_are_of_the_kinds_that_a_configuration_has() -> None:
    words = ["feedback_port=30005", "tool_length_mm=180", "live=true", "robot_kind=live", "park_joints_deg=[1, 2.5]"]
    assert arm_calibrate._options(words) == {
        "feedback_port": 30005, "tool_length_mm": 180, "live": True, "robot_kind": "live", "park_joints_deg": [1, 2.5],
    }  # fmt: skip
    choice = at_address(
        "127.0.0.1", "white", "dobot", arm_calibrate._options(["feedback_port=30005"]), live=False, out=None
    )
    assert choice.settings.driver(choice.arm).feedback_port == 30005


@pytest.mark.anyio
async def test_a_person_says_when_the_arm_is_there_and_can_leave_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    a1 = standard_layout().square("a1")
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        guide = arm_calibrate._by_a_person(_at("127.0.0.1", "ro1", tmp_path), NoArm())
        with anyio.move_on_after(0.05) as left:
            await guide("white", (a1.x_mm, a1.y_mm, 0.0))
        assert left.cancelled_caught
        os.write(writing, b"\n")  # nobody who was left behind takes it
        with anyio.fail_after(5.0):
            await guide("white", (a1.x_mm, a1.y_mm, 0.0))
        os.close(writing)
        with anyio.fail_after(5.0), pytest.raises(CalibrationRefused, match="standard input is closed"):
            await guide("white", (a1.x_mm, a1.y_mm, 0.0))


class NoArm:
    """Nothing is asked of an arm that a person guides by its own button."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def test_how_an_arm_is_guided_is_said_for_that_arm(tmp_path: Path) -> None:
    dobot, ro1 = _at("127.0.0.1", "dobot", tmp_path), _at("127.0.0.1", "ro1", tmp_path)
    assert arm_calibrate.how(dobot, "a1") == "it yields to your hand now"
    assert arm_calibrate.how(ro1, "a1") == "hold the button at its wrist"
    on_twin = dataclasses.replace(dobot, control="/run/twin.sock")
    assert arm_calibrate.how(on_twin, "a1") == "in another terminal: edgechess twin hand guide white a1"


def test_every_refusal_has_a_cure() -> None:
    mirrored = _refusal([(0, 0), (400, 0), (0, 400), (400, 400)], [(0, 0), (0, 400), (400, 0), (400, 400)])
    assert "order" in cure(mirrored)
    scaled = _refusal([(0, 0), (400, 0), (400, 400), (0, 400)], [(0, 0), (440, 0), (440, 440), (0, 440)])
    assert "square_mm" in cure(scaled)
    rough = _refusal([(0, 0), (400, 0), (400, 400), (0, 400)], [(0, 0), (400, 0), (400, 400), (0, 406)])
    assert "At most 1 mm" in cure(rough)
    line = _refusal([(0, 0), (400, 0), (200, 0), (100, 0)], [(0, 0), (400, 0), (200, 0), (100, 0)])
    assert "four sides" in cure(line)


def test_the_fit_so_far_is_told_however_bad() -> None:
    good = [Touch(Point(x, y, 0.0), Point(x, y, 0.0)) for x, y in ((0, 0), (400, 0), (400, 400), (0, 400))]
    assert residual_so_far(good[:3]) is None
    fitted = residual_so_far(good)
    assert fitted is not None
    assert fitted[0] < 1e-9
    bad = [*good[:3], Touch(Point(0, 400, 0.0), Point(0, 420, 0.0))]
    fitted = residual_so_far(bad)
    assert fitted is not None
    assert fitted[0] > 4.0


def test_eight_points_are_asked_for_by_default() -> None:
    assert len(set(CORNERS)) == 8
    assert inspect.signature(arm_calibrate.calibrate).parameters["points"].default == ",".join(CORNERS)


def _at(host: str, kind: str, tmp_path: Path) -> ArmChoice:
    options: dict[str, Any] = {}
    if kind == "ro1":
        (tmp_path / "token").write_text("word")
        options = {"robot_kind": "simulated", "token_file": str(tmp_path / "token")}
    arm = ArmSettings(name="white", kind=kind, host=host, calibration="c.toml", options=options)
    return ArmChoice(Settings(arms=(arm,), racks={}), "white")


def _write_token(choice: ArmChoice, word: str) -> None:
    Path(choice.arm.options["token_file"]).write_text(word)


def _refusal(board: list[tuple[int, int]], measured: list[tuple[int, int]]) -> str:
    touches = [Touch(Point(*a, 0.0), Point(*b, 0.0)) for a, b in zip(board, measured, strict=True)]
    with pytest.raises(CalibrationRefused) as refused:
        fit(touches, arm_serial="x", date=datetime.date(2024, 1, 1))
    return str(refused.value)


def _words(error: BaseException) -> str:
    """Of all that came together."""
    if isinstance(error, BaseExceptionGroup):
        return " ".join(_words(inner) for inner in error.exceptions)
    return str(error)
