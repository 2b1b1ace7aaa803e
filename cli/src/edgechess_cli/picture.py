"""`python -m edgechess_cli.picture OUT.svg`: the picture of the README, taken from a real (virtual-time) match.

Nothing in it is drawn by hand: a match is played, and the view of `edgechess play` is exported at the chosen ply.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import NoReturn

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from edgechess_cli.match_options import MatchOptions
from edgechess_cli.match_view import View, fold, render
from edgechess_cli.virtual_match import play_virtual
from edgechess_kit.bus import Delivery
from edgechess_kit.topics import Topics

COLUMNS, ROWS = 104, 24
PLY = 15  # deep enough for a capture or two


def take(seed: int = 3) -> View:
    """The view in the middle of the arm's motion of ply `PLY`."""
    options = MatchOptions("stockfish:nodes=2000", "stockfish:nodes=2000", "virtual", seed, max_plies=PLY + 1)
    topics, view = Topics(), View(options.white, options.black)
    shown: list[View] = []

    def observe(delivery: Delivery) -> None:
        nonlocal view
        view = fold(view, delivery, topics)
        arms = view.arms
        if view.session.ply == PLY and arms is not None and any(arm.holding for arm in arms.arms):
            shown.append(view)

    play_virtual(options, observe)
    return shown[len(shown) // 2] if shown else view


def svg(view: View) -> str:
    """The view as SVG. Without rich's web fonts: a picture in a repository loads nothing."""
    console = Console(
        record=True, width=COLUMNS, height=ROWS, force_terminal=True, color_system="truecolor", file=io.StringIO()
    )
    console.print(render(view, console.width, console.height))
    template = CONSOLE_SVG_FORMAT
    start, end = template.index("@font-face"), template.rindex("@font-face")
    end = template.index("}}", end) + 2
    template = template[:start] + template[end:]
    return console.export_svg(title="edgechess play", code_format=template, font_aspect_ratio=0.61)


def main(arguments: list[str]) -> NoReturn:
    if len(arguments) != 1:
        print("usage: python -m edgechess_cli.picture OUT.svg", file=sys.stderr)
        sys.exit(2)
    Path(arguments[0]).write_text(svg(take()), encoding="utf-8")
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
