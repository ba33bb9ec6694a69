"""Scores of a fitted candidate, as scikit-learn's searches compute them."""

from __future__ import annotations

import numbers
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from prefect_tune.tasks.isolation.limits import UNWATCHED, Stopped, Watch
from prefect_tune.tasks.outcome import cause_of


class ScoreFailed(str):
    """The traceback of a scorer that raised."""


Scores = dict[str, float | dict[str, float] | ScoreFailed]


def score(
    scorers: Any,
    estimator: Any,
    X: Any,
    y: Any,
    params: Mapping[str, Any],
    *,
    strict: bool = False,
    watch: Watch = UNWATCHED,
    place: str = "",
) -> Scores:
    """`{metric: score}`; a scorer that raised gives its traceback as `ScoreFailed`.

    Args:
        scorers: a scorer, whose metric is called `score`, or a dict of scorers.
        estimator: what the scorers are shown, fitted.
        params: further arguments of the scorers.
        strict: whether the error of a scorer is raised.
        watch: told that scoring begins, under the key `place`.

    Raises:
        Exception: the scorer's own, with `strict`.
        ValueError: when a scorer returns something other than a number.
    """
    try:
        with watch.running(place):
            return _scored(scorers, estimator, X, y, params, strict=strict)
    except Stopped as error:
        if strict:
            raise
        names = scorers if isinstance(scorers, dict) else ("score",)
        return {name: ScoreFailed(cause_of(error)) for name in names}


def _scored(
    scorers: Any, estimator: Any, X: Any, y: Any, params: Mapping[str, Any], *, strict: bool
) -> Scores:
    if isinstance(scorers, dict):
        from sklearn.metrics._scorer import _MultimetricScorer

        found = _MultimetricScorer(scorers=scorers, raise_exc=strict)(estimator, *_given(X, y), **params)
        return {
            name: ScoreFailed(value) if isinstance(value, str) else _number(value, name)
            for name, value in found.items()
        }
    try:
        value = scorers(estimator, *_given(X, y), **params)
    except Exception:
        if strict:
            raise
        return {"score": ScoreFailed(traceback.format_exc())}
    if isinstance(value, dict):
        return {"score": {name: _number(item, name) for name, item in value.items()}}
    return {"score": _number(value, scorers)}


def _given(X: Any, y: Any) -> tuple[Any, ...]:
    return (X,) if y is None else (X, y)


def _number(value: Any, scorer: Any) -> Any:
    if hasattr(value, "item"):
        with suppress(ValueError):
            value = value.item()
    if not isinstance(value, numbers.Number):
        raise ValueError(
            f"scoring must return a number, got {value} ({type(value)}) instead. (scorer={scorer})"
        )
    return value
