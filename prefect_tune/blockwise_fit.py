"""Training on the blocks of a Dask collection, one after another.

Rule 1: the estimator passed in stays as it was, and no result of the engine is changed.
Rule 2: at most one block is asked for ahead of the one in use, so the data need not fit into memory.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.multiclass import unique_labels

from prefect_tune.blockwise import blocks_of, by_rows, is_dask, same_rows
from prefect_tune.errors import DataError


def with_classes(estimator: Any, y: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for `partial_fit`, `classes` among them where a fresh classifier needs them.

    Classes that are not given are read off `y`: for a Dask collection by a pass over it, and nothing else.
    """
    known = params.get("classes") is not None or hasattr(estimator, "classes_")
    takes = "classes" in inspect.signature(estimator.partial_fit).parameters
    if y is None or known or not takes or not is_classifier(estimator):
        return dict(params)
    if not is_dask(y):
        return {**params, "classes": unique_labels(np.asarray(y))}
    import dask

    found = dask.compute([dask.delayed(_labels)(block) for block in blocks_of(by_rows(y, "y"))])[0]
    labels = [part for part in found if len(part)]
    return {**params, "classes": np.unique(np.concatenate(labels))} if labels else dict(params)


def _labels(block: Any) -> Any:
    """The labels of one block; none of an empty one."""
    return unique_labels(np.asarray(block)) if len(block) else np.asarray(block).ravel()


def fitted_on(
    state: tuple[Any, int], at: int, X: Any, beside: Mapping[str, Any], fixed: Mapping[str, Any]
) -> tuple[Any, int]:
    """A copy of the estimator that saw one block more, and the rows it has seen; runs where the block is."""
    estimator, seen = state
    rows = same_rows(at, X=X, **beside)
    if rows == 0:
        return state
    # Where a worker is lost, the state before this block may be asked for again: it must not have changed.
    estimator = copy.deepcopy(estimator)
    estimator.partial_fit(X, **beside, **fixed)
    return estimator, seen + rows


def train(
    estimator: Any, X: Any, beside: Mapping[str, Any], fixed: Mapping[str, Any], order: Sequence[int]
) -> Any:
    """The estimator after `partial_fit` on every block, in that order.

    With a `distributed.Client` active the blocks are loaded and used on its workers; without, in this
    thread. What blocks have in common, such as a mean over all rows, a cluster computes again for each of
    them: persist it first.

    Args:
        estimator: what to start from.
        X, beside: collections, lined up: `y` and other arguments with a value for each row.
        fixed: arguments that are the same for each block.
        order: numbers of the blocks.

    Raises:
        DataError: when no block has a row, or blocks that stand side by side differ in their rows.
    """
    import dask

    blocks, columns = blocks_of(X), {name: blocks_of(value) for name, value in beside.items()}
    call, settings = dask.delayed(fitted_on, pure=False), dask.delayed(dict(fixed), traverse=False)
    state = dask.delayed((estimator, 0), traverse=False)
    steps = ((at, blocks[at], {name: parts[at] for name, parts in columns.items()}) for at in order)
    if (waiting := _client()) is None:
        for step in steps:
            state = call(state, *step, settings)
        model, rows = state.compute(scheduler="sync")
    else:
        with waiting:
            model, rows = _one_ahead(call, state, steps, settings)
    if rows == 0:
        raise DataError(
            f"X has no row in any of its {len(blocks)} blocks, so {type(estimator).__name__} cannot learn; "
            "check how X was filtered."
        )
    return model


def _one_ahead(call: Any, state: Any, steps: Iterable[tuple[Any, ...]], settings: Any) -> tuple[Any, int]:
    """The last state; the next block is asked for while one is in use, and no further one."""
    from distributed import futures_of, wait

    for step in steps:
        following = call(state, *step, settings).persist()
        if futures := futures_of(state):
            wait(futures)
            if any(future.status == "error" for future in futures):
                break
        state = following
    return state.compute()


def _client() -> Any:
    """A context in which the active `distributed.Client` may be waited for; None when there is none."""
    from dask.base import get_scheduler

    # A client that is active has loaded its module.
    if (distributed := sys.modules.get("distributed")) is None:
        return None
    if not isinstance(getattr(get_scheduler(), "__self__", None), distributed.Client):
        return None
    try:
        distributed.get_worker()
    except ValueError:
        return nullcontext()
    # Inside a task: its thread is given back to the worker while it waits.
    return distributed.worker_client()
