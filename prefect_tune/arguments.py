"""The arguments of `fit`: checked against each other, then in the store and known by reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect_tune.data import DataRef, ingest
from prefect_tune.errors import DataError
from prefect_tune.store import StepStore


@dataclass(frozen=True, slots=True, kw_only=True)
class FitParam:
    """An argument of `fit` or of the scorer, by reference.

    Attributes:
        ref: where its value lies.
        per_row: whether it is cut along with the rows.
    """

    ref: DataRef
    per_row: bool


def ingest_pair(X: Any, y: Any, store: StepStore) -> tuple[Any, Any, DataRef, DataRef | None]:
    """(X, y as stored, their references), lengths checked."""
    from sklearn.utils import indexable

    x_ref = X if isinstance(X, DataRef) else None
    y_ref = y if isinstance(y, DataRef) else None
    X = store.load_blob(x_ref.blob) if x_ref else X
    y = store.load_blob(y_ref.blob) if y_ref else y
    if X is None or not (hasattr(X, "__len__") or hasattr(X, "shape")):
        raise DataError(
            f"X: {X!r} is no data; pass an array, a frame, a list, a path or what ingest() returned."
        )
    try:
        X, y = indexable(X, y)
    except (ValueError, TypeError) as error:
        raise DataError(f"X and y do not fit together: {error}") from error
    x_ref = x_ref or ingest(X, store, name="X")
    if y is not None:
        y_ref = y_ref or ingest(y, store, name="y")
    return X, y, x_ref, y_ref


def check_params(X: Any, params: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `fit` besides X and y, in the form in which they can be cut along with the rows.

    Raises:
        DataError: groups or weights of another length than X.
    """
    from sklearn.utils.validation import _check_method_params

    groups, rows = params.get("groups"), _length(X)
    for name, value in params.items():
        by_row = name == "groups" or name.split("__")[-1] == "sample_weight"
        if by_row and hasattr(value, "__len__") and _length(value) != rows:
            raise DataError(f"{name}: has {_length(value)} entries, but X has {rows} rows.")
    params = _check_method_params(X, params=params)
    return {**params, **({"groups": groups} if groups is not None else {})}


def store_param(name: str, value: Any, X: Any, store: StepStore) -> FitParam:
    """One argument in the store; what is array-like and as long as X is cut along with the rows."""
    from sklearn.utils.validation import _is_arraylike

    per_row = _is_arraylike(value) and _length(value) == _length(X)
    return FitParam(ref=ingest(value, store, name=name), per_row=per_row)


def _length(value: Any) -> int:
    return value.shape[0] if hasattr(value, "shape") and len(value.shape) else len(value)
