"""The picture of learning curves: how trials did on their way, and how far each came."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from prefect_tune.report.adaptive import spread_levels
from prefect_tune.report.canvas import INK, RED, WIDTH
from prefect_tune.report.text import counted
from prefect_tune.report.tune.facts import TrialFacts, TuneFacts, rung_facts
from prefect_tune.report.tune.paper import (
    GUIDE,
    LEFT,
    RIGHT,
    ValueAxis,
    best_note,
    draw_star,
    finished,
    headline,
    no_values,
    panel,
    picture,
    stage_colours,
    stage_legend,
    whole_ticks,
    words,
    x_label,
)

_CROWD = 60  # more curves than this are drawn thin


def curves_figure(facts: TuneFacts) -> Any:
    """Metric against resource, a line for each trial, darker the further it came; vertical lines are rungs.

    The best trial is red with a star, a cross ends the curve of one that failed. Above each rung stands how
    many trials came to it.
    """
    if facts.best is None:
        return no_values(facts)
    if not facts.staged:
        return words("Trials of this search report once: there are no learning curves.")
    shown = [trial for trial in facts.trials if trial.scored]
    better = min if facts.minimised else max
    # Three values of each: a long curve weighs no more than a short one.
    values = [value for t in shown for value in (t.values[0], better(t.values), t.value)]
    axis = ValueAxis.of(values, minimised=facts.minimised)
    above = 0.72 if len(facts.levels) > 1 else 0.4  # inches: room for the legend
    figure = picture(above + 2.85)
    axes = panel(figure, LEFT, above, WIDTH - LEFT - RIGHT, 2.3)
    powers = _by_powers(facts)
    _draw_curves(axes, facts, axis, powers)
    low, high = _ends(facts)
    place = _placer(powers)
    left, right = float(place(low)), float(place(high))
    pad = 0.02 * (right - left) or 0.5
    axes.set_xlim(left - pad, right + pad)
    axis.finish(axes)
    axes.grid(False, axis="x")
    if len(facts.levels) > 1:
        _draw_rungs(axes, facts, axis, powers)
    if powers:
        ticks = spread_levels(facts.levels, 9)
        axes.set_xticks(np.log2(ticks), [f"{level:,}" for level in ticks])
    else:
        whole_ticks(axes, low, high)
    x_label(axes, "folds" if facts.unit == "fold" else "resource")
    stage_legend(axes, facts, above=1.06)
    strays = int(axis.beyond([v for trial in shown for v in trial.values]).sum())
    failed = sum(trial.failed for trial in facts.trials)
    notes = [best_note(facts), counted(len(shown), "curve"), f"{failed:,} failed" if failed else ""]
    notes += [f"{counted(strays, 'report')} beyond the picture"] if strays else []
    headline(figure, notes)
    return finished(figure)


def _by_powers(facts: TuneFacts) -> bool:
    """Whether rungs lie a factor apart, and are drawn so."""
    return len(facts.levels) > 2 and facts.levels[-1] >= 8 * facts.levels[0]


def _placer(powers: bool) -> Any:
    return np.log2 if powers else np.asarray


def _ends(facts: TuneFacts) -> tuple[int, int]:
    reached = [level for trial in facts.trials for level in trial.levels]
    return min([*reached, *facts.levels[:1]]), max([*reached, *facts.levels[-1:]])


def _draw_curves(axes: Any, facts: TuneFacts, axis: ValueAxis, powers: bool) -> None:
    """Those that stopped early first, the best on top."""
    from matplotlib.collections import LineCollection

    place, colours = _placer(powers), stage_colours(facts)
    crowd = max(1.0, len(facts.trials) / _CROWD)
    best = facts.trials[facts.best or 0]
    shown = sorted((t for t in facts.trials if t.scored and t is not best), key=lambda t: t.levels[-1])
    for stage, group in itertools.groupby(shown, key=facts.stage):
        trials = list(group)
        share = stage / max(1, len(facts.levels))
        # The last ones to stop are few, and what the search is about.
        look = {"alpha": (0.9 if share > 0.9 else 0.75) / crowd**0.2, "zorder": 2 + share}
        lines = [np.column_stack((place(trial.levels), axis.at(trial.values))) for trial in trials]
        width = (1.0 if crowd == 1 else 0.6) * (1.4 if share > 0.9 and len(facts.levels) > 1 else 1)
        axes.add_collection(
            LineCollection(lines, colors=[colours[stage]], linewidths=width, capstyle="round", **look)
        )
        x, y = np.array([line[-1] for line in lines]).T
        axes.scatter(x, y, s=6 + 6 * width, color=[colours[stage]], linewidths=0, **look)
    x, y = place(best.levels), axis.at(best.values)
    axes.plot(x, y, color=RED, linewidth=1.9, linestyle="-", marker="", zorder=6)
    draw_star(axes, float(x[-1]), float(y[-1]))
    _draw_failures(axes, [t for t in facts.trials if t.failed], axis, place)


def _draw_failures(axes: Any, trials: Sequence[TrialFacts], axis: ValueAxis, place: Any) -> None:
    """A cross where a failed trial was last seen; along the end of bad values if it never reported."""
    if trials:
        x = [float(place(trial.levels[-1] if trial.levels else 1)) for trial in trials]
        y = [float(axis.at(trial.value)) if trial.scored else axis.worst for trial in trials]
        axes.scatter(x, y, s=18, color=INK, marker="x", linewidths=0.9, alpha=0.8, zorder=5, clip_on=False)


def _draw_rungs(axes: Any, facts: TuneFacts, axis: ValueAxis, powers: bool) -> None:
    at = [math.log2(level) if powers else float(level) for level in facts.levels]
    axes.vlines(at, axis.low, axis.high, **GUIDE)
    for x, rung in zip(at, rung_facts(facts), strict=True):
        axes.annotate(
            f"{rung.size:,}", (x, axis.high), xytext=(0, 2), textcoords="offset points", ha="center",
            va="bottom", fontsize=7.5, color=INK, annotation_clip=False,
        )  # fmt: skip
