"""An evaluation for people: one Markdown page, its pictures, all figures as JSON, and every game as PGN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgechess_training.evaluation import plots
from edgechess_training.evaluation.evaluation import RETRIES_ELO, Evaluation, Figures
from edgechess_training.evaluation.games import Tally, pgn_of
from edgechess_training.evaluation.heldout import ENDGAME_PIECES, OPENING_PLIES
from edgechess_training.evaluation.judged import BLUNDER_CP, LOSS_MAX_CP
from edgechess_training.evaluation.matches import MatchFigures
from edgechess_training.evaluation.measured import FIGURES_FILE, Measured, measured, text_of
from edgechess_training.evaluation.puzzles import BAND
from edgechess_training.evaluation.reliability import Reliability
from edgechess_training.evaluation.retries import PLIES, TRIES
from edgechess_training.evaluation.statistics import ELO_MAX, FREE_SLOPE_LEVELS, Interval, share

REPORT_FILE = "report.md"
GAMES_FILE = "games.pgn"
STOPPED = "; a match that ends because of it shows a larger difference than there is"
KINDS = {
    "pure": "the network's best move among the legal ones: no ladder, no search, no engine",
    "lookahead": "the same network with one ply of lookahead: its outlook after each of its moves, mate and draws by the rules",
    "ladder": "the player as it plays at a table, with its retries and the engine that steps in",
}


def write(evaluation: Evaluation) -> list[Path]:
    """Everything that there are figures for. Raises OSError."""
    out, found = evaluation.out, measured(evaluation)
    pictures = {name: svg for name, svg in pictures_of(found.figures) if svg is not None}
    files = {
        REPORT_FILE: markdown(found, list(pictures)),
        FIGURES_FILE: text_of(found),
        GAMES_FILE: "".join(_pgns(evaluation)),
        **pictures,
    }
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in files]


def markdown(found: Measured, pictures: list[str]) -> str:
    lines = [f"# {found.name}, measured", "", *_head(found), "", *sections(found)]
    lines += [line for name in pictures for line in (f"![{name.removesuffix('.svg')}]({name})", "")]
    left_out = found.figures.left_out
    if left_out:
        lines += ["Not measured: " + "; ".join(f"{name} ({why})" for name, why in left_out.items()) + ".", ""]
    return "\n".join(lines)


def sections(found: Measured, *, matches: bool = True) -> list[str]:
    """Everything that was measured, each under its heading."""
    lines: list[str] = []
    first = (_matches,) if matches else ()
    for section in (*first, _ladder, _retries, _legality, _puzzles, _heldout, _centipawns, _outlook, _latency):
        told = list(section(found))
        lines += [*told, ""] if told else []
    return lines


def _head(found: Measured) -> Iterator[str]:
    weights = found.weights
    if weights is not None:
        yield (
            f"{weights.parameters:,} parameters, {weights.bytes / 1e6:.2f} MB as stored; weights `{weights.digest[:16]}`"
            + (f", adapter {found.name.partition('@')[2]}" if "@" in found.name else "")
            + "."
        )
    yield from conditions(found)


def conditions(found: Measured) -> Iterator[str]:
    """Against what, from where, with what intervals."""
    engine = found.engine
    if engine is not None:
        span = f"UCI_Elo {engine.elo_low} to {engine.elo_high}" if engine.elo_low is not None else "no UCI_Elo"
        yield (
            f"Engine: {engine.name} ({span}), one thread, a fixed number of nodes a move, its memory emptied before each; the same"
            " UCI_Elo means another strength in another version."
        )
    yield (
        f"Openings: {found.openings}, each played once with either colour. Draws are"
        f" claimed, nothing is adjudicated. Seed {found.seed}. Intervals are of 95 %, those of matches from pairs of games."
    )


def _matches(of: Measured) -> Iterator[str]:
    figures = of.figures
    if not figures.matches:
        return
    yield "## Matches"
    for choice in of.choices:
        yield f"\n*{choice}*: {KINDS[choice]}."
    yield "\n| who | against | games | won-drawn-lost | score | Elo difference | plies |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for match in figures.matches:
        s = match.score
        yield (
            f"| {match.first} | {match.second} | {s.games} | {s.wins}-{s.draws}-{s.losses} | {percent(s.score)}"
            f" | {difference(s.elo)} | {match.plies:.0f} |"
        )
    yield ""
    for match in figures.matches:
        yield from _remarks(match)
    for name, (curve, level) in figures.even.items():
        count = sum(match.level is not None and match.choice == name for match in figures.matches)
        slope = f"slope fitted ({curve.scale:.0f})" if count >= FREE_SLOPE_LEVELS else "with the usual slope of Elo"
        yield f"- {name}: the score is one half at UCI_Elo {level.value:.0f} ({level.low:.0f} to {level.high:.0f}), {slope}."


def _remarks(match: MatchFigures) -> Iterator[str]:
    how = ", ".join(f"{ending} {count}" for ending, count in match.endings.items())
    yield f"- {match.first} against {match.second}: pairs with 0, ½, 1, 1½, 2 points {list(match.score.pairs)}; {how}."
    if match.sprt is not None:
        yield f"  {sequential(match)}"


def sequential(match: MatchFigures) -> str:
    """What the sequential test says of a match that had one."""
    assert match.sprt is not None
    verdict = {"elo1": "stronger", "elo0": "not stronger", None: "undecided"}[match.verdict]
    stopped = "" if match.verdict is None else STOPPED
    return (
        f"SPRT of {match.sprt.elo0:g} against {match.sprt.elo1:g} Elo (risks {match.sprt.alpha:g}, {match.sprt.beta:g}):"
        f" {verdict}, log-likelihood ratio {match.ratio:.2f} over {match.score.games} games{stopped}."
    )


def _ladder(of: Measured) -> Iterator[str]:
    """Of either side: an opponent's engine that stepped in is no move of the opponent's."""
    for match in of.figures.matches:
        for name, tally, against in (
            (match.first, match.tally, match.second),
            (match.second, match.other, match.first),
        ):
            if tally.first_asked or tally.attempts > tally.moves or tally.fallbacks:
                yield _laddered(name, tally, against)


def _laddered(name: str, tally: Tally, against: str) -> str:
    first = (
        f"legal at the first try {percent(share(tally.first_legal, tally.first_asked))}; " if tally.first_asked else ""
    )
    return (
        f"On the ladder, {name} against {against}: {tally.moves} moves, {tally.attempts} tries, {tally.illegal} of them no legal"
        f" move, {tally.unanswered} without an answer; {first}the engine moved instead {tally.fallbacks} times"
        f" ({tally.fallbacks / max(1, tally.moves):.1%})."
    )


def _retries(of: Measured) -> Iterator[str]:
    found = of.figures.retries
    if found is not None:
        yield "## The reference demo's own test"
        how = f"up to {TRIES} proposals a move, without a mask" if of.weights is not None else "the ladder's own tries"
        yield (
            f"\nUp to {PLIES} plies against UCI_Elo {RETRIES_ELO}, which begins; {how}:"
            f" {found.games} games, {found.moves} moves, {found.legal} of {found.proposals} proposals legal, first try legal"
            f" {percent(found.first)}; {found.won} games mated, {found.lost} were lost to mate."
        )


def _legality(of: Measured) -> Iterator[str]:
    rows = [(f"puzzle positions, {each.count:,}", each.legal) for each in of.figures.puzzles.values()][:1]
    held = of.figures.heldout
    if held is not None:
        rows += [(f"held-out positions ({group.group}), {group.count:,}", group.raw_legal) for group in held.groups[:2]]
    if rows:
        yield "## Legal at the first try, without a mask\n"
        yield "The best of all 4,162 moves the network can name is a legal one.\n"
        yield from (f"- {name}: {percent(share, 2)}" for name, share in rows)


def _puzzles(of: Measured) -> Iterator[str]:
    found = of.figures.puzzles
    if not found:
        return
    yield "## Puzzles\n"
    yield "| rating | puzzles |" + "".join(f" {choice}: first move | whole line |" for choice in found)
    yield "| --- | --- |" + " --- | --- |" * len(found)
    first = next(iter(found.values()))
    for number, band in enumerate(first.bands):
        cells = [each.bands[number] for each in found.values()]
        yield f"| {band.low}–{band.low + BAND - 1} | {band.count} |" + "".join(
            f" {percent(cell.first)} | {percent(cell.whole)} |" for cell in cells
        )
    yield f"| all | {first.count} |" + "".join(
        f" {percent(each.first)} | {percent(each.whole)} |" for each in found.values()
    )


def _heldout(of: Measured) -> Iterator[str]:
    found = of.figures.heldout
    if found is None:
        return
    yield "## The masters' moves in held-out games\n"
    yield "| positions | number | top 1 | top 3 | loss |"
    yield "| --- | --- | --- | --- | --- |"
    for group in found.groups:
        yield f"| {group.group} | {group.count:,} | {percent(group.top1)} | {percent(group.top3)} | {group.loss:.3f} |"
    yield (
        f"\nopening: before ply {OPENING_PLIES}; endgame: at most {ENDGAME_PIECES} pieces besides kings and pawns; unseen: in no"
        " training game of this dataset."
    )


def _centipawns(of: Measured) -> Iterator[str]:
    found = of.figures.centipawns
    if not found:
        return
    yield "## Centipawn loss\n"
    yield f"By the engine at {of.judge_nodes:,} nodes, each loss cut at {LOSS_MAX_CP}.\n"
    for choice, each in found.items():
        yield (
            f"- {choice}: {each.loss.value:.0f} ({each.loss.low:.0f} to {each.loss.high:.0f}) on {each.count} held-out positions,"
            f" median {each.median:.0f}; {each.blunders:.1%} lose {BLUNDER_CP} or more."
        )


def _outlook(of: Measured) -> Iterator[str]:
    rows = _reliabilities(of.figures)
    if not rows:
        return
    yield "## Does the outlook mean what it says?\n"
    yield "| against | positions | Brier | of always the mean | mean distance over the bins |"
    yield "| --- | --- | --- | --- | --- |"
    for name, each in rows.items():
        yield f"| {name} | {each.count:,} | {each.brier:.4f} | {each.brier_flat:.4f} | {each.error:.4f} |"
    if of.figures.evals is not None:
        yield f"\nCorrelation with the engine's expected points: {of.figures.evals.correlation:.3f}."
    for name, each in rows.items():
        yield f"\n{name}: " + "; ".join(f"says {b.said:.2f}, came {b.came:.2f} ({b.count})" for b in each.bins) + "."


def _latency(of: Measured) -> Iterator[str]:
    found = of.figures.latency
    if not found:
        return
    yield "## Time for one move\n"
    yield f"From a position to a legal move, one at a time, on this machine ({of.machine}), with whatever else it was doing: a busy machine only makes it longer.\n"
    yield "| backend | threads | choice | p50 ms | p95 ms |"
    yield "| --- | --- | --- | --- | --- |"
    for each in found:
        yield f"| {each.backend} | {each.threads} | {each.choice} | {each.p50_ms:.1f} | {each.p95_ms:.1f} |"


def _reliabilities(figures: Figures) -> dict[str, Reliability]:
    rows = {}
    if figures.heldout is not None and figures.heldout.outlook is not None:
        rows["results"] = figures.heldout.outlook
    if figures.evals is not None:
        rows["engine"] = figures.evals.reliability
    return rows


def pictures_of(figures: Figures) -> Iterator[tuple[str, str | None]]:
    """Name of the file, and SVG; None where there is nothing to draw."""
    yield "levels.svg", plots.levels(figures.matches, figures.even)
    yield "puzzles.svg", plots.by_rating(figures.puzzles)
    yield "outlook.svg", plots.reliability(_reliabilities(figures))


def _pgns(evaluation: Evaluation) -> Iterator[str]:
    for match in evaluation.matches:
        for played in evaluation.games.get(match.name, []):
            yield pgn_of(played, match.first_name, match.second_name, match.name)


def difference(elo: Interval) -> str:
    """With its interval. At ELO_MAX a score says only that the difference is not smaller."""
    value, low, high = (_difference(each) for each in (elo.value, elo.low, elo.high))
    return f"{value} ({low} to {high})"


def _difference(elo: float) -> str:
    if elo >= ELO_MAX:
        return f"+{ELO_MAX:.0f} or more"
    return f"-{ELO_MAX:.0f} or less" if elo <= -ELO_MAX else f"{elo:+.0f}"


def percent(interval: Interval, digits: int = 1) -> str:
    return f"{interval.value:.{digits}%} ({100 * interval.low:.{digits}f}–{100 * interval.high:.{digits}f})"
