"""Scores of answers that lie in blocks, from a few sums for each block.

Rule 1: a score is scikit-learn's on all rows together, up to rounding.
Rule 2: sums are merged around a common point, not squared first, so a large mean costs no digits (Chan, Golub
and LeVeque 1983, "Algorithms for computing the sample variance", section 2).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, check_scoring
from sklearn.utils import check_array

from prefect_tune.blockwise import blocks_of, lined_up, same_rows
from prefect_tune.errors import DataError, ScoringError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What a block adds to a score; arrays have one value for each output.

    Attributes:
        rows: number of rows.
        weight: sum of the weights, `rows` without weights.
        hits: weight of the rows answered rightly; classifiers only.
        mean, spread: weighted mean of the target, and weighted sum of squared distances from it.
        squared, absolute: weighted sums of squared and absolute errors.
    """

    rows: int
    weight: float
    hits: float = 0.0
    mean: Any = 0.0
    spread: Any = 0.0
    squared: Any = 0.0
    absolute: Any = 0.0


def counted(at: int, y: Any, predicted: Any, weight: Any = None) -> Sums:
    """The sums of one block of a classifier's answers."""
    rows = same_rows(at, y=y, predictions=predicted, sample_weight=weight)
    if rows == 0:
        return Sums(rows=0, weight=0.0)
    y, predicted = np.asarray(y), np.asarray(predicted)
    weight = None if weight is None else np.asarray(weight)
    hits = accuracy_score(y, predicted, normalize=False, sample_weight=weight)
    return Sums(rows=rows, weight=rows if weight is None else weight.sum(), hits=hits)


def measured(at: int, y: Any, predicted: Any, weight: Any = None) -> Sums:
    """The sums of one block of a regressor's answers."""
    rows = same_rows(at, y=y, predictions=predicted, sample_weight=weight)
    if rows == 0:
        return Sums(rows=0, weight=0.0)
    y, predicted = (
        check_array(values, dtype=float, ensure_2d=False, input_name=name).reshape(rows, -1)
        for name, values in (("y", y), ("predictions", predicted))
    )
    by_row = np.ones((rows, 1)) if weight is None else np.asarray(weight, dtype=float).reshape(rows, 1)
    total = by_row.sum()
    # Around the first row: the mean of equal values is that value, to the last bit.
    mean = y[0] + ((by_row * (y - y[0])).sum(axis=0) / total if total else 0.0)
    return Sums(
        rows=rows,
        weight=total,
        mean=mean,
        spread=(by_row * (y - mean) ** 2).sum(axis=0),
        squared=(by_row * (y - predicted) ** 2).sum(axis=0),
        absolute=(by_row * np.abs(y - predicted)).sum(axis=0),
    )


def merged(parts: Sequence[Sums]) -> Sums:
    """The sums of all blocks together.

    Raises:
        DataError: when there is no row.
    """
    parts = [part for part in parts if part.rows]
    if not parts:
        raise DataError("score: X has no row in any block; check how it was filtered.")
    weights = np.array([part.weight for part in parts])
    means, total = np.array([part.mean for part in parts]), weights.sum()
    by_part = weights.reshape(-1, *[1] * (means.ndim - 1))
    mean = means[0] + ((by_part * (means - means[0])).sum(axis=0) / total if total else 0.0)
    added = {
        name: np.sum([getattr(part, name) for part in parts], axis=0)
        for name in ("hits", "spread", "squared", "absolute")
    }
    added["spread"] = added["spread"] + (by_part * (means - mean) ** 2).sum(axis=0)
    return Sums(rows=sum(part.rows for part in parts), weight=total, mean=mean, **added)


def r2(sums: Sums) -> float:
    """The coefficient of determination, the mean over outputs; scikit-learn's rules for a constant target."""
    if sums.rows < 2:
        return float("nan")
    constant = sums.spread == 0
    ratio = sums.squared / np.where(constant, 1.0, sums.spread)
    return float(np.mean(np.where(constant, np.where(sums.squared == 0, 1.0, 0.0), 1.0 - ratio)))


# By scikit-learn's name of the metric: the sums of a block, and the score they give.
METRICS = {
    "accuracy": (counted, lambda sums: float(sums.hits / sums.weight)),
    "r2": (measured, r2),
    "neg_mean_squared_error": (measured, lambda sums: -float(np.mean(sums.squared / sums.weight))),
    "neg_root_mean_squared_error": (
        measured,
        lambda sums: -float(np.mean(np.sqrt(sums.squared / sums.weight))),
    ),
    "neg_mean_absolute_error": (measured, lambda sums: -float(np.mean(sums.absolute / sums.weight))),
}


def from_sums(metric: str, parts: Sequence[Sums]) -> float:
    """The score that the sums of all blocks give."""
    return METRICS[metric][1](merged(parts))


def score_of(metric: str, y: Any, predicted: Any, weight: Any = None) -> Any:
    """The score as a Delayed number; no two blocks need to be in one place.

    Args:
        metric: a name in METRICS.
        y: the target: Dask collection, or in memory where the blocks of `predicted` have known sizes.
        predicted: Dask collection of answers.
        weight: a weight for each row, as `y`; None: all the same.

    Raises:
        DataError: when the blocks do not line up.
    """
    import dask
    from dask.array import Array

    given = {"y": y} if weight is None else {"y": y, "sample_weight": weight}
    beside = lined_up(predicted, given, rechunk=True)
    columns = [blocks_of(beside[name], shared=True) for name in given]
    columns.insert(1, blocks_of(predicted, shared=True))
    name = f"sums-{uuid4().hex}"
    parts = [
        dask.delayed(_cell)(metric, at, *blocks, dask_key_name=(name, at))
        for at, blocks in enumerate(zip(*columns, strict=True))
    ]
    # One layer instead of one for each block: Dask's work on layers grows with the square of their number.
    graph = {key: node for blocks in columns for key, node in blocks[0].dask.items()}
    graph |= {part.key: part.dask[part.key] for part in parts}
    sums = Array(graph, name, chunks=((1,) * len(parts),), meta=np.empty(0, dtype=object))
    return dask.delayed(from_sums)(metric, sums)


def _cell(metric: str, at: int, *blocks: Any) -> Any:
    """The sums of one block, as an array of length one."""
    cell = np.empty(1, dtype=object)
    cell[0] = METRICS[metric][0](at, *blocks)
    return cell


def scorer_of(estimator: Any, scoring: Any) -> Any:
    """scikit-learn's scorer of that name or form.

    Raises:
        ScoringError: when there is none.
    """
    try:
        return check_scoring(estimator, scoring=scoring)
    except (ValueError, TypeError) as error:
        raise ScoringError(f"scoring={scoring!r}: {error}") from error


def own_scoring(estimator: Any) -> Any:
    """The scoring that the estimator's own `score` amounts to; None where only it can say."""
    if hasattr(estimator, "steps"):
        return own_scoring(estimator.steps[-1][1])
    if hasattr(estimator, "scorer_"):
        # A finished search; with several metrics it scores by the one it was refitted for.
        if estimator.scoring is None:
            return own_scoring(estimator.best_estimator_)
        return (
            estimator.scorer_[estimator.refit] if isinstance(estimator.scorer_, dict) else estimator.scorer_
        )
    own = getattr(type(estimator), "score", None)
    return {ClassifierMixin.score: "accuracy", RegressorMixin.score: "r2"}.get(own)


def own_score(estimator: Any, X: Any, y: Any, weight: Mapping[str, Any]) -> Any:
    """The estimator's own score of all rows in one place, Delayed."""
    import dask

    warnings.warn(
        f"{type(estimator).__name__} has a score of its own that needs all of X in memory; give scoring= to "
        "have the answers made block by block.",
        UserWarning,
        stacklevel=4,
    )
    return dask.delayed(_score)(dask.delayed(estimator, traverse=False), X, y, dict(weight))


def _score(estimator: Any, X: Any, y: Any, weight: Mapping[str, Any]) -> Any:
    """The estimator's score; runs where X is."""
    return estimator.score(X, **({} if y is None else {"y": y}), **weight)
