"""An evaluation for people: one Markdown page, its pictures, all figures as JSON, and every game as PGN."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgechess_training.evaluation import plots
from edgechess_training.evaluation.evaluation import RETRIES_ELO, Evaluation
from edgechess_training.evaluation.games import pgn_of
from edgechess_training.evaluation.heldout import ENDGAME_PIECES, OPENING_PLIES
from edgechess_training.evaluation.judged import BLUNDER_CP, LOSS_MAX_CP
from edgechess_training.evaluation.matches import MatchFigures
from edgechess_training.evaluation.puzzles import BAND
from edgechess_training.evaluation.reliability import Reliability
from edgechess_training.evaluation.retries import PLIES, TRIES
from edgechess_training.evaluation.statistics import FREE_SLOPE_LEVELS, Interval

REPORT_FILE = "report.md"
FIGURES_FILE = "figures.json"
GAMES_FILE = "games.pgn"
KINDS = {
    "pure": "the network's best move among the legal ones: no ladder, no search, no engine",
    "lookahead": "the same network with one ply of lookahead: its outlook after each of its moves, mate and draws by the rules",
    "ladder": "the player as it plays at a table, with its retries and the engine that steps in",
}


def write(evaluation: Evaluation) -> list[Path]:
    """Everything that there are figures for. Raises OSError."""
    out = evaluation.out
    pictures = {name: svg for name, svg in _pictures(evaluation) if svg is not None}
    files = {
        REPORT_FILE: markdown(evaluation, list(pictures)),
        FIGURES_FILE: json.dumps(as_json(evaluation), indent=1) + "\n",
        GAMES_FILE: "".join(_pgns(evaluation)),
        **pictures,
    }
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in files]


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    figures = dataclasses.asdict(evaluation.figures)
    figures["even"] = {
        choice: {"level": dataclasses.asdict(interval), "scale": curve.scale}
        for choice, (curve, interval) in evaluation.figures.even.items()
    }
    engine = evaluation.engine
    return {
        "settings": evaluation.settings(),
        "sizes": dataclasses.asdict(evaluation.wanted.sizes),
        "engine": dataclasses.asdict(engine) if engine is not None else None,
        "figures": figures,
    }


def markdown(evaluation: Evaluation, pictures: list[str]) -> str:
    lines = [f"# {evaluation.subject.name}, measured", "", *_head(evaluation), ""]
    for section in (_matches, _ladder, _retries, _legality, _puzzles, _heldout, _centipawns, _outlook, _latency):
        found = list(section(evaluation))
        lines += [*found, ""] if found else []
    lines += [line for name in pictures for line in (f"![{name.removesuffix('.svg')}]({name})", "")]
    left_out = evaluation.figures.left_out
    if left_out:
        lines += ["Not measured: " + "; ".join(f"{name} ({why})" for name, why in left_out.items()) + ".", ""]
    return "\n".join(lines)


def _head(evaluation: Evaluation) -> Iterator[str]:
    network, engine, wanted = evaluation.network, evaluation.engine, evaluation.wanted
    if network is not None:
        yield (
            f"{network.parameters:,} parameters, {network.stored_bytes / 1e6:.2f} MB as stored; weights `{network.digest[:16]}`"
            + (f", adapter {evaluation.subject.name.partition('@')[2]}" if "@" in evaluation.subject.name else "")
            + "."
        )
    if engine is not None:
        span = f"UCI_Elo {engine.elo_low} to {engine.elo_high}" if engine.elo_low is not None else "no UCI_Elo"
        yield (
            f"Engine: {engine.name} ({span}), one thread, a fixed number of nodes a move, its memory emptied before each; the same"
            " UCI_Elo means another strength in another version."
        )
    yield (
        f"Openings: {evaluation.book.name} ({len(evaluation.book.entries):,}), each played once with either colour. Draws are"
        f" claimed, nothing is adjudicated. Seed {wanted.seed}. Intervals are of 95 %, those of matches from pairs of games."
    )


def _matches(evaluation: Evaluation) -> Iterator[str]:
    figures = evaluation.figures
    if not figures.matches:
        return
    yield "## Matches"
    for choice in evaluation.wanted.choices:
        yield f"\n*{choice}*: {KINDS[choice]}."
    yield "\n| who | against | games | won-drawn-lost | score | Elo difference | plies |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for match in figures.matches:
        s = match.score
        elo = f"{s.elo.value:+.0f} ({s.elo.low:+.0f} to {s.elo.high:+.0f})"
        yield (
            f"| {match.first} | {match.second} | {s.games} | {s.wins}-{s.draws}-{s.losses} | {_percent(s.score)}"
            f" | {elo} | {match.plies:.0f} |"
        )
    yield ""
    for match in figures.matches:
        yield from _remarks(match)
    for name, (curve, level) in figures.even.items():
        count = sum(match.level is not None and match.name.split()[1] == name for match in figures.matches)
        slope = f"slope fitted ({curve.scale:.0f})" if count >= FREE_SLOPE_LEVELS else "with the usual slope of Elo"
        yield f"- {name}: the score is one half at UCI_Elo {level.value:.0f} ({level.low:.0f} to {level.high:.0f}), {slope}."


def _remarks(match: MatchFigures) -> Iterator[str]:
    how = ", ".join(f"{ending} {count}" for ending, count in match.endings.items())
    yield f"- {match.first} against {match.second}: pairs with 0, ½, 1, 1½, 2 points {list(match.score.pairs)}; {how}."
    if match.sprt is not None:
        verdict = {"elo1": "stronger", "elo0": "not stronger", None: "undecided"}[match.verdict]
        yield (
            f"  SPRT of {match.sprt.elo0:g} against {match.sprt.elo1:g} Elo (risks {match.sprt.alpha:g}, {match.sprt.beta:g}):"
            f" {verdict}, log-likelihood ratio {match.ratio:.2f}."
        )


def _ladder(evaluation: Evaluation) -> Iterator[str]:
    for match in evaluation.figures.matches:
        tally = match.tally
        if tally.attempts > tally.moves or tally.fallbacks or "(ladder)" in match.first:
            yield (
                f"On the ladder ({match.second}): {tally.moves} moves, {tally.attempts} proposals, {tally.illegal} of them no legal"
                f" move; the engine moved instead {tally.fallbacks} times ({tally.fallbacks / max(1, tally.moves):.1%})."
            )


def _retries(evaluation: Evaluation) -> Iterator[str]:
    found = evaluation.figures.retries
    if found is not None:
        yield "## The reference demo's own test"
        yield (
            f"\nUp to {PLIES} plies against UCI_Elo {RETRIES_ELO}, which begins; up to {TRIES} proposals a move, without a mask:"
            f" {found.games} games, {found.moves} moves, {found.legal} of {found.proposals} proposals legal, first try legal"
            f" {_percent(found.first)}; {found.won} games mated, {found.lost} were lost to mate."
        )


def _legality(evaluation: Evaluation) -> Iterator[str]:
    rows = [(f"puzzle positions, {each.count:,}", each.legal) for each in evaluation.figures.puzzles.values()][:1]
    held = evaluation.figures.heldout
    if held is not None:
        rows += [(f"held-out positions ({group.group}), {group.count:,}", group.raw_legal) for group in held.groups[:2]]
    if rows:
        yield "## Legal at the first try, without a mask\n"
        yield "The best of all 4,162 moves the network can name is a legal one.\n"
        yield from (f"- {name}: {_percent(share, 2)}" for name, share in rows)


def _puzzles(evaluation: Evaluation) -> Iterator[str]:
    found = evaluation.figures.puzzles
    if not found:
        return
    yield "## Puzzles\n"
    yield "| rating | puzzles |" + "".join(f" {choice}: first move | whole line |" for choice in found)
    yield "| --- | --- |" + " --- | --- |" * len(found)
    first = next(iter(found.values()))
    for number, band in enumerate(first.bands):
        cells = [each.bands[number] for each in found.values()]
        yield f"| {band.low}–{band.low + BAND - 1} | {band.count} |" + "".join(
            f" {_percent(cell.first)} | {_percent(cell.whole)} |" for cell in cells
        )
    yield f"| all | {first.count} |" + "".join(
        f" {_percent(each.first)} | {_percent(each.whole)} |" for each in found.values()
    )


def _heldout(evaluation: Evaluation) -> Iterator[str]:
    found = evaluation.figures.heldout
    if found is None:
        return
    yield "## The masters' moves in held-out games\n"
    yield "| positions | number | top 1 | top 3 | loss |"
    yield "| --- | --- | --- | --- | --- |"
    for group in found.groups:
        yield f"| {group.group} | {group.count:,} | {_percent(group.top1)} | {_percent(group.top3)} | {group.loss:.3f} |"
    yield (
        f"\nopening: before ply {OPENING_PLIES}; endgame: at most {ENDGAME_PIECES} pieces besides kings and pawns; unseen: in no"
        " game of the training data."
    )


def _centipawns(evaluation: Evaluation) -> Iterator[str]:
    found = evaluation.figures.centipawns
    if not found:
        return
    yield "## Centipawn loss\n"
    yield f"By the engine at {evaluation.wanted.judge_nodes:,} nodes, each loss cut at {LOSS_MAX_CP}.\n"
    for choice, each in found.items():
        yield (
            f"- {choice}: {each.loss.value:.0f} ({each.loss.low:.0f} to {each.loss.high:.0f}) on {each.count} held-out positions,"
            f" median {each.median:.0f}; {each.blunders:.1%} lose {BLUNDER_CP} or more."
        )


def _outlook(evaluation: Evaluation) -> Iterator[str]:
    rows = _reliabilities(evaluation)
    if not rows:
        return
    yield "## Does the outlook mean what it says?\n"
    yield "| against | positions | Brier | of always the mean | mean distance over the bins |"
    yield "| --- | --- | --- | --- | --- |"
    for name, each in rows.items():
        yield f"| {name} | {each.count:,} | {each.brier:.4f} | {each.brier_flat:.4f} | {each.error:.4f} |"
    if evaluation.figures.evals is not None:
        yield f"\nCorrelation with the engine's expected points: {evaluation.figures.evals.correlation:.3f}."
    for name, each in rows.items():
        yield f"\n{name}: " + "; ".join(f"says {b.said:.2f}, came {b.came:.2f} ({b.count})" for b in each.bins) + "."


def _latency(evaluation: Evaluation) -> Iterator[str]:
    found = evaluation.figures.latency
    if not found:
        return
    yield "## Time for one move\n"
    yield f"From a position to a legal move, one at a time, on this machine ({evaluation.machine()}), busy or not.\n"
    yield "| backend | threads | choice | p50 ms | p95 ms |"
    yield "| --- | --- | --- | --- | --- |"
    for each in found:
        yield f"| {each.backend} | {each.threads} | {each.choice} | {each.p50_ms:.1f} | {each.p95_ms:.1f} |"


def _reliabilities(evaluation: Evaluation) -> dict[str, Reliability]:
    figures, rows = evaluation.figures, {}
    if figures.heldout is not None and figures.heldout.outlook is not None:
        rows["results"] = figures.heldout.outlook
    if figures.evals is not None:
        rows["engine"] = figures.evals.reliability
    return rows


def _pictures(evaluation: Evaluation) -> Iterator[tuple[str, str | None]]:
    figures = evaluation.figures
    yield "levels.svg", plots.levels(figures.matches, figures.even)
    yield "puzzles.svg", plots.by_rating(figures.puzzles)
    yield "outlook.svg", plots.reliability(_reliabilities(evaluation))


def _pgns(evaluation: Evaluation) -> Iterator[str]:
    for match in evaluation.matches:
        for played in evaluation.games.get(match.name, []):
            yield pgn_of(played, match.first_name, match.second_name, match.name)


def _percent(interval: Interval, digits: int = 1) -> str:
    return f"{interval.value:.{digits}%} ({100 * interval.low:.{digits}f}–{100 * interval.high:.{digits}f})"
