"""Pictures of a search over an objective, for notebooks and scripts: each is a matplotlib Figure.

`figure.savefig("history.png")` writes one to a file; none of them touches pyplot or a user's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prefect_tune.errors import UserError, did_you_mean
from prefect_tune.report.tune.bars import importance_figure
from prefect_tune.report.tune.curves import curves_figure
from prefect_tune.report.tune.facts import TuneFacts, tune_facts
from prefect_tune.report.tune.history import history_figure
from prefect_tune.report.tune.importances import importances
from prefect_tune.report.tune.parallel import parallel_figure
from prefect_tune.report.tune.slices import slice_figure
from prefect_tune.tuning.result import TuneResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_curves", "plot_history", "plot_importances", "plot_parallel", "plot_slices"]


def plot_history(result: TuneResult) -> Figure:
    """Values of all trials in the order of their creation, and the best so far."""
    return history_figure(tune_facts(result))


def plot_curves(result: TuneResult) -> Figure:
    """Learning curves, darker the further a trial came; vertical lines are rungs."""
    return curves_figure(tune_facts(result))


def plot_slices(result: TuneResult, params: Sequence[str] | None = None) -> Figure:
    """Values against one parameter after the other.

    Args:
        result: of a search.
        params: names of parameters, nested ones as `net/width`. Default: all that vary, the most important
            first, at most eight.

    Raises:
        UserError: there is no such parameter.
    """
    facts = tune_facts(result)
    return slice_figure(facts, _chosen(facts, params))


def plot_parallel(result: TuneResult, params: Sequence[str] | None = None) -> Figure:
    """Parallel coordinates: a line for each trial through its parameters to its value.

    Args:
        result: of a search.
        params: as for `plot_slices`.

    Raises:
        UserError: there is no such parameter.
    """
    facts = tune_facts(result)
    return parallel_figure(facts, _chosen(facts, params))


def plot_importances(result: TuneResult) -> Figure:
    """How much of the differences in rank each parameter explains, alone and together with others.

    A random forest predicts the ranks of trials that it has not seen; a parameter matters as much as it gets
    worse when the parameter's values are shuffled (`report.tune.importances`). It needs 20 trials.
    """
    facts = tune_facts(result)
    return importance_figure(facts, importances(facts))


def _chosen(facts: TuneFacts, params: Sequence[str] | None) -> list[str]:
    """The parameters that were asked for, or all that vary."""
    if params is None:
        return list(importances(facts).shares) or list(facts.varied)
    for name in params:
        if name not in facts.columns:
            has = f"{did_you_mean(name, facts.columns)} They have: {', '.join(facts.columns) or 'none'}."
            raise UserError(f"params: no trial has a parameter {name!r}.{has}")
    return list(params)
