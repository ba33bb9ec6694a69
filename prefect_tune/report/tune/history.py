"""The picture of a search's course: what each trial came to, and the best so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from prefect_tune.report.canvas import RED, WIDTH
from prefect_tune.report.text import counted
from prefect_tune.report.tune.facts import TuneFacts
from prefect_tune.report.tune.paper import (
    LEFT,
    RIGHT,
    ValueAxis,
    best_note,
    dot_size,
    draw_failures,
    draw_points,
    draw_star,
    finished,
    headline,
    no_values,
    panel,
    picture,
    scored_values,
    stage_colours,
    stage_legend,
    strays_note,
    whole_ticks,
    x_label,
)


def history_figure(facts: TuneFacts) -> Any:
    """Values of all trials in the order of their creation, coloured by how far each came.

    A line follows the best so far, a star marks the best trial, crosses those that failed; hollow dots run.
    """
    if facts.best is None:
        return no_values(facts)
    axis = ValueAxis.of(scored_values(facts), minimised=facts.minimised)
    above = 0.58 if len(facts.levels) > 1 else 0.4  # inches: room for the legend
    figure = picture(above + 2.55)
    axes = panel(figure, LEFT, above, WIDTH - LEFT - RIGHT, 2.05)
    scored = [trial for trial in facts.trials if trial.scored and not trial.failed]
    x = np.array([trial.index for trial in scored], dtype=float)
    colours = stage_colours(facts)
    draw_points(
        axes, x, scored, axis, colours=[colours[facts.stage(t)] for t in scored],
        size=dot_size(len(facts.trials)),
    )  # fmt: skip
    draw_failures(axes, np.array([t.index for t in facts.trials if t.failed], dtype=float), axis)
    _draw_best_so_far(axes, facts, axis)
    best = facts.trials[facts.best]
    draw_star(axes, best.index, float(axis.at(best.value)))
    last = facts.trials[-1].index
    pad = max(0.6, 0.015 * last)
    axes.set_xlim(-pad, last + pad)
    axis.finish(axes)
    whole_ticks(axes, 0, last)
    x_label(axes, "trial")
    stage_legend(axes, facts)
    headline(figure, [best_note(facts), counted(len(facts.trials), "trial"), strays_note(facts, axis)])
    return finished(figure)


def _draw_best_so_far(axes: Any, facts: TuneFacts, axis: ValueAxis) -> None:
    trials = [trial for trial in facts.trials if facts.counts(trial)]
    if not trials:
        return
    follow = np.minimum if facts.minimised else np.maximum
    best = follow.accumulate([trial.value for trial in trials])
    x = [*(trial.index for trial in trials), facts.trials[-1].index]
    axes.step(x, axis.at([*best, best[-1]]), where="post", color=RED, linewidth=1.1, alpha=0.8, zorder=2)
