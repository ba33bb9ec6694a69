"""What counts of a trial: its last report, its best, an average."""

from __future__ import annotations

import math

from prefect_tune.trials import TrialState
from prefect_tune.tuning.trial import Trial, TrialReport

SCOPES = ("last", "best", "all", "avg", "last-5-avg", "last-10-avg", "final")
_WINDOWS = {"avg": None, "last-5-avg": 5, "last-10-avg": 10}


def scored(
    trial: Trial, metric: str, scope: str, *, sign: int, finite: bool, top: int | None
) -> tuple[float, TrialReport] | None:
    """The trial's value of a metric and the report that gave it; None if it has none.

    Args:
        trial: whose reports are read, late ones left out.
        metric: reports without it are left out.
        scope: one of `SCOPES`.
        sign: 1 if small is good, -1 if large is.
        finite: leave out reports that are not finite.
        top: the maximum of the resource; None: the end of a completed trial.
    """
    reports = [
        report
        for report in trial.accepted
        if metric in report.metrics and (not finite or math.isfinite(report.metrics[metric]))
    ]
    if scope == "final":
        reports = [r for r in reports if _at_end(trial, r, top)]
    if not reports:
        return None
    if scope in _WINDOWS:
        window = reports[-(_WINDOWS[scope] or len(reports)) :]
        return _mean([report.metrics[metric] for report in window]), window[-1]
    if scope in ("best", "all"):
        best = min(reports, key=lambda report: _order(sign * report.metrics[metric]))
        return best.metrics[metric], best
    return reports[-1].metrics[metric], reports[-1]


def _at_end(trial: Trial, report: TrialReport, top: int | None) -> bool:
    """Whether the report is one at the maximum."""
    if top is None:
        return trial.state is TrialState.COMPLETED and report is trial.last
    return report.resource >= top


def _order(loss: float) -> tuple[bool, float]:
    """Finite first, then the smaller."""
    return (False, loss) if math.isfinite(loss) else (True, 0.0)


def _mean(values: list[float]) -> float:
    """The mean; of values that are not all finite, what floats make of it."""
    if all(map(math.isfinite, values)):
        return math.fsum(values) / len(values)
    return sum(values) / len(values)
