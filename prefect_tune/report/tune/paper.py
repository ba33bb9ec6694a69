"""What the pictures of a search over an objective have in common: the axis of values, stages, marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from prefect_tune.report.canvas import (
    GREY,
    INK,
    RED,
    WIDTH,
    drawable,
    new_figure,
    png,
    say,
    style,
    take_literally,
)
from prefect_tune.report.text import counted, score_text
from prefect_tune.report.tune.facts import TrialFacts, TuneFacts
from prefect_tune.report.tune.scales import log_ticks
from prefect_tune.trials import TrialState

Colour: TypeAlias = tuple[float, float, float]
LEFT, RIGHT = 0.68, 0.1  # inches
_PALE, _MIDDLE, _DARK = (0.76, 0.86, 0.93), (0.0, 0.447, 0.698), (0.0, 0.2, 0.42)  # the middle is BLUE
_DECADES = 50  # values whose bulk lies further apart than this are drawn by their logarithm


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueAxis:
    """The axis of a metric. A few values that went far astray do not squeeze all others flat.

    Attributes:
        low, high: its ends, as drawn.
        log: whether decimal logarithms are drawn.
        minimised: whether small values are good.
    """

    low: float
    high: float
    log: bool
    minimised: bool

    @classmethod
    def of(cls, values: Sequence[float], *, minimised: bool) -> ValueAxis:
        """The axis for finite values, at least one."""
        given = np.asarray(values, dtype=float)
        low, high = (float(q) for q in np.quantile(given, (0.1, 0.9)))
        log = bool(given.min() > 0 and high > _DECADES * low)
        drawn = np.log10(given) if log else given
        low, high = _bulk(drawn if minimised else -drawn)
        low, high = (low, high) if minimised else (-high, -low)
        apart = (high - low) or 0.2 * abs(high) or 1.0
        return cls(low=low - 0.1 * apart, high=high + 0.1 * apart, log=log, minimised=minimised)

    def at(self, values: Any) -> np.ndarray:
        """Where values are drawn: what lies beyond an end, just inside it."""
        drawn = np.asarray(values, dtype=float)
        drawn = np.log10(drawn) if self.log else drawn
        edge = 0.02 * (self.high - self.low)
        return np.clip(drawn, self.low + edge, self.high - edge)

    def beyond(self, values: Any) -> np.ndarray:
        """Which values lie beyond an end."""
        drawn = np.asarray(values, dtype=float)
        drawn = np.log10(drawn) if self.log else drawn
        return (drawn < self.low) | (drawn > self.high)

    @property
    def worst(self) -> float:
        """Just inside the end where bad values lie: the place of trials that failed."""
        edge = 0.03 * (self.high - self.low)
        return self.high - edge if self.minimised else self.low + edge

    def finish(self, axes: Any) -> None:
        """Limits, marks and the common look; called when all else is drawn."""
        axes.set_ylim(self.low, self.high)
        style(axes)
        if self.log:
            ticks = log_ticks(self.low, self.high, 6)
            axes.set_yticks([at for at, _ in ticks], [label for _, label in ticks])


def _bulk(losses: np.ndarray) -> tuple[float, float]:
    """The range of all losses but the few that are far too large."""
    first, middle, third = (float(q) for q in np.quantile(losses, (0.25, 0.5, 0.75)))
    fence = third + 4 * max(third - first, middle - float(losses.min()))
    return float(losses.min()), float(losses[losses <= fence].max())


def picture(height: float) -> Any:
    """An empty figure that notebooks show without pyplot."""
    figure = new_figure(height)
    figure._repr_png_ = partial(png, figure)
    return figure


def words(message: str) -> Any:
    """A figure that says why there is nothing to draw."""
    figure = picture(1.2)
    say(figure.add_axes((0, 0, 1, 1)), message)
    return finished(figure)


def finished(figure: Any) -> Any:
    """The figure, its texts drawn as written wherever it is saved."""
    take_literally(figure)
    return figure


def panel(figure: Any, left: float, top: float, width: float, height: float) -> Any:
    """Axes at so many inches from the left and from the top."""
    tall = figure.get_figheight()
    return figure.add_axes((left / WIDTH, 1 - (top + height) / tall, width / WIDTH, height / tall))


def headline(figure: Any, notes: Sequence[str], top: float = 0.24) -> None:
    """The line above the picture."""
    text = "  ·  ".join(note for note in notes if note)
    figure.text(LEFT / WIDTH, 1 - top / figure.get_figheight(), text, fontsize=8, color=INK)


def best_note(facts: TuneFacts) -> str:
    """The metric and its best value."""
    name = drawable(facts.metric, 30)
    if facts.best is None:
        return name
    best = facts.trials[facts.best]
    return f"{name}, best {score_text(best.value)} (trial {best.index})"


def strays_note(facts: TuneFacts, axis: ValueAxis) -> str:
    """How many trials lie beyond the picture, and how many have failed."""
    beyond = int(axis.beyond(scored_values(facts)).sum())
    failed = sum(trial.failed for trial in facts.trials)
    notes = [f"{beyond:,} beyond the picture" if beyond else "", f"{failed:,} failed" if failed else ""]
    return "  ·  ".join(note for note in notes if note)


def scored_values(facts: TuneFacts) -> list[float]:
    """Values of the trials that have one."""
    return [trial.value for trial in facts.trials if trial.scored]


def ramp(share: float) -> Colour:
    """A blue from pale, at 0, to dark, at 1."""
    first, second, t = (_PALE, _MIDDLE, 2 * share) if share < 0.5 else (_MIDDLE, _DARK, 2 * share - 1)
    red, green, blue = (a + (b - a) * t for a, b in zip(first, second, strict=True))
    return red, green, blue


def stage_colours(facts: TuneFacts) -> list[Colour]:
    """A colour for each stage, from 0, below the first level, to the last."""
    n = len(facts.levels)
    if n < 2:
        return [ramp(0.5)] * (n + 1)
    return [ramp(0), *(ramp(i / (n - 1)) for i in range(n))]


def stage_legend(axes: Any, facts: TuneFacts, above: float = 1.02) -> None:
    """What the colours say: how far a trial came. Nothing where all come equally far."""
    from matplotlib.lines import Line2D

    if len(facts.levels) < 2:
        return
    came = sorted({max(1, facts.stage(trial)) for trial in facts.trials})
    colours = stage_colours(facts)
    handles = [Line2D([], [], color=colours[i], linewidth=0, marker="o", markersize=5) for i in came]
    names = [f"{facts.levels[i - 1]:,}" for i in came]
    handles = [Line2D([], [], linewidth=0), *handles]
    axes.legend(
        handles, ["reached", *names], loc="lower right", bbox_to_anchor=(1.0, above), ncols=len(names) + 1,
        fontsize=8, frameon=False, labelcolor=INK, handletextpad=0.1, columnspacing=0.7, borderpad=0,
        borderaxespad=0.1, handlelength=1.2,
    )  # fmt: skip


def draw_points(axes: Any, x: np.ndarray, trials: Sequence[TrialFacts], axis: ValueAxis, **look: Any) -> None:
    """A dot for each trial with a value, hollow while it runs, a caret if it lies beyond the picture.

    Args:
        axes: to draw on.
        x: places of the trials.
        trials: with a value.
        axis: of the values.
        look: `colours`, one for each trial, and `size`.
    """
    if not trials:
        return
    colours, size = np.asarray(look["colours"]), look["size"]
    values = np.array([trial.value for trial in trials])
    y, beyond = axis.at(values), axis.beyond(values)
    going_on = np.array([trial.state is TrialState.RUNNING for trial in trials]) & ~beyond
    rest = ~beyond & ~going_on
    axes.scatter(x[rest], y[rest], s=size, c=colours[rest], linewidths=0, zorder=3)
    axes.scatter(
        x[going_on], y[going_on], s=size, facecolors="white", edgecolors=colours[going_on], linewidths=1,
        zorder=3,
    )  # fmt: skip
    marker = "^" if axis.minimised else "v"
    axes.scatter(x[beyond], y[beyond], s=size, c=colours[beyond], marker=marker, linewidths=0, zorder=3)


def draw_failures(axes: Any, x: np.ndarray, axis: ValueAxis) -> None:
    """A cross for each failed trial, along the end where bad values lie."""
    axes.scatter(
        x, np.full(len(x), axis.worst), s=16, color=INK, marker="x", linewidths=0.8, alpha=0.8, zorder=4,
        clip_on=False,
    )  # fmt: skip


def draw_star(axes: Any, x: float, y: float) -> None:
    """The best trial."""
    axes.scatter([x], [y], s=80, color=RED, marker="*", linewidths=0, zorder=7)


def dot_size(n: int) -> float:
    """Area of a dot, so that so many still stand apart."""
    return float(np.clip(1400 / max(n, 1), 5, 24))


def whole_ticks(axes: Any, low: float, high: float) -> None:
    """Marks at round whole numbers."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(nbins=9, integer=True).tick_values(low, high)
    ticks = [int(t) for t in found if math.floor(low) <= t <= math.ceil(high)]
    axes.set_xticks(ticks, [f"{t:,}" for t in ticks])


def x_label(axes: Any, text: str) -> None:
    """What the horizontal axis shows."""
    axes.set_xlabel(text, fontsize=8, color=INK, labelpad=2)


def no_values(facts: TuneFacts) -> Any:
    """The figure of a search without a value."""
    failed = sum(trial.failed for trial in facts.trials)
    why = f": {counted(failed, 'trial')} failed" if failed else ""
    return words(f"No trial has a value{why}.")


GUIDE = {"colors": GREY, "linewidth": 0.7, "linestyle": "-", "alpha": 0.6, "zorder": 1}
"""The look of a faint line that only guides the eye."""
