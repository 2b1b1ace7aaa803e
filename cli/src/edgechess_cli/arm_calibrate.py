"""`edgechess arm calibrate` and `edgechess arm verify`: a person guides the tip, the command says where and how well it fits."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import anyio
import typer

from edgechess_cli import arm_access
from edgechess_cli.arm_access import ArmChoice
from edgechess_cli.calibrate import (
    ATTEMPTS,
    CORNERS,
    CornerError,
    Guide,
    GuidedArm,
    calibrate_by_hand,
    residual_so_far,
    verify_corners,
)
from edgechess_cli.failures import FAILURES, told
from edgechess_cli.line_reader import LineReader
from edgechess_kit.errors import SettingsError
from edgechess_robots import calibration as calibrations
from edgechess_robots.arm import Arm
from edgechess_robots.calibration import MAX_RESIDUAL_MM, MIN_TOUCHES, Calibration, Touch
from edgechess_robots.errors import CalibrationRefused, PlanRefused, RobotError
from edgechess_robots.layout import TableLayout
from edgechess_robots.registry import arm_kind
from edgechess_twin.control import ControlClient

EXIT_FAILED = 1
EXIT_USAGE = 2
BAD_CORNER_MM = 2.5  # touched with σ 0.5 mm per axis on a fit that is as good as is allowed; fingers open 4 mm wider

ArmArgument = Annotated[str, typer.Argument(help="Name of the arm: white, black.", metavar="ARM")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="The arm controller's TOML: its [arm-controller] names the arms.")
]
HostOption = Annotated[str | None, typer.Option("--host", help="Address of the arm's controller instead of a file.")]
KindOption = Annotated[str, typer.Option("--kind", help="With --host: what `edgechess arm list` names.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--option", help="With --host: KEY=VALUE of that kind, e.g. robot_kind=live.")
]
LiveOption = Annotated[bool, typer.Option("--live", help="With --host: a real arm may move.")]
TwinOption = Annotated[bool, typer.Option("--twin", help="An arm of the twin that runs.")]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Ask nothing: the twin's person guides the arm. For scripts, on the twin only.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="The calibration file (default: as --config has it, else calibration-ARM.toml)."),
]


def calibrate(
    name: ArmArgument,
    config: ConfigOption = None,
    host: HostOption = None,
    kind: KindOption = "dobot",
    option: SetOption = None,
    live: LiveOption = False,
    twin: TwinOption = False,
    yes: YesOption = False,
    out: OutOption = None,
    points: Annotated[
        str, typer.Option("--points", help="Squares whose centres are touched, at least four.")
    ] = ",".join(CORNERS),
) -> None:
    """Find where the board is for an arm: guide the fingertips to the named squares, one after the other.

    Take the pieces off the board first. The result is kept with date and serial number; a bad one is refused.

    Exit code: 0 calibrated, 1 refused or not reached, 2 wrong usage.
    """
    squares = _squares(points)
    choice = _choice("calibrate", name, config, host, kind, option, live, twin, yes, out)
    file = out or choice.calibration_file
    _require_room_for(file)
    _run("calibrate", lambda: _calibrate(choice, squares, yes, file))


def verify(
    name: ArmArgument,
    config: ConfigOption = None,
    host: HostOption = None,
    kind: KindOption = "dobot",
    option: SetOption = None,
    live: LiveOption = False,
    twin: TwinOption = False,
    yes: YesOption = False,
    out: OutOption = None,
) -> None:
    """Check a calibration: the arm hovers slowly above each corner, you guide it down, and the error is measured.

    Take the pieces off the board first. Exit code: 0 good, 1 a corner is off or not reached, 2 wrong usage.
    """
    choice = _choice("verify", name, config, host, kind, option, live, twin, yes, out)
    file = out or choice.calibration_file
    _run("verify", lambda: _verify(choice, yes, file))


async def _calibrate(choice: ArmChoice, squares: Sequence[str], yes: bool, file: Path) -> None:
    arm = choice.open(None)
    layout = _layout(choice)
    async with _ours(choice), arm_access.linked(arm), _let_go_of(choice, arm):
        guide = _guide(choice, arm, yes)
        shown = _Progress(squares, arm)
        try:
            found = await calibrate_by_hand(
                arm, layout, guide, arm_serial=choice.serial, date=datetime.date.today(), points=squares,
                attempts=ATTEMPTS if yes else 1, show=shown.show,
            )  # fmt: skip
        except CalibrationRefused as refused:
            raise CalibrationRefused(f"{refused}. {cure(str(refused))}") from refused
    calibrations.save(found, file)
    typer.echo(
        f"calibrated: residual {found.residual_mm:.2f} mm over {found.touches} points (worst {found.worst_mm:.2f} mm), "
        f"scale {found.scale:.4f}; arm {found.arm_serial}, {found.date}: {file}"
    )


async def _verify(choice: ArmChoice, yes: bool, file: Path) -> None:
    found = _made_before(choice, file)
    arm = choice.open(found)
    async with _ours(choice), arm_access.linked(arm), _let_go_of(choice, arm):
        try:
            errors = await verify_corners(arm, found, _layout(choice), _guide(choice, arm, yes), _show_corner)
        except PlanRefused as refused:
            raise CalibrationRefused(
                f"a corner cannot be reached as {file} has it: {refused}. Is it this arm's, and of this table? Calibrate again"
            ) from refused
    worst = max(errors, key=lambda error: error.size_mm)
    if worst.size_mm > BAD_CORNER_MM:
        raise CalibrationRefused(
            f"{worst.square} is {worst.size_mm:.1f} mm off (at most {BAD_CORNER_MM:g}): has the board been moved? Calibrate again"
        )
    typer.echo(f"good: worst corner {worst.square}, {worst.size_mm:.2f} mm (calibrated {found.date})")


def _made_before(choice: ArmChoice, file: Path) -> Calibration:
    """Raises CalibrationRefused; SettingsError for a file that is not there."""
    try:
        return calibrations.load(file, arm_serial=choice.arm.serial or None)
    except OSError as error:
        raise SettingsError(
            f"{file}: {error.strerror}: `edgechess arm calibrate {choice.name}` makes it; or name another one with --out"
        ) from error


def _require_room_for(file: Path) -> None:
    """Before anybody has touched eight squares for nothing."""
    folder = file.absolute().parent
    if file.is_dir():
        _fail("calibrate", f"{file} is a folder: name a file with --out")
    if not folder.is_dir():
        _fail("calibrate", f"{file}: there is no folder {folder}: make it, or name another file with --out")
    if not os.access(folder, os.W_OK | os.X_OK):
        _fail("calibrate", f"{file}: nothing can be written into {folder}: name another file with --out")


class _Progress:
    """One line per touch, with the fit so far."""

    def __init__(self, squares: Sequence[str], arm: Arm) -> None:
        self._squares = squares
        self._arm = arm

    def show(self, square: str, touches: Sequence[Touch]) -> None:
        at = touches[-1].measured
        fit = residual_so_far(touches)
        words = f"   residual {fit[0]:.2f} mm, scale {fit[1]:.4f}" if fit is not None else ""
        typer.echo(
            f"  {len(touches)} of {len(self._squares)}  {square}  measured {at.x_mm:8.2f} {at.y_mm:8.2f} {at.z_mm:8.2f} mm{words}"
        )


def _show_corner(error: CornerError) -> None:
    typer.echo(
        f"  {error.square}  dx {error.dx_mm:+.2f}  dy {error.dy_mm:+.2f}  dz {error.dz_mm:+.2f} mm   {error.size_mm:.2f} mm"
    )


def cure(refusal: str) -> str:
    """What to do about a refused calibration."""
    if "mirrored" in refusal:
        return "Touch the squares in the order in which they are named; a1 is White's left corner"
    if "nominal size" in refusal:
        return "Measure a square's edge and set square_mm; touch the squares' centres, not their corners"
    if "line" in refusal:
        return "Choose points of all four sides of the board"
    return (
        f"At most {MAX_RESIDUAL_MM:g} mm is allowed. Touch again, more exactly, with the fingertips on the board; "
        "if it stays, look at tool_length_mm, and whether board and arm are fixed to the table"
    )


def _guide(choice: ArmChoice, arm: GuidedArm, yes: bool) -> Guide:
    return _by_the_twin(choice) if yes else _by_a_person(choice, arm)


def _by_the_twin(choice: ArmChoice) -> Guide:
    async def guide(arm: str, point: tuple[float, float, float]) -> None:
        async with ControlClient(choice.control) as person:
            await person.guide(arm, point)

    return guide


def _by_a_person(choice: ArmChoice, arm: GuidedArm) -> Guide:
    """Asks at the prompt; frees the arm where that is done by software."""
    kind = arm_kind(choice.arm.kind)
    layout = _layout(choice)
    reader = LineReader(sys.stdin.fileno(), lambda _prompt, _text: None)

    async def guide(name: str, point: tuple[float, float, float]) -> None:
        square = next(
            s for s in (f"{f}{r}" for f in "abcdefgh" for r in "12345678")
            if (layout.square(s).x_mm, layout.square(s).y_mm) == point[:2]
        )  # fmt: skip
        if kind.capabilities.guided_by_request and arm.state().mode == "idle":
            await arm.drag(True)  # until the next `ensure_ready`
        typer.echo(
            f"arm {name}: guide the closed fingertips to the centre of {square} ({how(choice, square)}), let go, press Enter"
        )
        if await reader.line("") is None:
            raise CalibrationRefused(
                "standard input is closed: nobody guides the arm (--twin --yes has the twin do it)"
            )

    return guide


def how(choice: ArmChoice, square: str) -> str:
    """How a person guides the arm to the square."""
    if choice.control is not None:
        return f"in another terminal: edgechess twin hand guide {choice.name} {square}"
    by_request = arm_kind(choice.arm.kind).capabilities.guided_by_request
    return "it yields to your hand now" if by_request else "hold the button at its wrist"


@asynccontextmanager
async def _ours(choice: ArmChoice) -> AsyncIterator[None]:
    """Every arm of the table: a controller that moves the other one would not know of this one. Raises ArmClaimed."""
    with contextlib.ExitStack() as claims:
        for arm in choice.settings.arms:
            claims.enter_context(arm.claimed("edgechess arm calibrate or verify"))
        yield


@asynccontextmanager
async def _let_go_of(choice: ArmChoice, arm: GuidedArm) -> AsyncIterator[None]:
    """However it ends: an arm that yields to every hand is not left alone."""
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True), contextlib.suppress(RobotError):
            if arm_kind(choice.arm.kind).capabilities.guided_by_request and arm.state().mode == "starting":
                await arm.drag(False)


def _layout(choice: ArmChoice) -> TableLayout:
    return choice.settings.layout(tuple(arm.name for arm in choice.settings.arms))


def _squares(text: str) -> tuple[str, ...]:
    squares = tuple(word.strip() for word in text.split(","))
    for square in squares:
        if len(square) != 2 or square[0] not in "abcdefgh" or square[1] not in "12345678":
            _fail("calibrate", f"--points: {square!r} is no square such as a1")
    if len(set(squares)) < MIN_TOUCHES:
        _fail("calibrate", f"--points names {len(set(squares))} squares: at least {MIN_TOUCHES} are needed")
    return squares


def _choice(
    verb: str, name: str, config: Path | None, host: str | None, kind: str, option: list[str] | None, live: bool, twin: bool,
    yes: bool, out: Path | None,
) -> ArmChoice:  # fmt: skip
    if sum((config is not None, host is not None, twin)) != 1:
        _fail(verb, "which arm? One of --config FILE, --host ADDRESS or --twin")
    if yes and not twin:
        _fail(verb, "--yes has the twin's person guide the arm: only together with --twin")
    try:
        if config is not None:
            return arm_access.from_file(config, name)
        if host is not None:
            return arm_access.at_address(host, name, kind, _options(option), live=live, out=out)
        return anyio.run(arm_access.of_the_twin, name, out.parent if out is not None else Path())
    except FAILURES as error:
        _fail(verb, told(error))


def _options(words: list[str] | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals:
            raise SettingsError(f"--option {word}: expected KEY=VALUE")
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    """As in a configuration file; what is nothing there is a word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _run(verb: str, act: Callable[[], Awaitable[None]]) -> None:
    failure: BaseExceptionGroup | None = None
    try:
        anyio.run(act)
    except* FAILURES as failed:
        failure = failed
    except* KeyboardInterrupt:
        typer.echo("stopped: nothing was kept", err=True)
        raise typer.Exit(130) from None
    if failure is not None:
        typer.echo(f"edgechess arm {verb}: {told(failure)}", err=True)
        raise typer.Exit(EXIT_USAGE if failure.subgroup(SettingsError) else EXIT_FAILED)


def _fail(verb: str, text: str) -> NoReturn:
    typer.echo(f"edgechess arm {verb}: {text}", err=True)
    raise typer.Exit(EXIT_USAGE)
