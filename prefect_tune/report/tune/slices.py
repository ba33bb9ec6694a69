"""The picture of each parameter against the metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from prefect_tune.report.canvas import INK, WIDTH, drawable
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
    ramp,
    scored_values,
    strays_note,
    words,
)
from prefect_tune.report.tune.scales import Scale, scale_of, shortened

_ROW, _PANELS = 4, 8
_TALL, _GAP, _BETWEEN = 1.4, 0.14, 0.72  # inches: a panel, between panels, between rows


def slice_figure(facts: TuneFacts, names: Sequence[str]) -> Any:
    """Values against one parameter after the other, a dot for each trial that has it; later ones darker.

    A star marks the best trial, crosses those that failed; hollow dots run.

    Args:
        facts: of the search.
        names: of the parameters; the first eight are drawn.
    """
    if facts.best is None:
        return no_values(facts)
    if not names:
        return words("No parameter varies.")
    axis = ValueAxis.of(scored_values(facts), minimised=facts.minimised)
    shown = list(names[:_PANELS])
    rows = math.ceil(len(shown) / _ROW)
    figure = picture(0.38 + rows * (_TALL + _BETWEEN) + 0.15)
    slots = max(2, min(_ROW, math.ceil(len(shown) / rows)))
    width = (WIDTH - LEFT - RIGHT - _GAP * (slots - 1)) / slots
    for i, name in enumerate(shown):
        row, place = divmod(i, slots)
        top = 0.38 + row * (_TALL + _BETWEEN) + 0.22
        axes = panel(figure, LEFT + place * (width + _GAP), top, width, _TALL)
        scale = scale_of(name, facts.columns[name], max(2, int(width / 0.45)))
        _draw_slice(axes, facts, scale, axis)
        axis.finish(axes)
        axes.tick_params(labelleft=place == 0)
        _mark(axes, scale, width)
    hidden = len(names) - len(shown)
    notes = [best_note(facts), strays_note(facts, axis), "later trials darker"]
    headline(figure, [*notes, f"{counted(hidden, 'parameter')} not shown" if hidden else ""])
    return finished(figure)


def _draw_slice(axes: Any, facts: TuneFacts, scale: Scale, axis: ValueAxis) -> None:
    at, last = scale.spread(), max(1, len(facts.trials) - 1)
    scored = [i for i, t in enumerate(facts.trials) if scale.present[i] and t.scored and not t.failed]
    draw_points(
        axes, at[scored], [facts.trials[i] for i in scored], axis, colours=[ramp(i / last) for i in scored],
        size=0.8 * dot_size(len(facts.trials)),
    )  # fmt: skip
    failed = [i for i, t in enumerate(facts.trials) if scale.present[i] and t.failed]
    draw_failures(axes, at[failed], axis)
    best = facts.best
    if best is not None and scale.present[best]:
        draw_star(axes, float(at[best]), float(axis.at(facts.trials[best].value)))
    axes.set_xlim(scale.low, scale.high)


def _mark(axes: Any, scale: Scale, width: float) -> None:
    """Name and marks; long names of categories are turned."""
    name = drawable(scale.name, 200)
    room = int(width / 0.075)
    has = int(scale.present.sum())
    label = name if len(name) <= room else "…" + name[1 - room :]
    few = f"  {counted(has, 'trial')}" if has < len(scale.at) and len(label) + 12 <= room else ""
    axes.set_title(label + few, loc="left", fontsize=8, color=INK, pad=4)
    labels = shortened([drawable(text) for _, text in scale.ticks], 12)
    axes.set_xticks([at for at, _ in scale.ticks], labels)
    crowded = max(map(len, labels), default=0) * len(labels) > 14 * width
    if scale.names and crowded:
        for text in axes.get_xticklabels():
            text.set(rotation=35, ha="right", rotation_mode="anchor")
