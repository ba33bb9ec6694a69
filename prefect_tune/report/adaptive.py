"""An adaptive search in numbers: its learning curves, its brackets and rungs, what it found and what it ran.

Rule 1: everything follows from the table, the history and the plan, so a search that is still running is
reported in the same words as a finished one.
Rule 2: the order is that of the table, brackets from the most to the least aggressive; who reported first
does not show.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect_tune.chains import CALLS, Resource
from prefect_tune.report.text import counted, plural
from prefect_tune.results import AdaptiveResult

_SHOWN_RUNGS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The scores of one candidate, in the order of its training.

    Attributes:
        model_id: its name in the table.
        bracket: name of its bracket; None in a search without brackets.
        levels: units of the resource at each finite score.
        scores: these scores.
        failed_at: units at which it failed; None if it did not.
        best: whether it is the best candidate of the search.
    """

    model_id: Any
    bracket: Any
    levels: tuple[int, ...]
    scores: tuple[float, ...]
    failed_at: int | None = None
    best: bool = False

    @property
    def reached(self) -> int:
        """Units at which it was last seen."""
        return max((*self.levels, self.failed_at or 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class RungFacts:
    """Who came to one rung, and how they scored there.

    Attributes:
        level: units of the resource.
        size: candidates that were trained up to it, failed ones too.
        best, median: of their finite scores; None without any.
    """

    level: int
    size: int
    best: float | None
    median: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BracketFacts:
    """One bracket: what was planned and what came of it.

    Attributes:
        name: None in a search without brackets.
        candidates: how many it has.
        curves: those of its candidates that have been scored, or have failed.
        decisions: units of the resource at each planned rung.
        rungs: the planned ones, as far as they got; where nobody is dropped, some of the scores on the way.
        planned, done: units of the resource over all candidates and splits.
        best: best last score of its candidates; None without any.
        scores, found: scores so far, and how many of these were in the store; over all splits.
    """

    name: Any
    candidates: int
    curves: tuple[Curve, ...]
    decisions: tuple[int, ...]
    rungs: tuple[RungFacts, ...]
    planned: int
    done: int
    best: float | None
    scores: int
    found: int

    @property
    def failed(self) -> int:
        """Candidates that failed."""
        return sum(curve.failed_at is not None for curve in self.curves)


def units(result: AdaptiveResult, n: int | None = None) -> str:
    """What a unit of training is called: `calls`, `epochs`, a parameter's name; counted if `n` is given."""
    unit = Resource(name=result.resource).unit
    return plural(unit) if n is None else counted(n, unit)


def has_brackets(result: AdaptiveResult) -> bool:
    """Whether the search has brackets that have names."""
    return any(name is not None for name in _plans(result))


def max_level(result: AdaptiveResult) -> int:
    """Units of the resource that the longest-trained candidates get."""
    levels = [level for plan in _plans(result).values() for level in plan.get("decisions", ())]
    return max([*levels, *(int(entry["partial_fit_calls"]) for entry in result.history)], default=0)


def learning_curves(result: AdaptiveResult) -> list[Curve]:
    """The curve of each candidate in the table that has been scored, or has failed, in table order."""
    entries: dict[Any, list[Mapping[str, Any]]] = {}
    for entry in result.history:
        entries.setdefault(entry["model_id"], []).append(entry)
    names = list(result.cv_results["model_id"])
    best = None if result.best_index is None else names[result.best_index]
    return [_curve(entries[name], best=name == best) for name in names if name in entries]


def bracket_facts(result: AdaptiveResult) -> list[BracketFacts]:
    """The brackets, most aggressive first; a search without brackets is one."""
    by_name: dict[Any, list[Curve]] = {}
    for curve in learning_curves(result):
        by_name.setdefault(curve.bracket, []).append(curve)
    plans = _plans(result)
    names = dict.fromkeys((*plans, *by_name))
    return [_facts(result, name, plans.get(name, {}), by_name.get(name, [])) for name in names]


def rounds(result: AdaptiveResult) -> tuple[int, int]:
    """Rounds found in the store and rounds run; those of a running search so far."""
    if result.rounds_found or result.rounds_run:
        return result.rounds_found, result.rounds_run
    found = sum(bool(entry.get("known")) for entry in result.history)
    return found * result.n_splits, (len(result.history) - found) * result.n_splits


def resumed_text(result: AdaptiveResult) -> str:
    """One sentence: how much an earlier run had left to find. Empty before the first round."""
    found, run = rounds(result)
    total = found + run
    if not total:
        return ""
    if not found:
        return f"{counted(total, 'round')} run, none known before."
    if not run:
        return f"Resumed: {f'all {total:,} rounds were' if total > 1 else 'the round was'} known, none run."
    return f"Resumed: {found:,} of {total:,} rounds {'was' if found == 1 else 'were'} known, {run:,} run."


def size_text(result: AdaptiveResult) -> str:
    """How large the search is: candidates, brackets, the most training of one candidate, folds."""
    facts, level = bracket_facts(result), max_level(result)
    text = counted(sum(bracket.candidates for bracket in facts), "candidate")
    text += f" in {counted(len(facts), 'bracket')}" if has_brackets(result) else ""
    text += f", up to {units(result, level)}" + (" each" if level else "")
    return text + (f", {counted(result.n_splits, 'fold')}" if result.n_splits > 1 else "")


def work_shares(result: AdaptiveResult) -> tuple[str, int, int, int]:
    """What training is counted in, and how much of it was known, was run, and was planned but not needed.

    Training calls where these are the resource; elsewhere rounds, since no plan says how many calls a unit
    takes.
    """
    if result.resource != CALLS:
        return "round", *rounds(result), 0
    facts, run = bracket_facts(result), result.cost.calls
    planned, done = sum(bracket.planned for bracket in facts), sum(bracket.done for bracket in facts)
    known = max(0, done - run)
    return "training call", known, run, max(0, planned - known - run)


def reuse_rows(result: AdaptiveResult) -> list[tuple[str, int]]:
    """What was planned, known and run, as (label, number)."""
    cost, (found, run) = result.cost, rounds(result)
    rows = [("rounds known from the store", found), ("rounds run", run)]
    if result.resource == CALLS:
        unit, known, ran, spared = work_shares(result)
        rows += [(f"{unit}s planned", known + ran + spared), (f"{unit}s known from the store", known)]
    rows += [(f"{plural(cost.unit)} run", cost.calls), ("failed scores", cost.failed)]
    return [*rows, ("task runs", cost.task_runs)]


def rungs_text(rungs: Sequence[RungFacts]) -> str:
    """Candidates and units of each rung: `27 at 1, 9 at 3`; a rung that nobody has come to has a dash."""
    parts = [f"{rung.size or '–'} at {rung.level:,}" for rung in rungs]
    if len(parts) > _SHOWN_RUNGS:
        parts = [*parts[: _SHOWN_RUNGS - 2], "…", parts[-1]]
    return ", ".join(parts)


def spread_levels(levels: Iterable[int], count: int) -> list[int]:
    """At most so many of the levels, the last among them, about evenly far apart by factor.

    >>> spread_levels(range(1, 21), 6), spread_levels([3, 9, 27, 81, 243], 3)
    ([1, 2, 4, 8, 20], [3, 27, 243])
    """
    found = sorted(set(levels))
    if len(found) <= count:
        return found
    powers = [level for level in found if level & (level - 1) == 0 and 1.5 * level <= found[-1]]
    if len(powers) > 2:
        return [*powers[:: math.ceil(len(powers) / (count - 1))], found[-1]]
    steps = [above / level for level, above in itertools.pairwise(found)]
    if max(steps) < 1.2 * min(steps):
        return found[:: -math.ceil(len(found) / count)][::-1]
    low, high = math.log(found[0]), math.log(found[-1])
    marks = [low + i * (high - low) / (count - 1) for i in range(count)]
    return sorted({min(found, key=lambda level: abs(math.log(level) - mark)) for mark in marks})


def best_note(result: AdaptiveResult) -> str:
    """Why the best candidate is not the first of the leaderboard; empty if it is."""
    if result.best_index is None or result.best_score is None:
        return ""
    rank = int(result.cv_results[f"rank_test_{result.metric}"][result.best_index])
    if rank == 1:
        return ""
    return f"the best has rank {rank:,}: it is chosen among those that were trained to the end of a bracket"


def _plans(result: AdaptiveResult) -> dict[Any, Mapping[str, Any]]:
    """What was planned for each bracket, most aggressive first."""
    plan = result.metadata
    if "brackets" in plan:
        return {entry["bracket"]: entry for entry in reversed(plan["brackets"])}
    return {None: plan} if plan else {}


def _curve(entries: Sequence[Mapping[str, Any]], *, best: bool) -> Curve:
    scored = [(int(e["partial_fit_calls"]), float(e["score"])) for e in entries]
    finite = [(level, score) for level, score in scored if math.isfinite(score)]
    return Curve(
        model_id=entries[0]["model_id"],
        bracket=entries[0]["bracket"],
        levels=tuple(level for level, _ in finite),
        scores=tuple(score for _, score in finite),
        failed_at=next((level for level, score in scored if not math.isfinite(score)), None),
        best=best,
    )


def _facts(
    result: AdaptiveResult, name: Any, plan: Mapping[str, Any], curves: Sequence[Curve]
) -> BracketFacts:
    entries = [entry for entry in result.history if entry["bracket"] == name]
    done = sum(max(curve.levels, default=0) for curve in curves)
    planned = int(plan.get("partial_fit_calls", done))
    decisions = levels = tuple(int(level) for level in plan.get("decisions", ()))
    if len(levels) < 2:
        levels = tuple(spread_levels([*levels, *(level for c in curves for level in c.levels)], 8))
    return BracketFacts(
        name=name,
        candidates=int(plan.get("n_models", len(curves))),
        curves=tuple(curves),
        decisions=decisions,
        rungs=tuple(_rung(level, curves) for level in levels),
        planned=planned * result.n_splits,
        done=done * result.n_splits,
        best=max((curve.scores[-1] for curve in curves if curve.scores), default=None),
        scores=len(entries) * result.n_splits,
        found=sum(bool(entry.get("known")) for entry in entries) * result.n_splits,
    )


def _rung(level: int, curves: Sequence[Curve]) -> RungFacts:
    scores = [
        curve.scores[curve.levels.index(level)]
        for curve in curves
        if level in curve.levels and curve.failed_at != level
    ]
    failed = sum(curve.failed_at == level for curve in curves)
    return RungFacts(
        level=level,
        size=len(scores) + failed,
        best=max(scores, default=None),
        median=statistics.median(scores) if scores else None,
    )
