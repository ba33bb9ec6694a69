"""The leaders of a running search, a line each, with their learning curves as rows of little bars.

Rule: it is asked several times a second, so each report and each configuration is read once.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

from prefect_tune.report.text import params_text, score_text
from prefect_tune.report.tune.facts import token
from prefect_tune.trials import TrialState
from prefect_tune.tuning.frames import config_columns
from prefect_tune.tuning.trial import Trial

BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 16  # bars of a curve


class Standings:
    """Who leads, by the last finite loss of each trial, as `TuneResult.best()` will say.

    Args:
        mode: `min` or `max` of the metric.
        whole: a trial has its value at its end only, as in a cross-validation.
    """

    def __init__(self, mode: str, *, whole: bool = False) -> None:
        self._sign, self._whole = 1 if mode == "min" else -1, whole
        self._curves: list[dict[int, float]] = []  # of each trial: resource -> finite loss
        self._read: list[int] = []  # reports read of each trial
        self._fixed: dict[str, Any] = {}  # what all configurations have alike
        self._order: list[tuple[float, str, Trial]] = []

    def read(self, trials: Sequence[Trial]) -> None:
        """Takes in what is new since it was last called."""
        for trial in trials[len(self._curves) :]:
            tokens = {name: token(value) for name, value in config_columns(trial.config).items()}
            self._fixed = dict(self._fixed.items() & tokens.items()) if self._curves else tokens
            self._curves.append({})
            self._read.append(0)
        self._order = []
        for place, trial in enumerate(trials):
            curve = self._curves[place]
            if len(trial.reports) > self._read[place]:
                new = trial.reports[self._read[place] :]
                curve |= {r.resource: r.loss for r in new if not r.late and math.isfinite(r.loss)}
                self._read[place] += len(new)
            if curve and (not self._whole or trial.state is TrialState.COMPLETED):
                self._order.append((curve[max(curve)], trial.key, trial))

    def best(self) -> tuple[float, Trial] | None:
        """Value and trial of the leader."""
        if not self._order:
            return None
        loss, _, trial = min(self._order, key=lambda row: row[:2])
        return self._sign * loss, trial

    def params(self, trial: Trial) -> Mapping[str, Any]:
        """The trial's parameters without those that all trials have alike."""
        columns = config_columns(trial.config)
        alone = len(self._curves) < 2
        return {name: value for name, value in columns.items() if alone or name not in self._fixed}

    def lines(self, limit: int = 5) -> tuple[str, ...]:
        """The leaders, best first: index, value, how far it came and its curve, parameters, state."""
        rows = heapq.nsmallest(limit, self._order, key=lambda row: row[:2])
        curves = [self._curves[trial.index] for *_, trial in rows]
        losses = [loss for curve in curves for loss in curve.values()]
        staged, lines = any(len(curve) > 1 for curve in curves), []
        for (loss, _, trial), curve in zip(rows, curves, strict=True):
            course = [curve[at] for at in sorted(curve)]
            drawn = bars(course, min(losses), max(losses), self._sign)
            reached = f"  {trial.resource:>5,}  {drawn:<{_WIDTH}}" if staged else ""
            start = f"  trial {trial.index:<5,} {score_text(self._sign * loss):>10}{reached}"
            lines.append(f"{start}  {params_text(self.params(trial))}  {trial.state}")
        return tuple(lines)


def bars(losses: Sequence[float], low: float, high: float, sign: int = 1) -> str:
    """A curve of the metric as a row of bars, at most sixteen; `sign` is -1 where losses are its negative.

    >>> bars([3.0, 2.0, 1.5, 1.0], 1.0, 3.0), bars([-0.1, -0.9], -0.9, -0.1, -1)
    ('█▅▃▁', '▁█')
    """
    n = len(losses)
    shown = losses if n <= _WIDTH else [losses[round(i * (n - 1) / (_WIDTH - 1))] for i in range(_WIDTH)]
    apart = (high - low) or 1.0
    heights = [(loss - low) / apart if sign > 0 else (high - loss) / apart for loss in shown]
    return "".join(BARS[min(len(BARS) - 1, int(height * len(BARS)))] for height in heights)
