"""What a search draws before anything runs: its scorers, its candidates, its folds.

Rule: drawn once, in the driver; what has no seed of its own gets one derived from the search's, so that a
second run asks the same questions.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prefect_tune.errors import DataError, ScoringError, SpaceError
from prefect_tune.identity.seeds import derive_seed, low32


def resolve_scorers(search: Any) -> tuple[Any, tuple[str, ...]]:
    """(scorer or dict of scorers, names of the metrics), checked against `refit`.

    Raises:
        ScoringError: an unknown name, or a `refit` that is no metric.
    """
    try:
        scorer, _ = search._get_scorers()
    except (ValueError, TypeError) as error:
        raise ScoringError(_scoring_help(search, error)) from error
    if hasattr(scorer, "_scorers"):
        scorers = dict(scorer._scorers)
        return scorers, tuple(scorers)
    return scorer, ("score",)


def _scoring_help(search: Any, error: Exception) -> str:
    import difflib

    from sklearn.metrics import get_scorer_names

    names = search.scoring if isinstance(search.scoring, (list, tuple, set)) else [search.scoring]
    unknown = [n for n in names if isinstance(n, str) and n not in get_scorer_names()]
    if not unknown:
        return f"scoring={search.scoring!r}, refit={search.refit!r}: {' '.join(str(error).split())}"
    near = difflib.get_close_matches(unknown[0], get_scorer_names(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"scoring: {unknown[0]!r} is no scorer of scikit-learn.{hint} See sklearn.metrics.get_scorer_names()."
    )


def draw_candidates(search: Any, seed: int) -> list[dict[str, Any]]:
    """The candidates, as scikit-learn would draw them.

    A `random_state=None` is filled from the search's seed, so that a second run asks the same questions.

    Raises:
        SpaceError: an empty grid or a space of the wrong form.
    """
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    try:
        if hasattr(search, "param_distributions"):
            state = search.random_state
            state = low32(derive_seed(seed, "candidates")) if state is None else copy.deepcopy(state)
            rows = list(ParameterSampler(search.param_distributions, search.n_iter, random_state=state))
        else:
            rows = list(ParameterGrid(search.param_grid))
    except (TypeError, ValueError) as error:
        raise SpaceError(f"the parameter space cannot be read: {error}") from error
    if not rows:
        raise SpaceError("the parameter space is empty: no candidate to try; give every parameter a value.")
    return rows


def draw_splits(search: Any, X: Any, y: Any, split_params: Mapping[str, Any], seed: int) -> list[tuple]:
    """The folds as (train, test) int64 index arrays, drawn once.

    Raises:
        DataError: a splitter that yields nothing, or another number than it announced.
    """
    from sklearn.base import is_classifier
    from sklearn.model_selection import check_cv

    cv = check_cv(search.cv, y, classifier=is_classifier(search.estimator))
    if getattr(cv, "shuffle", True) and getattr(cv, "random_state", 0) is None:
        cv = copy.copy(cv)
        cv.random_state = low32(derive_seed(seed, "cv"))
    splits = [_indices(train, test) for train, test in cv.split(X, y, **split_params)]
    announced = cv.get_n_splits(X, y, **split_params)
    if len(splits) != announced:
        raise DataError(
            f"cv.split and cv.get_n_splits return inconsistent results. Expected {announced} splits, "
            f"got {len(splits)}"
        )
    if not splits:
        raise DataError("No fits were performed. Was the CV iterator empty? cv yields no split.")
    return splits


def _indices(train: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    pair = []
    for index in (np.asarray(train), np.asarray(test)):
        pair.append(np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64, copy=False))
    return pair[0], pair[1]


def pack_splits(splits: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """All index arrays of a search in one array of whole numbers: workers map it, and unpickle nothing.

    Its head is the number of arrays and the length of each; then come train and test of each fold.
    """
    arrays = [np.asarray(index, dtype=np.int64) for pair in splits for index in pair]
    return np.concatenate([[len(arrays)], [len(array) for array in arrays], *arrays]).astype(np.int64)


def unpack_splits(packed: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(train, test) of each fold, as views of what `pack_splits` has made."""
    count = int(packed[0])
    ends = np.cumsum(packed[: count + 1]) + 1  # the head itself comes first
    arrays = [packed[start:end] for start, end in itertools.pairwise(ends)]
    return list(zip(arrays[::2], arrays[1::2], strict=True))
