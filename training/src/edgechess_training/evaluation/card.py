"""The card of a model, made of what was measured: nobody types a figure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgechess_training.evaluation import curve_report, report, style_report
from edgechess_training.evaluation.anchors import ANCHORS
from edgechess_training.evaluation.measured import Measured
from edgechess_training.evaluation.milestones import CurvePoint
from edgechess_training.evaluation.report import percent
from edgechess_training.evaluation.run_facts import RunFacts, Source
from edgechess_training.evaluation.styles import StyleFigures

LIMITS = (
    "It sees one position, not the game: it does not know that it repeats. One ply of lookahead does, by the rules.",
    "It learnt what masters play against masters. Against weak play it does not always find the punishment.",
    "Its outlook comes mostly from results of games, not from an engine's judgement, and is blunt; see its calibration.",
    "Two probabilities that lie close together may change places between backends, threads and machines.",
    "UCI_Elo is the named engine's own scale, at a fixed number of nodes. It is nobody's rating among people.",
    "It knows standard chess only: no Chess960, no odds.",
)
TITLE = "\n## "
LICENCES = {
    "CC0-1.0": (
        "The weights are dedicated to the public (CC0 1.0), so that they can go into anything without a question; the code that"
        " makes and runs them stays GPL-3.0-or-later. Moves of games are facts, Lichess's puzzles are CC0, and what an engine"
        " says of a position carries no licence of the engine."
    )
}


@dataclass(frozen=True, slots=True)
class Card:
    """`found`: evaluations, the plain model's first. `notes`: Markdown by a person about the data, its sources and rights;
    sections of it that have a title of their own come after the recipe."""

    found: Sequence[Measured]
    licence: str
    run: RunFacts | None = None
    curve: Sequence[CurvePoint] = ()
    styles: StyleFigures | None = None
    notes: str | None = None


def markdown(card: Card, pictures: dict[str, str]) -> str:
    """`pictures`: names of files by what they show: curve, styles."""
    lines = [f"# {card.found[0].name}", "", *_summary(card), ""]
    for title, section in (
        ("Strength", _strength),
        ("Beside others", _anchors),
        ("Data", _data),
        ("Recipe and compute", _recipe),
    ):
        told = list(section(card))
        lines += [f"## {title}", "", *told, ""] if told else []
    _, title, further = (card.notes or "").partition(TITLE)
    lines += [f"{title}{further}".strip(), ""] if further else []
    if card.curve:
        lines += [
            "## Strength against compute",
            "",
            *curve_report.markdown(card.curve),
            f"![curve]({pictures['curve']})",
            "",
        ]
    if card.styles is not None:
        lines += ["## Styles", "", *style_report.markdown(card.styles), f"![confusions]({pictures['styles']})", ""]
    lines += ["## Known limits", "", *(f"- {limit}" for limit in LIMITS), ""]
    lines += ["## Licence", "", LICENCES.get(card.licence, f"{card.licence}."), ""]
    lines += [
        "Written by `edgechess evaluate card` from what was measured; edit the command's input, not this page.",
        "",
    ]
    return "\n".join(lines)


def _summary(card: Card) -> Iterator[str]:
    found = card.found[0]
    yield "A position goes in, a move comes out. It plays at a table by itself; no engine searches for it."
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    if found.weights is not None:
        weights = found.weights
        yield f"| size | {weights.parameters:,} parameters, {weights.bytes / 1e6:.2f} MB as stored, weights `{weights.digest[:16]}` |"
    if card.run is not None:
        yield f"| trained on | {card.run.positions:,} positions, {card.run.spent_s / 3600:.1f} hours of compute (one core, or an accelerator) |"
    yield f"| play it | `edgechess play --white model:{found.name} --black stockfish:elo=1350` |"
    yield f"| licence of the weights | {card.licence} |"


def _strength(card: Card) -> Iterator[str]:
    yield from report.conditions(card.found[0])
    for choice, meaning in report.KINDS.items():
        matches = [(found, match) for found in card.found for match in found.figures.matches if match.choice == choice]
        if matches:
            yield f"\n### {choice.capitalize()}\n\n{meaning.capitalize()}.\n"
            yield "| who | against | games | won-drawn-lost | score | Elo difference |"
            yield "| --- | --- | --- | --- | --- | --- |"
        for _, match in matches:
            s = match.score
            yield (
                f"| {match.first} | {match.second} | {s.games} | {s.wins}-{s.draws}-{s.losses} | {percent(s.score)}"
                f" | {report.difference(s.elo)} |"
            )
        tested = [match for _, match in matches if match.sprt is not None]
        if tested:
            yield ""
            yield from (f"- {match.first} against {match.second}: {report.sequential(match)}" for match in tested)
        for found in card.found:
            if choice in found.figures.even:
                level = found.figures.even[choice][1]
                yield f"\n{found.name}: one half at UCI_Elo {level.value:.0f} ({level.low:.0f} to {level.high:.0f})."
    for found in card.found:
        told = report.sections(found, matches=False)
        if told:
            yield ""
            yield from (line.replace("## ", "### ", 1) if line.startswith("## ") else line for line in told)


def _anchors(card: Card) -> Iterator[str]:
    yield "Their figures are their authors' own, each by its own protocol; ours are above. Read sizes and data first."
    yield ""
    yield "| model | parameters | data | result | source |"
    yield "| --- | --- | --- | --- | --- |"
    yield from _own_rows(card)
    yield from (f"| {' | '.join(anchor)} |" for anchor in ANCHORS)


def _own_rows(card: Card) -> Iterator[str]:
    found = card.found[0]
    size = f"{found.weights.parameters / 1e6:.2g} M" if found.weights is not None else "–"
    seen = f"{card.run.positions / 1e6:.2g} M positions seen" if card.run is not None else "–"
    results = [
        f"{match.second}: {percent(match.score.score)}" for match in found.figures.matches if match.choice == "pure"
    ]
    results += [
        f"puzzles, whole line {percent(each.whole)}" for name, each in found.figures.puzzles.items() if name == "pure"
    ]
    if found.figures.heldout is not None:
        results.append(f"masters' moves foretold {percent(found.figures.heldout.groups[0].top1)}")
    yield f"| **{found.name}** (pure) | {size} | {seen} | {'; '.join(results) or '–'} | this page |"


def _data(card: Card) -> Iterator[str]:
    if card.notes is not None:
        yield card.notes.partition(TITLE)[0].strip()
        yield ""
    if card.run is not None:
        yield "| dataset | share of what it saw | positions | made by | from |"
        yield "| --- | --- | --- | --- | --- |"
        yield from (_source_row(source) for source in card.run.sources)


def _source_row(source: Source) -> str:
    options = ", ".join(
        f"{key} {value}" for key, value in source.options.items() if not isinstance(value, (dict, list))
    )
    made = f"`{source.made_by}`" + (f" ({options})" if options else "") if source.made_by else "–"
    return f"| {source.name} | {source.share:.0%} | {source.positions:,} | {made} | {', '.join(source.files) or '–'} |"


def _recipe(card: Card) -> Iterator[str]:
    if card.run is None:
        return
    batch = card.run.recipe.get("batch", 0)
    yield (
        f"{card.run.positions:,} positions in batches of {batch}, {card.run.spent_s:,.0f} s of compute in training steps"
        f" ({card.run.positions / max(1.0, card.run.spent_s):,.0f} positions a second)."
    )
    yield ""
    yield f"```json\n{json.dumps(card.run.recipe, indent=2)}\n```"
