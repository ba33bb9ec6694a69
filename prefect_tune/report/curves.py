"""The picture of an adaptive search: how each candidate's score rose, and where it was dropped.

One panel for each bracket, all on the same axes, because hundreds of curves of several brackets in one plot
hide each other. The units of the resource are drawn by their logarithm: rungs lie a factor apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from prefect_tune.report.adaptive import (
    BracketFacts,
    Curve,
    bracket_facts,
    has_brackets,
    spread_levels,
    units,
)
from prefect_tune.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    SKY,
    WIDTH,
    drawable,
    new_figure,
    png,
    say,
    style,
)
from prefect_tune.report.text import counted, score_text, value_text
from prefect_tune.results import AdaptiveResult

PURPLE = "#CC79A7"  # the sixth of Okabe and Ito's colours that shows on white
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY)
_LEFT, _RIGHT, _GAP = 0.68, 0.1, 0.16  # inches
_NARROW = 0.85  # inches that a panel has at least
_ROW = 5  # panels that fit side by side
_PANELS = 15  # more brackets than this are not drawn
_CROWD = 60  # more curves in a panel than this are drawn thin and pale


def curves_figure(result: AdaptiveResult) -> bytes:
    """Learning curves: score against units of the resource, one panel for each bracket.

    Candidates that were trained to the end of their bracket are drawn thick, the best one red with a star; a
    cross ends the curve of one that failed, faint vertical lines are the rungs.

    Returns:
        A PNG. With nothing to draw it says so in words.
    """
    facts = bracket_facts(result)
    scores = [score for bracket in facts for curve in bracket.curves for score in curve.scores]
    if not scores:
        figure = new_figure(1.2)
        say(figure.add_axes((0, 0, 1, 1)), "No candidate has a score.")
        return png(figure)
    limits, several = _limits(scores), has_brackets(result)
    rows = _rows([bracket for bracket in facts if bracket.rungs][:_PANELS])
    above, below, panel = 0.7 if several else 0.35, 0.5, 2.5 if len(rows) == 1 else 1.9  # inches
    height = len(rows) * (above + panel) + below
    figure = new_figure(height)
    for i, row in enumerate(rows):
        bottom = height - (i + 1) * (above + panel)
        for bracket, left, width in _places(row):
            axes = figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, panel / height))
            _draw_bracket(axes, bracket, _COLOURS[facts.index(bracket) % len(_COLOURS)], limits)
            _finish(axes, bracket, limits, width)
            axes.tick_params(labelleft=left == _LEFT)
            if several:
                _head(axes, bracket)
        figure.text(
            (WIDTH + _LEFT - _RIGHT) / 2 / WIDTH, (bottom - 0.34) / height, f"{units(result)} per candidate",
            fontsize=8, color=INK, ha="center",
        )  # fmt: skip
    figure.text(
        _LEFT / WIDTH, 1 - 0.22 / height, _title(result, facts, scores, limits), fontsize=8, color=INK
    )
    return png(figure)


def _span(bracket: BracketFacts) -> float:
    """Width of a bracket's rungs in powers of two."""
    levels = [rung.level for rung in bracket.rungs]
    return math.log2(max(levels) / max(1, min(levels)))


def _rows(brackets: Sequence[BracketFacts]) -> list[list[BracketFacts]]:
    """The brackets in rows of about the same width."""
    n = math.ceil(len(brackets) / _ROW)
    weights = [1 + _span(bracket) for bracket in brackets]
    rows: list[list[BracketFacts]] = [[]]
    before = 0.0
    for bracket, weight in zip(brackets, weights, strict=True):
        if len(rows) < n and rows[-1] and (before + weight / 2) / sum(weights) > len(rows) / n:
            rows.append([])
        rows[-1].append(bracket)
        before += weight
    return rows


def _places(row: Sequence[BracketFacts]) -> list[tuple[BracketFacts, float, float]]:
    """Each bracket of a row with the left edge and the width of its panel: rungs are as far apart in all."""
    spans = [_span(bracket) for bracket in row]
    if not sum(spans):
        spans = [1.0] * len(row)
    narrow = min(_NARROW, (WIDTH - _LEFT - _RIGHT) / len(row) - _GAP)
    free = WIDTH - _LEFT - _RIGHT - _GAP * (len(row) - 1) - narrow * len(row)
    places, left = [], _LEFT
    for bracket, span in zip(row, spans, strict=True):
        width = narrow + free * span / sum(spans)
        places.append((bracket, left, width))
        left += width + _GAP
    return places


def _title(
    result: AdaptiveResult,
    facts: Sequence[BracketFacts],
    scores: Sequence[float],
    limits: tuple[float, float],
) -> str:
    several = has_brackets(result)
    metric = "test score" if result.metric == "score" else f"test {drawable(result.metric, 30)}"
    notes = [metric] if several else [metric, counted(facts[0].candidates, "candidate")]
    if result.best_score is not None and result.best_params is not None:
        params = ", ".join(f"{name}={value_text(value, 20)}" for name, value in result.best_params.items())
        best = f"best {score_text(result.best_score)}"
        notes.append(f"{best} ({drawable(params, 70)})" if params else best)
    failed = sum(bracket.failed for bracket in facts)
    notes += [f"{failed:,} failed"] if failed else []
    lower = sum(score < limits[0] for score in scores)
    notes += [f"{counted(lower, 'score')} below the picture"] if lower else []
    hidden = len(facts) - _PANELS
    notes += [f"{counted(hidden, 'bracket')} not shown"] if hidden > 0 else []
    return "  ·  ".join(notes)


def _head(axes: Any, bracket: BracketFacts) -> None:
    name = f"bracket {bracket.name}"
    size = counted(bracket.candidates, "candidate")
    axes.set_title(f"{drawable(name, 16)}\n{size}", loc="left", fontsize=8, color=INK, pad=4)


def _draw_bracket(axes: Any, bracket: BracketFacts, colour: str, limits: tuple[float, float]) -> None:
    """The curves of a bracket: the dropped ones first, survivors above them, the best on top."""
    last = max(rung.level for rung in bracket.rungs)
    survivors = [c for c in bracket.curves if c.levels and c.levels[-1] == last and not c.best]
    dropped = [c for c in bracket.curves if c.levels and c.levels[-1] != last and not c.best]
    crowd = max(1.0, len(bracket.curves) / _CROWD)
    thin: dict[str, Any] = {
        "width": 0.8 if crowd == 1 else 0.55,
        "alpha": 0.55 / math.sqrt(crowd),
        "zorder": 2,
    }
    _draw_lines(axes, dropped, colour, **thin)
    # Where nobody was dropped, thick lines would tell nothing.
    _draw_lines(axes, survivors, colour, **({"width": 1.8, "alpha": 0.95, "zorder": 3} if dropped else thin))
    for curve in bracket.curves:
        if curve.failed_at is not None:
            _draw_failure(axes, curve, limits)
        if curve.best:
            _draw_best(axes, curve)


def _draw_lines(
    axes: Any, curves: Sequence[Curve], colour: str, *, width: float, alpha: float, zorder: int
) -> None:
    from matplotlib.collections import LineCollection

    lines = [np.column_stack((np.log2(curve.levels), curve.scores)) for curve in curves]
    axes.add_collection(
        LineCollection(lines, colors=colour, linewidths=width, alpha=alpha, zorder=zorder, capstyle="round")
    )
    if lines:
        x, y = np.array([line[-1] for line in lines]).T
        axes.scatter(x, y, s=5 + 4 * width, color=colour, alpha=alpha, linewidths=0, zorder=zorder)


def _draw_failure(axes: Any, curve: Curve, limits: tuple[float, float]) -> None:
    """A dotted way to a cross where the next score should have been."""
    x = math.log2(curve.failed_at or 1)
    y = curve.scores[-1] if curve.scores else limits[0] + 0.04 * (limits[1] - limits[0])
    if curve.scores:
        axes.hlines(y, math.log2(curve.levels[-1]), x, colors=INK, linewidth=0.8, linestyle=":", zorder=4)
    axes.scatter([x], [y], s=26, color=INK, marker="x", linewidths=1.1, zorder=5)


def _draw_best(axes: Any, curve: Curve) -> None:
    x, y = np.log2(curve.levels), np.array(curve.scores)
    axes.plot(x, y, color=RED, linewidth=2.0, linestyle="-", marker="", zorder=6)
    axes.scatter(x[-1:], y[-1:], s=70, color=RED, marker="*", linewidths=0, zorder=7)


def _finish(axes: Any, bracket: BracketFacts, limits: tuple[float, float], width: float) -> None:
    """Rungs, ticks, limits and look of a panel that is `width` inches wide."""
    rungs = [rung.level for rung in bracket.rungs]
    low, high = math.log2(min(rungs)), math.log2(max(rungs))
    pad = 0.15 * (high - low) / width or 0.5
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(*limits)
    at = np.log2(bracket.decisions or [1])
    axes.vlines(at, *limits, colors=GREY, linewidth=0.7, linestyle="-", alpha=0.6, zorder=1)
    digits = max(len(f"{level:,}") for level in rungs)
    ticks = spread_levels(rungs, max(2, min(8, int(width / (0.12 + 0.07 * digits)))))
    axes.set_xticks(np.log2(ticks), [f"{level:,}" for level in ticks])
    style(axes)
    axes.grid(False, axis="x")
    for curve in bracket.curves:
        if curve.best:
            _name_best(axes, curve, (low - pad, high + pad), width)


def _name_best(axes: Any, curve: Curve, ends: tuple[float, float], width: float) -> None:
    """The score of the best candidate beside its star, inside the panel and off its own curve."""
    from matplotlib.patheffects import withStroke

    x, y = math.log2(curve.levels[-1]), curve.scores[-1]
    text = score_text(y) if width < 1.3 else f"best {score_text(y)}"
    room = 0.04 * len(text) / width * (ends[1] - ends[0])  # half of its length
    x = min(max(x, ends[0] + room), ends[1] - room)
    bottom, top = axes.get_ylim()
    fell = len(curve.scores) > 1 and curve.scores[-2] > y > bottom + 0.15 * (top - bottom)
    axes.annotate(
        text, (x, y), xytext=(0, -6 if fell else 6), textcoords="offset points", ha="center",
        va="top" if fell else "bottom", fontsize=8,
        color=RED, fontweight="bold", zorder=8, path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )  # fmt: skip


def _limits(scores: Sequence[float]) -> tuple[float, float]:
    """Range of the score axis. A few scores that went far astray do not squeeze all others flat."""
    first, middle, third = (float(q) for q in np.quantile(scores, (0.25, 0.5, 0.75)))
    top, rare = max(scores), len(scores) / 20
    reach = max(third - first, top - middle)
    fence = first - 4 * reach
    if sum(score < fence for score in scores) > rare:  # low starts, not strays
        fence = first - 40 * reach
    lowest = min(score for score in scores if score >= fence)
    apart = (top - lowest) or 0.5 * abs(top) or 1.0
    return lowest - 0.07 * apart, top + 0.16 * apart
