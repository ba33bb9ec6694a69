"""The table of a search, put together from its records.

Rule: aggregated in table order from complete records, never in order of arrival; so a search that was killed
and resumed gives the table of one that was not.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect_tune.errors import ScoringError
from prefect_tune.nodes import TEST, Leaf
from prefect_tune.plan import CompiledSearch
from prefect_tune.results import Failure, SearchResult, format_cv_results
from prefect_tune.text import short


@dataclass(slots=True)
class LeafFailure:
    """What went wrong on one leaf.

    Attributes:
        cause, tail: the error on one line; last lines of its traceback.
        seconds: time until it was raised.
        scores: (side, metric) of failed scores; empty when the fit failed.
    """

    cause: str
    tail: str
    seconds: float = 0.0
    scores: set[tuple[str, str]] = field(default_factory=set)


def score_rows(compiled: CompiledSearch, failures: Mapping[bytes, LeafFailure]) -> list[dict[str, Any]]:
    """One dict per (candidate, fold), candidate-major, as scikit-learn's formatter takes them.

    Args:
        compiled: the search with all its score records.
        failures: by key of the leaf.
    """
    rows = [_row(compiled, leaf, failures.get(leaf.key)) for leaves in compiled.table for leaf in leaves]
    shape = next((r["test_scores"] for r in rows if isinstance(r["test_scores"], dict)), None)
    if shape is None:
        return rows
    # A callable that returns several metrics: failed fits get the error score for each of them.
    for row in rows:
        for name in ("test_scores", "train_scores"):
            if name in row and not isinstance(row[name], dict):
                row[name] = dict.fromkeys(shape, compiled.spec.error_score)
    return rows


def _row(compiled: CompiledSearch, leaf: Leaf, failure: LeafFailure | None) -> dict[str, Any]:
    spec = compiled.spec
    if failure is not None and not failure.scores:
        row: dict[str, Any] = {"fit_time": failure.seconds, "score_time": 0.0}
        lost = (
            spec.error_score if spec.metrics == ("score",) else dict.fromkeys(spec.metrics, spec.error_score)
        )
        return {**row, **{f"{side}_scores": lost for side in spec.sides}}
    row = {"fit_time": 0.0, "score_time": 0.0}
    keys = iter(leaf.score_keys)
    for side in spec.sides:
        scores: dict[str, Any] = {}
        for metric in spec.metrics:
            record = compiled.scores.get(next(keys))
            if record is None:
                scores[metric] = spec.error_score
                continue
            scores[metric] = record.values["score"]
            row["fit_time"] = record.values["fit_seconds"]
            if side == TEST:
                row["score_time"] = record.values["score_seconds"]
        row[f"{side}_scores"] = scores["score"] if spec.metrics == ("score",) else scores
    return row


def cv_results(compiled: CompiledSearch, rows: Sequence[Mapping[str, Any]], search: Any) -> dict[str, Any]:
    """scikit-learn's `cv_results_` of the search."""
    return format_cv_results(compiled.spec.drawn, compiled.spec.n_splits, rows, search)


def partial_result(
    compiled: CompiledSearch, complete: Sequence[int], failures: Mapping[bytes, LeafFailure], search: Any
) -> SearchResult:
    """What a running search can show: the candidates `complete` have all their folds in.

    Args:
        complete: their rows, in table order.
        failures: by key of the leaf.
        search: the scikit-learn search that formats the table.
    """
    spec = compiled.spec
    leaves = [leaf for row in complete for leaf in compiled.table[row]]
    rows = [_row(compiled, leaf, failures.get(leaf.key)) for leaf in leaves]
    table = format_cv_results([spec.drawn[row] for row in complete], spec.n_splits, rows, search)
    metrics = metric_names(rows)
    best = int(table[f"rank_test_{metrics[0]}"].argmin())
    return SearchResult(
        name=spec.name,
        cv_results=table,
        best_index=best,
        best_params=table["params"][best],
        best_score=float(table[f"mean_test_{metrics[0]}"][best]),
        metric=metrics[0],
        metrics=metrics,
        n_splits=spec.n_splits,
        failures=list_failures(compiled, failures),
        uncacheable=spec.uncacheable(),
    )


def metric_names(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The metrics of a table; a callable scorer tells its own only now."""
    scores = rows[0]["test_scores"]
    return tuple(scores) if isinstance(scores, dict) else ("score",)


def select_best(
    search: Any, results: Mapping[str, Any], metrics: tuple[str, ...]
) -> tuple[int | None, str, float | None]:
    """(row of the best candidate, the metric that ranks, its mean score).

    The row is None without `refit` over several metrics; the score is None for a callable `refit`.

    Raises:
        ScoringError: `refit` is no metric.
    """
    multimetric = metrics != ("score",)
    metric = "score"
    if multimetric:
        try:
            search._check_refit_for_multimetric(dict.fromkeys(metrics))
        except ValueError as error:
            raise ScoringError(" ".join(str(error).split())) from error
        metric = search.refit if isinstance(search.refit, str) else metrics[0]
        if not search.refit:
            return None, metric, None
    index = int(search._select_best_index(search.refit, metric, results))
    score = None if callable(search.refit) else float(results[f"mean_test_{metric}"][index])
    return index, metric, score


def list_failures(compiled: CompiledSearch, failures: Mapping[bytes, LeafFailure]) -> tuple[Failure, ...]:
    """The failures in table order, candidates in words."""
    found = []
    for row, leaves in enumerate(compiled.table):
        for fold, leaf in enumerate(leaves):
            failure = failures.get(leaf.key)
            if failure is not None:
                params = ", ".join(f"{k}={short(v, 40)}" for k, v in compiled.spec.candidates[row].items())
                found.append(
                    Failure(candidate=row, params=params, fold=fold, cause=failure.cause, tail=failure.tail)
                )
    return tuple(found)


def warn_or_raise(compiled: CompiledSearch, failures: Mapping[bytes, LeafFailure]) -> None:
    """Says what failed, as scikit-learn says it.

    Raises:
        ValueError: when every fit failed.
    """
    from sklearn.exceptions import FitFailedWarning

    leaves = [leaf for row in compiled.table for leaf in row]
    fits = [failures[leaf.key] for leaf in leaves if leaf.key in failures and not failures[leaf.key].scores]
    scores = [failures[leaf.key] for leaf in leaves if leaf.key in failures and failures[leaf.key].scores]
    if scores:
        warnings.warn(
            "Scoring failed. The score on this train-test partition for these parameters will be set to "
            f"{compiled.spec.error_score}. Details: \n{scores[0].tail}",
            UserWarning,
            stacklevel=2,
        )
    if not fits:
        return
    causes = Counter(failure.tail for failure in fits)
    line = "-" * 80 + "\n"
    details = "\n".join(
        f"{line}{n} fits failed with the following error:\n{tail}" for tail, n in causes.items()
    )
    if len(fits) == len(leaves):
        raise ValueError(
            f"\nAll the {len(fits)} fits failed.\nIt is very likely that your model is misconfigured.\n"
            "You can try to debug the error by setting error_score='raise'.\n\n"
            f"Below are more details about the failures:\n{details}"
        )
    warnings.warn(
        f"\n{len(fits)} fits failed out of a total of {len(leaves)}.\n"
        "The score on these train-test partitions for these parameters will be set to "
        f"{compiled.spec.error_score}.\nIf these failures are not expected, you can try to debug them by "
        f"setting error_score='raise'.\n\nBelow are more details about the failures:\n{details}",
        FitFailedWarning,
        stacklevel=2,
    )
