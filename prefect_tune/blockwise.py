"""Dask collections as blocks of rows: what an estimator answers to each, and which stand side by side.

Rule 1: nothing is computed here but by `in_memory`.
Rule 2: a block's answer is what the estimator answers to these rows alone; no rows in, no rows out.
Rule 3: Dask is imported when a Dask collection comes in, not before.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import NotFittedError

from prefect_tune.errors import DataError

# Answers with one column for each class.
BY_CLASS = ("predict_proba", "predict_log_proba")
# The settings by which a user says the form of an answer.
METAS = {
    "predict": "predict_meta",
    "predict_proba": "predict_proba_meta",
    "predict_log_proba": "predict_proba_meta",
    "transform": "transform_meta",
}


def is_dask(value: Any) -> bool:
    """Whether the value is a Dask collection; asks without importing Dask."""
    graph = None if isinstance(value, type) else getattr(value, "__dask_graph__", None)
    return graph is not None and graph() is not None


def is_frame(value: Any) -> bool:
    """Whether the value is a Dask DataFrame or Series."""
    return is_dask(value) and hasattr(value, "map_partitions") and hasattr(value, "_meta_nonempty")


def by_rows(value: Any, name: str = "X") -> Any:
    """The same collection, its blocks holding whole rows.

    Raises:
        DataError: for a Dask collection that has no rows, such as a Bag.
    """
    if is_frame(value):
        return value
    from dask.array import Array

    if not isinstance(value, Array):
        raise DataError(
            f"{name}: a Dask {type(value).__name__} has no blocks of rows; pass a Dask Array, DataFrame or "
            "Series."
        )
    across = {axis: -1 for axis in range(1, value.ndim) if value.numblocks[axis] > 1}
    return value.rechunk(across) if across else value


def in_memory(*values: Any) -> tuple[Any, ...]:
    """The values, computed together where they are Dask collections or dicts that hold some."""
    held = [item for value in values for item in (value.values() if isinstance(value, dict) else [value])]
    if not any(is_dask(item) for item in held):
        return values
    import dask

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Computing mixed collections", UserWarning)
        return dask.compute(*values)


# --- answers


def answer(estimator: Any, method: str, X: Any, meta: Any = None) -> Any:
    """What `estimator.method(X)` gives; for a Dask collection its lazy, blockwise form.

    Args:
        estimator: fitted; a lazy answer keeps it as it is now.
        method: such as `predict`.
        X: anything the estimator takes, or a Dask Array, DataFrame or Series.
        meta: an array or frame of the type, dtype and number of columns of the answer; None: found by asking
            for the answer to one made-up row.

    Returns:
        For a Dask Array: an Array of the same row chunks. For a frame: an Array of unknown row chunks where
        the estimator answers with arrays. A frame where the answer, or `meta`, is one.

    Raises:
        DataError: when the form of the answer cannot be found out; `meta` says it.
    """
    if not is_dask(X):
        return getattr(estimator, method)(X)
    import dask
    from dask.base import tokenize

    X = by_rows(X)
    form = form_of(estimator, method, X) if meta is None else form_given(estimator, method, meta)
    # One node of the graph for all blocks; equal estimators give equal keys, so equal answers are merged.
    held = dask.delayed(estimator, name=f"estimator-{tokenize(estimator)}", traverse=False)
    how = {"estimator": held, "method": method, "form": form}
    if is_frame(X) and hasattr(form, "iloc"):
        return X.map_partitions(on_block, **how, meta=form)
    if is_frame(X) or hasattr(form, "iloc"):
        return _of_another_kind([dask.delayed(on_block)(block, **how) for block in blocks_of(X)], form)
    # Axes of the answer that X has not, and the other way round.
    axes = {
        "drop_axis": list(range(form.ndim, X.ndim)) or None,
        "new_axis": list(range(X.ndim, form.ndim)) or None,
    }
    chunks = (X.chunks[0], *((width,) for width in form.shape[1:]))
    return X.map_blocks(on_block, **how, **axes, chunks=chunks, dtype=form.dtype, meta=form)


def _of_another_kind(parts: list[Any], form: Any) -> Any:
    """The Delayed blocks as one collection: a frame of an Array's answers, or an Array of a frame's."""
    from dask import array, dataframe

    if hasattr(form, "iloc"):
        return dataframe.from_delayed(parts, meta=form, verify_meta=False)
    shape = (np.nan, *form.shape[1:])
    return array.concatenate([array.from_delayed(part, shape, meta=form) for part in parts])


def on_block(block: Any, *, estimator: Any, method: str, form: Any) -> Any:
    """The estimator's answer to one block, in the form asked for; runs where the block is."""
    if block.shape[0] == 0:
        # A made-up index has no type in common with the index of the rows.
        return form.set_axis(block.index) if hasattr(form, "iloc") and hasattr(block, "index") else form
    found = getattr(estimator, method)(block)
    if found.shape[1:] != form.shape[1:]:
        raise DataError(
            f"{type(estimator).__name__}.{method}: a block gave rows of shape {found.shape[1:]}, and "
            f"{form.shape[1:]} was expected; give {METAS.get(method, 'X')} with the right columns."
        )
    if hasattr(form, "iloc") and not hasattr(found, "iloc"):
        named = {"columns": form.columns} if form.ndim == 2 else {"name": form.name}
        return type(form)(np.asarray(found), index=getattr(block, "index", None), **named)
    return found


def no_rows(value: Any) -> Any:
    """The value's form: its type and columns, without its rows."""
    if hasattr(value, "iloc"):
        return value.iloc[:0]
    return value.tocsr()[:0] if sparse.issparse(value) else value[:0]


def form_of(estimator: Any, method: str, X: Any) -> Any:
    """The form of the answer, found on one made-up row.

    Raises:
        DataError: when the estimator refuses that row and does not say by `classes_` what it answers.
    """
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = getattr(estimator, method)(made_up(X, estimator))
        if not hasattr(found, "shape"):
            raise TypeError(f"the answer is a {type(found).__name__}, which has no blocks")
        return no_rows(found)
    except NotFittedError:
        raise
    except Exception as error:
        classes = getattr(estimator, "classes_", None)
        if isinstance(classes, np.ndarray) and len(X.shape) == 2:
            if method == "predict":
                return classes[:0]
            if method in BY_CLASS:
                return np.empty((0, len(classes)))
        hint = f"; if so, give {METAS[method]}, an empty array or frame of the right dtype and columns"
        raise DataError(
            f"{type(estimator).__name__}.{method}: the form of the answer is unknown, since it failed on one "
            f"made-up row ({type(error).__name__}: {error}). Check that X has the columns of the training "
            f"data{hint if method in METAS else ''}."
        ) from error


def made_up(X: Any, estimator: Any) -> Any:
    """A row like those of the collection: the same columns and types, ones for values."""
    if is_frame(X):
        return X._meta_nonempty
    width = tuple(getattr(estimator, "n_features_in_", 1) if np.isnan(n) else n for n in X.shape[1:])
    if sparse.issparse(X._meta):
        return type(X._meta)(np.ones((1, *width), dtype=X.dtype))
    if X.dtype.kind in "OSU":
        return np.full((1, *width), "a", dtype=X.dtype)
    return np.ones_like(X._meta, shape=(1, *width))


def form_given(estimator: Any, method: str, meta: Any) -> Any:
    """The form of the answer that the user's meta says, where the classes do not say better.

    Raises:
        DataError: when it has a second axis and no columns on it.
    """
    form, classes = no_rows(meta), getattr(estimator, "classes_", None)
    if form.ndim < 2 or hasattr(form, "iloc"):
        return form
    if method in BY_CLASS and isinstance(classes, np.ndarray):
        return np.empty((0, len(classes)), dtype=form.dtype)
    if 0 in form.shape[1:]:
        raise DataError(
            f"{METAS[method]} has shape {meta.shape}, which leaves the number of columns open; give an empty "
            "array with as many columns as the answer has, as in numpy.empty((0, 3))."
        )
    return form


# --- blocks, side by side


def blocks_of(value: Any, *, shared: bool = False) -> list[Any]:
    """The blocks of a collection as Delayed objects, in order.

    Args:
        value: Dask Array, DataFrame or Series.
        shared: whether the blocks are computed together, so that what they have in common is computed once;
            otherwise each comes with no more than it needs itself.
    """
    from dask.delayed import Delayed
    from dask.optimization import cull
    from dask.utils import ensure_dict

    # In Dask 2026.8 the optimization of an Array drops the futures it is made of.
    distributed = None if is_frame(value) else sys.modules.get("distributed")
    persisted = distributed is not None and distributed.futures_of(value)
    parts = np.ravel(value.to_delayed(optimize_graph=not shared and not persisted)).tolist()
    # There, too, a frame made of Delayed has aliases with a key that is not theirs, and an Array made of such
    # a frame cannot be computed: its optimization goes by these keys.
    graph = {
        key: type(node)(key, node.target) if hasattr(node, "target") and node.key != key else node
        for key, node in ensure_dict(parts[0].dask).items()
    }
    return [Delayed(part.key, graph if shared else cull(graph, [part.key])[0]) for part in parts]


def rows_of(value: Any) -> list[int] | None:
    """The number of rows of each block; None where it is unknown."""
    if is_frame(value) or np.isnan(value.chunks[0]).any():
        return None
    return [int(rows) for rows in value.chunks[0]]


def lined_up(X: Any, others: Mapping[str, Any], *, rechunk: bool = False) -> dict[str, Any]:
    """The other collections, block for block beside those of X.

    Args:
        X: Dask collection, its blocks holding whole rows.
        others: by name: Dask collections, or values in memory that are cut where X is.
        rechunk: whether an Array of as many rows, otherwise chunked, is rechunked rather than refused.

    Raises:
        DataError: when the numbers of blocks or of rows differ, as far as they are known.
    """
    return {name: _beside(X, by_rows(value, name) if is_dask(value) else value, name, rechunk)
            for name, value in others.items()}  # fmt: skip


def _beside(X: Any, value: Any, name: str, rechunk: bool) -> Any:
    """One other collection, in the blocks of X."""
    rows = rows_of(X)
    if not is_dask(value):
        from dask import array

        if rows is None:
            raise DataError(
                f"{name} is in memory and X in Dask blocks of unknown size, so it cannot be cut where X is; "
                f"pass {name} as a Dask collection, or call X.compute_chunk_sizes() first."
            )
        value = np.asarray(value)
        if len(value) != sum(rows):
            raise DataError(
                f"X has {sum(rows)} rows and {name} has {len(value)}; pass one value for each row."
            )
        return array.from_array(value, chunks=(tuple(rows), *value.shape[1:]))
    theirs = rows_of(value)
    if rows is not None and theirs is not None and rows != theirs and rechunk and sum(rows) == sum(theirs):
        return value.rechunk({0: tuple(rows)})
    move = f"cut one like the other, by {name}.rechunk({{0: X.chunks[0]}}) or {name}.repartition(...)"
    if (mine := count_of(X)) != (other := count_of(value)):
        raise DataError(f"X has {mine} blocks and {name} has {other}, but they go in pairs; {move}.")
    if rows is not None and theirs is not None and rows != theirs:
        at = next(i for i, pair in enumerate(zip(rows, theirs, strict=True)) if pair[0] != pair[1])
        raise DataError(f"block {at}: X has {rows[at]} rows and {name} has {theirs[at]}; {move}.")
    return value


def count_of(value: Any) -> int:
    """The number of blocks."""
    return int(value.npartitions) if is_frame(value) else int(value.numblocks[0])


def same_rows(at: int, **blocks: Any) -> int:
    """The number of rows of these blocks, which stand side by side; None stands for no block.

    Raises:
        DataError: when they differ, which is not known before where the sizes of blocks are not.
    """
    (first, rows), *others = ((name, block.shape[0]) for name, block in blocks.items() if block is not None)
    for name, count in others:
        if count != rows:
            raise DataError(
                f"block {at}: {first} has {rows} rows and {name} has {count}; make both from the same "
                "partitions, or call compute_chunk_sizes() on both and rechunk one like the other."
            )
    return int(rows)
