"""The rows of a fold, cut from the stored data once per process.

Rule: what several steps share is lent, never given. Arrays are read-only, frames and lists are shallow
copies, so that a step that writes into its input cannot change what its siblings see.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from prefect_tune.arguments import FitParam
from prefect_tune.draws import unpack_splits
from prefect_tune.nodes import TRAIN
from prefect_tune.search import SearchSpec
from prefect_tune.store import StepStore


class Dataset:
    """The data of a search, mapped from the store.

    Args:
        spec: the search.
        store: where its data lies.
    """

    def __init__(self, spec: SearchSpec, store: StepStore) -> None:
        self.spec = spec
        self.X = protect(store.load_blob(spec.X.blob))
        self.y = protect(store.load_blob(spec.y.blob)) if spec.y is not None else None
        self.splits = unpack_splits(store.load_blob(spec.splits.blob))
        self._params = {
            name: store.load_blob(param.ref.blob)
            for name, param in {**spec.fit_params, **spec.score_params}.items()
        }
        self._targets: dict[tuple[int, str], Any] = {}

    def indices(self, fold: int, side: str) -> np.ndarray | None:
        """Row numbers of one side of a fold; None is all rows."""
        return None if fold < 0 else self.splits[fold][0 if side == TRAIN else 1]

    def rows(self, fold: int, side: str, pairwise: bool = False) -> Any:
        """X on one side of a fold, protected against writing.

        Args:
            pairwise: whether X is a kernel matrix, whose columns are the rows of the training side.
        """
        rows = self.indices(fold, side)
        if rows is None:
            return self.X
        if pairwise:
            return protect(self.X[np.ix_(rows, self.splits[fold][0])])
        return protect(_take(self.X, rows))

    def target(self, fold: int, side: str) -> Any:
        """y on one side of a fold; None without y."""
        if self.y is None or fold < 0:
            return self.y
        if (fold, side) not in self._targets:
            self._targets[fold, side] = protect(_take(self.y, self.indices(fold, side)))
        return self._targets[fold, side]

    def arguments(self, names: Mapping[str, str], fold: int, side: str = TRAIN) -> dict[str, Any]:
        """`{argument: value}` for `{argument: name of a fit parameter}`, cut to the rows of the fold."""
        return {
            argument: self._argument(name, self.spec.fit_params[name], fold, side)
            for argument, name in names.items()
        }

    def score_arguments(self, fold: int, side: str) -> dict[str, Any]:
        """What the scorers are passed besides X and y."""
        return {
            name: self._argument(name, param, fold, side) for name, param in self.spec.score_params.items()
        }

    def _argument(self, name: str, param: FitParam, fold: int, side: str) -> Any:
        value, rows = self._params[name], self.indices(fold, side)
        # A copy even of what is not cut: some estimators train in the array they are given to start from.
        return _take(value, rows) if param.per_row and rows is not None else copy.deepcopy(value)


def _take(value: Any, rows: np.ndarray | None) -> Any:
    from sklearn.utils import _safe_indexing

    return _safe_indexing(value, rows)


def protect(value: Any) -> Any:
    """`value` itself, its arrays made read-only where they can be."""
    for array in _arrays(value):
        if array.flags.owndata or array.base is None or array.flags.writeable:
            array.flags.writeable = False
    return value


def lend(value: Any) -> Any:
    """`value` for one consumer: adding columns, rows or items to it changes nothing for the others."""
    if isinstance(value, list):
        return list(value)
    if hasattr(value, "iloc"):
        return value.copy(deep=False)
    if _is_sparse(value):
        # A shell of its own: sorting or summing in place would otherwise change shared attributes.
        twin = object.__new__(type(value))
        twin.__dict__.update(value.__dict__)
        return twin
    return value


def private_copy(value: Any) -> Any:
    """A deep, writable copy of `value`, its memory layout kept."""
    if isinstance(value, np.ndarray):
        return value.copy(order="K")
    return value.copy() if hasattr(value, "copy") else value


def size_of(value: Any) -> int:
    """Bytes that `value` holds, as far as its arrays tell."""
    if hasattr(value, "memory_usage"):
        return int(np.sum(value.memory_usage(deep=False)))
    return sum(array.nbytes for array in _arrays(value))


def _arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value]
    if _is_sparse(value):
        return [part for part in vars(value).values() if isinstance(part, np.ndarray)]
    return []


def _is_sparse(value: Any) -> bool:
    from scipy.sparse import issparse

    return issparse(value)
