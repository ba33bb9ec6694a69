"""Pictures of a finished search as PNG files: its scores, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from prefect_tune.report.adaptive import work_shares
from prefect_tune.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    GRID,
    INK,
    ORANGE,
    RED,
    SKY,
    data_uri,
    drawable,
    new_figure,
    place_ticks,
    png,
    say,
    style,
)
from prefect_tune.report.parameters import (
    MISSING,
    important_parameters,
    is_numeric,
    ranking_order,
    ranking_scores,
)
from prefect_tune.report.text import counted, score_text, seconds_text, value_text
from prefect_tune.results import AdaptiveResult, SearchResult

__all__ = ["cost_figure", "data_uri", "score_figure"]

_PANELS = 4
_CATEGORIES = 8
_WIDE = 100  # numbers further apart than this are drawn on a logarithmic axis
_BARS = 60  # more candidates than this show their spread as a band


def score_figure(result: SearchResult) -> bytes:
    """Scores from best to worst with their spread over folds; below, against the parameters that matter most.

    Returns:
        A PNG. With nothing to draw it says so in words.
    """
    order = ranking_order(result)
    panels = important_parameters(result)[:_PANELS] if len(order) > 1 else []
    tops, lows = 2.5, 2.3 if panels else 0.0  # inches
    figure = new_figure(tops + lows)
    left, width = 0.09, 0.895
    top = figure.add_axes((left, (lows + 0.5) / (tops + lows), width, (tops - 0.8) / (tops + lows)))
    if not len(order):
        say(top, f"No candidate has a score: {counted(len(result), 'candidate')} failed.")
        return png(figure)
    limits = _limits(result, order)
    _draw_ranking(top, result, order, limits)
    gap, slots = 0.02, max(len(panels), 2)
    share = (width - gap * (slots - 1)) / slots
    for i, (name, values, _) in enumerate(panels):
        box = (left + i * (share + gap), 0.65 / (tops + lows), share, (lows - 1.0) / (tops + lows))
        axes = figure.add_axes(box)
        _draw_parameter(axes, name, values, ranking_scores(result), limits, _star(result))
        style(axes)
        axes.tick_params(labelleft=i == 0)
    return png(figure)


def cost_figure(result: SearchResult) -> bytes:
    """Steps shared, known and run, and seconds run and saved, as two bars of full width in one PNG."""
    cost = result.cost
    height = 2.05
    figure = new_figure(height)
    upper = figure.add_axes((0.015, 1.2 / height, 0.97, 0.3 / height))
    _draw_shares(upper, *_work(result), "{:,}".format)
    seconds = [("saved", cost.seconds_saved, GREEN), ("run", cost.seconds_run, ORANGE)]
    lower = figure.add_axes((0.015, 0.18 / height, 0.97, 0.3 / height))
    total = cost.seconds_saved + cost.seconds_run
    _draw_shares(lower, f"{seconds_text(total)} of work", seconds, seconds_text)
    return png(figure)


def _work(result: SearchResult) -> tuple[str, list[tuple[str, float, str]]]:
    """Title and parts of the bar of what was to be done."""
    cost = result.cost
    if isinstance(result, AdaptiveResult):
        unit, known, run, lost = work_shares(result)
        title = f"{counted(known + run + lost, unit)}{' planned' if lost else ''}"
        parts: list[tuple[str, float, str]] = [("known", known, GREEN), ("run", run, ORANGE)]
    else:
        lost = max(0, cost.distinct - cost.known - cost.run)
        title = f"{counted(cost.uses, 'step')} if every candidate and fold ran alone"
        parts = [("shared", cost.shared, SKY), ("known", cost.known, GREEN), ("run", cost.run, ORANGE)]
    return title, parts + ([("not run", lost, GREY)] if lost else [])


def _draw_ranking(axes: Any, result: SearchResult, order: np.ndarray, limits: tuple[float, float]) -> None:
    scores = ranking_scores(result)[order]
    spread = _spread(result, order)
    place = np.arange(1, len(order) + 1)
    if len(order) <= _BARS:
        axes.vlines(place, scores - spread, scores + spread, colors=SKY, linewidth=2.2, alpha=0.7, zorder=2)
    else:
        axes.fill_between(
            place, scores - spread, scores + spread, color=SKY, alpha=0.5, linewidth=0, zorder=2
        )
    size = 22 if len(order) <= _BARS else 2
    star = _star(result)
    best = 0 if star is None or star not in order else int(np.flatnonzero(order == star)[0])
    rest = place != place[best]
    axes.scatter(place[rest], scores[rest], s=size, color=BLUE, linewidths=0, zorder=3)
    axes.scatter(place[best], scores[best], s=70, color=RED, marker="*", linewidths=0, zorder=4)
    pad = max(0.6, len(order) * 0.015)
    axes.set_xlim(1 - pad, len(order) + pad)
    axes.set_ylim(*limits)
    style(axes)
    axes.set_xlabel("candidates, best first", fontsize=8, color=INK, labelpad=2)
    place_ticks(axes, len(order))
    folds = f"mean and standard deviation over {counted(result.n_splits, 'fold')}"
    if isinstance(result, AdaptiveResult):
        folds = "last score of each" + (f", {folds}" if result.n_splits > 1 else "")
    notes = [f"{_metric(result)}, best {score_text(float(scores[best]))}", folds]
    below = int((scores < limits[0]).sum())
    notes += [f"{below:,} below the picture"] if below else []
    failed = len(result) - len(order)
    notes += [f"{failed:,} without a score"] if failed else []
    axes.set_title("  ·  ".join(notes), loc="left", fontsize=8, color=INK, pad=4)


def _star(result: SearchResult) -> int | None:
    """Row of the best candidate where it need not be the one with the highest score."""
    return result.best_index if isinstance(result, AdaptiveResult) else None


def _draw_parameter(
    axes: Any,
    name: str,
    values: Sequence[Any],
    scores: np.ndarray,
    limits: tuple[float, float],
    star: int | None,
) -> None:
    """Scores against one parameter; the best candidate is a star."""
    present = np.array([v is not MISSING for v in values]) & np.isfinite(scores)
    shown = [v for v, kept in zip(values, present, strict=True) if kept]
    x = _numeric_axis(axes, shown) if _on_a_line(shown) else _strips(axes, shown)
    y = scores[present]
    many = len(y) > 200
    axes.scatter(x, y, s=5 if many else 14, color=BLUE, alpha=0.45 if many else 0.7, linewidths=0, zorder=3)
    if len(y):
        chosen = star is not None and present[star]
        best = int(present[:star].sum()) if chosen else int(np.argmax(y))
        axes.scatter(x[best], y[best], s=60, color=RED, marker="*", linewidths=0, zorder=4)
    axes.set_ylim(*limits)
    name = drawable(name, 200)
    label = name if len(name) <= 26 else "…" + name[-25:]
    axes.set_title(label, loc="left", fontsize=8, color=INK, pad=4)


def _on_a_line(values: Sequence[Any]) -> bool:
    """Whether the values are drawn on a number line; zero among wide powers of ten fits on no such line."""
    if not is_numeric(values):
        return False
    distinct = sorted({float(v) for v in values})
    powers = distinct[0] == 0 and len(distinct) > 2 and distinct[-1] / distinct[1] > _WIDE
    return not (powers and len(distinct) <= _CATEGORIES)


def _numeric_axis(axes: Any, values: Sequence[Any]) -> np.ndarray:
    """Positions of numbers; sets scale, limits and ticks, logarithmic over more than two decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    x = np.array([float(v) for v in values])
    low, high = float(x.min()), float(x.max())
    if low > 0 and high / low > _WIDE:
        pad = (high / low) ** 0.06
        axes.set_xscale("log")
        axes.set_xlim(low / pad, high * pad)
        axes.xaxis.set_major_locator(LogLocator(base=10, numticks=5))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        pad = 0.06 * (high - low) or 0.5
        axes.set_xlim(low - pad, high + pad)
        few = np.unique(x)
        if len(few) == 1 or (len(few) <= 5 and np.diff(few).min() > 0.16 * (high - low)):
            axes.set_xticks(few)
        else:
            axes.xaxis.set_major_locator(
                MaxNLocator(nbins=4, integer=all(isinstance(v, int) for v in values))
            )
    # Plain numbers: matplotlib's own log labels need its mathtext parser, a tenth of a second to load.
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.4g}"))
    return x


def _strips(axes: Any, values: Sequence[Any]) -> np.ndarray:
    """Positions of categories: one strip each, points spread evenly in it; rare ones share a last strip."""
    labels = [drawable(value_text(v)) for v in values]
    names = list(dict.fromkeys(labels))
    if is_numeric(values):
        names.sort(key=float)
    if len(names) > _CATEGORIES:
        kept = [name for name, _ in Counter(labels).most_common(_CATEGORIES - 1)]
        other = f"{len(names) - len(kept)} others"
        labels, names = [name if name in kept else other for name in labels], [*kept, other]
    place = {name: i for i, name in enumerate(names)}
    axes.set_xticks(range(len(names)), [n if len(n) <= 12 else n[:11] + "…" for n in names])
    crowded = min(12, max(len(name) for name in names)) * len(names) > 22
    for label in axes.get_xticklabels():
        if crowded:
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(names) - 0.4)
    # Multiples of the golden ratio spread any number of points evenly, without chance; the first is central.
    nth = Counter[str]()
    turns = []
    for name in labels:
        turns.append(nth[name] * 0.6180339887)
        nth[name] += 1
    return np.array([place[name] for name in labels]) + 0.5 * ((np.array(turns) + 0.5) % 1 - 0.5)


def _draw_shares(axes: Any, title: str, parts: Sequence[tuple[str, float, str]], show: Any) -> None:
    """One stacked bar of full width, its parts named with number and share in a legend above it."""
    from matplotlib.patches import Patch

    total = sum(value for _, value, _ in parts)
    start = 0.0
    for _, value, colour in parts:
        axes.barh([0], [value / total if total else 0], left=start, color=colour, height=1, edgecolor="white")
        start += value / total if total else 0
    if not total:
        axes.barh([0], [1], color=GRID, height=1)
    handles = [Patch(color=colour) for _, _, colour in parts]
    names = [
        f"{name} {show(value)}" + (f" ({value / total:.0%})" if total else "") for name, value, _ in parts
    ]
    axes.legend(
        handles, names, loc="lower left", bbox_to_anchor=(0, 1.02), ncols=len(parts), fontsize=8.5,
        frameon=False, labelcolor=INK, handlelength=1, handleheight=1, borderpad=0,
        borderaxespad=0.2, columnspacing=1.6,
    )  # fmt: skip
    axes.set_title(title, loc="left", fontsize=9, color=INK, fontweight="bold", pad=21)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.5, 0.5)
    axes.set_axis_off()


def _limits(result: SearchResult, order: np.ndarray) -> tuple[float, float]:
    """Range of the score axes. A few candidates that went far astray do not squeeze all others flat."""
    scores, spread = ranking_scores(result)[order], _spread(result, order)
    first, middle, third = (float(q) for q in np.quantile(scores, (0.25, 0.5, 0.75)))
    fence = first - 4 * max(third - first, float(scores.max()) - middle)
    near = scores >= fence
    # A spread wider than all the scores are apart is cut off: the means are the message.
    apart = float(np.ptp(scores[near])) or float("inf")
    spread = np.minimum(spread, apart)
    lower, upper = float((scores - spread)[near].min()), float((scores + spread)[near].max())
    pad = 0.06 * (upper - lower) or 0.05 * abs(upper) or 0.5
    return lower - pad, upper + pad


def _spread(result: SearchResult, order: np.ndarray) -> np.ndarray:
    """Standard deviations over folds of the candidates in `order`; 0 where there is none."""
    spread: np.ndarray = np.ma.filled(
        np.ma.asarray(result.cv_results[f"std_test_{result.metric}"], dtype=float), 0.0
    )
    return np.nan_to_num(spread[order], nan=0.0, posinf=0.0, neginf=0.0)


def _metric(result: SearchResult) -> str:
    return f"test {drawable(result.metric, 30)}" if result.metric != "score" else "test score"
