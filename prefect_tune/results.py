"""What a search leaves in the hands of its user: a table, the winner, what it cost, what went wrong.

A `SearchResult` is small and picklable. It holds no data and no model; the best model lies in the store and
is loaded on request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prefect_tune.model import Approval, ModelRef, load_model
from prefect_tune.text import short


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a search had to do and what it was spared, counted in distinct steps.

    Attributes:
        uses: steps that would run if every candidate and fold ran alone.
        distinct: steps left after equal ones are merged.
        known: distinct steps whose results were in the store, or that a known result made needless.
        run: distinct steps that ran.
        failed: scores of candidates that failed.
        task_runs: Prefect task runs submitted.
        seconds_run: seconds spent inside steps in this search.
        seconds_saved: recorded seconds of the steps that were spared.
        wall_seconds: from the call to the result.
        bytes_written: bytes this search added to the store.
        waited: steps that another search computed at the same time, had from it.
        unit: what is counted: `step`, or in adaptive searches `training call`.
        calls: training calls executed in this run; 0 in searches without rounds.
        refit_calls: those executed for the best model once the rounds were over; they are none of `calls`.
        trained: units of a parameter that grows, such as trees, that fits of this run trained, the refit's
            aside; 0 where no parameter grows.
        taken_over: units that they went on from instead of training them again.
    """

    uses: int = 0
    distinct: int = 0
    known: int = 0
    run: int = 0
    failed: int = 0
    task_runs: int = 0
    seconds_run: float = 0.0
    seconds_saved: float = 0.0
    wall_seconds: float = 0.0
    bytes_written: int = 0
    waited: int = 0
    unit: str = "step"
    calls: int = 0
    refit_calls: int = 0
    trained: int = 0
    taken_over: int = 0

    @property
    def shared(self) -> int:
        """Steps spared because several candidates have them in common."""
        return self.uses - self.distinct


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed fit or score: which candidate, where, and the last lines of its traceback.

    Attributes:
        candidate: row of the candidate in the table.
        params: its parameters, as short text.
        fold: index of the fold.
        cause: exception type and message, one line.
        tail: last lines of the traceback, capped.
    """

    candidate: int
    params: str
    fold: int
    cause: str
    tail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The outcome of a search, small enough to be a task's or a flow's return value.

    Attributes:
        name: name of the search.
        cv_results: scikit-learn's `cv_results_`: one array per column, one row per candidate.
        best_index: row of the best candidate; None when `refit` chose none.
        best_params: its parameters.
        best_score: its mean test score; None when `refit` is a callable.
        metric: name of the metric that ranks (`score` for a single one).
        metrics: all metrics, in order.
        n_splits: number of folds.
        cost: counts and seconds.
        failures: failed fits, in table order.
        uncacheable: (where, why) of values without a stable identity.
        model: reference to the refitted best model, None without `refit`.
        refit_seconds: seconds of the refit.
        flow_run_url: page of the run in the Prefect UI, empty without one.
        report_path: the report as a Markdown file, empty when none was written.
        approval: what a person decided before the model was made, None if nobody was asked.
    """

    name: str
    cv_results: Mapping[str, Any]
    best_index: int | None
    best_params: Mapping[str, Any] | None
    best_score: float | None
    metric: str
    metrics: tuple[str, ...]
    n_splits: int
    cost: Cost = field(default_factory=Cost)
    failures: tuple[Failure, ...] = ()
    uncacheable: tuple[tuple[str, str], ...] = ()
    model: ModelRef | None = None
    refit_seconds: float | None = None
    flow_run_url: str = ""
    report_path: str = ""
    approval: Approval | None = None

    @property
    def chosen_index(self) -> int | None:
        """Row of the candidate whose model is wanted: the best one's, unless a person decided otherwise."""
        return self.best_index if self.approval is None else self.approval.row

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.cv_results["params"])

    def dataframe(self):
        """`cv_results` as a pandas DataFrame, one row per candidate, in the order of the candidates."""
        import pandas as pd

        return pd.DataFrame(dict(self.cv_results))

    def leaderboard(self, limit: int = 10) -> list[dict[str, Any]]:
        """The best `limit` candidates as rows: rank, mean and std score, fit seconds, parameters."""
        rank = np.asarray(self.cv_results[f"rank_test_{self.metric}"])
        order = np.argsort(rank, kind="stable")[:limit]
        return [self._row(int(i), int(rank[i])) for i in order]

    def _row(self, i: int, rank: int) -> dict[str, Any]:
        table = self.cv_results
        return {
            "rank": rank,
            "score": float(table[f"mean_test_{self.metric}"][i]),
            "std": float(table[f"std_test_{self.metric}"][i]),
            "fit_seconds": float(table["mean_fit_time"][i]),
            **{name: short(value) for name, value in table["params"][i].items()},
        }

    def load_best(self):
        """The refitted best model, read from the store and verified.

        Raises:
            LookupError: when the search ran with `refit=False`, or a person ended it without a model.
        """
        if self.model is None and self.approval is not None and self.approval.row is None:
            raise LookupError("load_best: a person ended this search without a model; see `approval`.")
        if self.model is None:
            raise LookupError("load_best: this search ran with refit=False, so no model was kept.")
        return load_model(self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveResult(SearchResult):
    """The outcome of an adaptive search: a `SearchResult` with the story of every candidate.

    `cv_results` has one row per candidate, from the most to the least aggressive bracket, with the last score
    of each (`test_score`) and dask-ml's columns; ranks are over all brackets.

    Attributes:
        history: one dict per score, in the order in which they were decided on: `model_id`, `params`,
            `partial_fit_calls`, `partial_fit_time`, `score`, `score_time`, `elapsed_wall_time`, `bracket`.
        metadata: what was planned: models, training calls, brackets.
        metadata_done: what was done, in the same words; plateaus and failures make it less.
        resource: what a unit of training was.
        rounds_found: scores of rounds that the store had from earlier runs.
        rounds_run: scores of rounds of this run.
    """

    history: tuple[Mapping[str, Any], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    metadata_done: Mapping[str, Any] = field(default_factory=dict)
    resource: str = "partial_fit"
    rounds_found: int = 0
    rounds_run: int = 0

    def learning_curves(self):
        """`history` as a pandas DataFrame, one row per score."""
        import pandas as pd

        return pd.DataFrame(list(self.history))


def format_cv_results(
    candidates: Sequence[Mapping[str, Any]], n_splits: int, rows: Sequence[Mapping[str, Any]], search: Any
) -> dict[str, Any]:
    """scikit-learn's `cv_results_` for scores in candidate-major order.

    The formatter of scikit-learn itself is used, so keys, dtypes, order, masks and ranks are its own; a
    contract test pins the call.

    Args:
        candidates: the parameter dicts, one per row.
        n_splits: folds per candidate.
        rows: one dict per (candidate, fold): `fit_time`, `score_time`, `test_scores` and, if asked for,
            `train_scores`.
        search: an instance of a scikit-learn search with `return_train_score` set.
    """
    return search._format_results(list(candidates), n_splits, list(rows), None)
