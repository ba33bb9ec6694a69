"""Which parameters a search varied, and how much of the scores each explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from prefect_tune.report.text import plain, value_text
from prefect_tune.results import SearchResult

MISSING = object()  # a conditional grid gives some candidates no value
_BINS = 8


def parameter_columns(result: SearchResult) -> dict[str, list[Any]]:
    """The value of every parameter in every candidate, `MISSING` where it has none."""
    candidates = result.cv_results["params"]
    names = dict.fromkeys(name for params in candidates for name in params)
    return {name: [plain(params.get(name, MISSING)) for params in candidates] for name in names}


def varied_parameters(result: SearchResult) -> dict[str, list[Any]]:
    """The columns of `parameter_columns` that are not the same for all candidates."""
    columns = parameter_columns(result)
    return {name: values for name, values in columns.items() if len({_label(v) for v in values}) > 1}


def ranking_scores(result: SearchResult) -> np.ndarray:
    """Mean test scores of the metric that ranks, one per candidate; nan where there is none."""
    scores: np.ndarray = np.ma.filled(
        np.ma.asarray(result.cv_results[f"mean_test_{result.metric}"], dtype=float), np.nan
    )
    return np.where(np.isfinite(scores), scores, np.nan)


def ranking_order(result: SearchResult) -> np.ndarray:
    """Rows of the candidates that have a score, best first; ties in table order."""
    rank = np.asarray(result.cv_results[f"rank_test_{result.metric}"])
    order = np.argsort(rank, kind="stable")
    return order[np.isfinite(ranking_scores(result)[order])]


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all values present are finite numbers; booleans are categories."""
    present = [v for v in values if v is not MISSING]
    return bool(present) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and _finite(v) for v in present
    )


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an int beyond the floats
        return False


def importance(values: Sequence[Any], scores: np.ndarray) -> float:
    """Share of the variance of the scores' ranks that the parameter explains, 0 to 1.

    Epsilon squared of the Kruskal-Wallis test (Kelley 1935), so a parameter with a value of its own for every
    candidate does not win by having many. Ranks keep one diverged candidate from deciding. Numbers with more
    than eight values are cut into eight groups of equal size.
    """
    keep = np.array([v is not MISSING for v in values]) & np.isfinite(scores)
    if keep.sum() < 3:
        return 0.0
    ranks = rankdata(scores[keep])
    groups = _groups([v for v, kept in zip(values, keep, strict=True) if kept])
    total = float(((ranks - ranks.mean()) ** 2).sum())
    sizes = np.bincount(groups)
    n, k = len(ranks), len(sizes)
    if total == 0 or k < 2 or n <= k:
        return 0.0
    means = np.bincount(groups, weights=ranks) / sizes
    between = float((sizes * (means - ranks.mean()) ** 2).sum())
    return max(0.0, (between - (k - 1) * (total - between) / (n - k)) / total)


def _groups(values: Sequence[Any]) -> np.ndarray:
    """Number of the group that each value belongs to, without gaps."""
    labels = np.unique([_label(v) for v in values], return_inverse=True)[1]
    if labels.max() < _BINS or not is_numeric(values):
        return labels
    place = rankdata(np.array(values, dtype=float), method="min") - 1
    return np.unique((place * _BINS / len(values)).astype(int), return_inverse=True)[1]


def important_parameters(result: SearchResult) -> list[tuple[str, list[Any], float]]:
    """The varied parameters as (name, values, importance), most important first; ties as declared."""
    scores = ranking_scores(result)
    rows = [(name, values, importance(values, scores)) for name, values in varied_parameters(result).items()]
    return sorted(rows, key=lambda row: -row[2])


def _label(value: Any) -> str:
    """A value's text with its type, so that 1, True and '1' stay apart."""
    return "" if value is MISSING else f"{type(value).__name__}:{value_text(value, 200)}"
