"""The picture of all parameters at once: parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_tune.report.canvas import GREY, INK, ORANGE, RED, WIDTH, drawable
from prefect_tune.report.text import counted
from prefect_tune.report.tune.facts import TuneFacts
from prefect_tune.report.tune.paper import (
    ValueAxis,
    best_note,
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
from prefect_tune.report.tune.scales import Scale, log_ticks, scale_of, shortened

_AXES = 8  # parameters that are drawn
_NOWHERE = -0.13  # where lines pass an axis that they have no value on


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """One of the axes: its name, a height from 0 to 1 for each trial, its marks; `nowhere` names the gap."""

    name: str
    heights: np.ndarray
    ticks: Sequence[tuple[float, str]]
    nowhere: str = ""


def parallel_figure(facts: TuneFacts, names: Sequence[str]) -> Any:
    """A line for each trial through its parameters to its value, darker the better its rank; the best is red.

    Lines of failed trials are dotted. Where a parameter is not used, lines pass below its axis.

    Args:
        facts: of the search.
        names: of the parameters; the first eight are drawn.
    """
    if facts.best is None:
        return no_values(facts)
    if not names:
        return words("No parameter varies.")
    axis = ValueAxis.of(scored_values(facts), minimised=facts.minimised)
    shown = [_of_scale(scale_of(name, facts.columns[name])) for name in names[:_AXES]]
    shown.append(_of_values(facts, axis))
    figure = picture(3.15)
    axes = panel(figure, 0.3, 0.6, WIDTH - 1.05, 2.25)
    _draw_lines(axes, facts, np.column_stack([each.heights for each in shown]))
    for place, each in enumerate(shown):
        _draw_axis(axes, place, each, (WIDTH - 1.05) / max(1, len(shown) - 1))
    axes.set_xlim(-0.02, len(shown) - 0.98)
    axes.set_ylim(_NOWHERE - 0.05, 1.03)
    axes.set_axis_off()
    hidden = len(names) - len(shown) + 1
    notes = [best_note(facts), strays_note(facts, axis), "better ranks darker"]
    headline(figure, [*notes, f"{counted(hidden, 'parameter')} not shown" if hidden > 0 else ""])
    return finished(figure)


def _of_scale(scale: Scale) -> _Axis:
    low, high = scale.low, scale.high
    jitter = 0.5 if scale.names else 1  # lines through one category fan out, but not into the next
    at = scale.at + jitter * (scale.spread() - scale.at) if scale.names else scale.at
    return _Axis(
        name=scale.name,
        heights=(at - low) / (high - low),
        ticks=[((place - low) / (high - low), label) for place, label in scale.ticks],
        nowhere="" if scale.present.all() else "not used",
    )


def _of_values(facts: TuneFacts, axis: ValueAxis) -> _Axis:
    from matplotlib.ticker import MaxNLocator

    apart = axis.high - axis.low
    heights = (axis.at([trial.value for trial in facts.trials]) - axis.low) / apart
    if axis.log:
        ticks = list(log_ticks(axis.low, axis.high, 6))
    else:
        found = MaxNLocator(nbins=6).tick_values(axis.low, axis.high)
        ticks = [(float(v), f"{v:.4g}") for v in found if axis.low <= v <= axis.high]
    nowhere = "none" if np.isnan(heights).any() else ""
    ticks = [((at - axis.low) / apart, label) for at, label in ticks]
    return _Axis(name=facts.metric, heights=heights, ticks=ticks, nowhere=nowhere)


def _draw_lines(axes: Any, facts: TuneFacts, heights: np.ndarray) -> None:
    """The worst first; those without a rank below all."""
    from matplotlib.collections import LineCollection

    x, heights = np.arange(heights.shape[1]), np.where(np.isnan(heights), _NOWHERE, heights)
    n, ranked = len(facts.trials), list(facts.order[: facts.ranked])
    crowd = max(1.0, n / 60)
    lost = [np.column_stack((x, heights[row])) for row in facts.order[facts.ranked :]]
    axes.add_collection(
        LineCollection(lost, colors=ORANGE, linewidths=0.8, linestyles=":", alpha=0.8 / crowd**0.4)
    )
    shares = [1 - place / max(1, len(ranked) - 1) for place in range(len(ranked))][::-1]
    # The lower half is a ground for the upper one.
    axes.add_collection(
        LineCollection(
            [np.column_stack((x, heights[row])) for row in reversed(ranked)],
            colors=[(*ramp(share**3), max(0.1, (0.5 + 0.45 * share**5) / crowd**0.5)) for share in shares],
            linewidths=[(0.7 + 0.5 * share**5) / crowd**0.1 for share in shares],
            capstyle="round",
        )
    )
    if facts.best is not None:
        axes.plot(x, heights[facts.best], color=RED, linewidth=2.0, linestyle="-", marker="", zorder=6)
        axes.scatter(x[-1:], heights[facts.best][-1:], s=80, color=RED, marker="*", linewidths=0, zorder=7)


def _draw_axis(axes: Any, place: int, each: _Axis, room: float) -> None:
    """A vertical line with its marks; `room` is the distance to the next one, in inches."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.2, foreground="white")]
    axes.vlines([place], 0, 1, colors=GREY, linewidth=0.9, linestyle="-", zorder=4)
    marks = [*each.ticks, *([(_NOWHERE, each.nowhere)] if each.nowhere else [])]
    width = max(3, int(room / 0.075) - 2)
    labels = shortened([drawable(label) for _, label in marks], width)
    for (at, _), label in zip(marks, labels, strict=True):
        axes.annotate(
            label, (place, at), xytext=(4, 0), textcoords="offset points", ha="left", va="center", fontsize=7,
            color=GREY if at < 0 else INK, zorder=8, path_effects=halo, annotation_clip=False,
        )  # fmt: skip
        if at >= 0:
            axes.plot([place], [at], marker="_", markersize=4, color=GREY, zorder=4)
    name = drawable(each.name, 200)
    fits = int(room / 0.068)
    axes.annotate(
        name if len(name) <= fits else "…" + name[1 - fits :], (place, 1.03), xytext=(-3, 3),
        textcoords="offset points", ha="left", va="bottom", fontsize=7.5, color=INK, fontweight="bold",
        annotation_clip=False,
    )  # fmt: skip
