"""What the columns of some rows are called and hold, and whether two sets of rows can meet one estimator.

Rule 1: little is read: a footer of a file, or the first rows of a chunk.
Rule 2: what cannot be told from that passes; an estimator has the last word.
"""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_tune.chunks.model import ChunkedData, ParquetRows
from prefect_tune.chunks.rows import row_range
from prefect_tune.data import DataRef
from prefect_tune.errors import DataError, did_you_mean
from prefect_tune.store import StepStore
from prefect_tune.text import short

LOOKED_AT = 100
"""Rows from which kinds are told where the type alone does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the entries of a row are.

    Attributes:
        names: of the columns; None where they have none.
        shape: of a row; (3,) for three columns, () for single values; None: unknown.
        kinds: "numbers", "text", "times" or "" (unknown) of each column; one alone is that of all.
    """

    names: tuple[str, ...] | None = None
    shape: tuple[int, ...] | None = None
    kinds: tuple[str, ...] = ("",)

    def kind(self, column: int) -> str:
        return self.kinds[column if len(self.kinds) > 1 else 0]


Described = tuple[Features, Features | None]
"""The features and the target of some rows."""


def described(data: ChunkedData, store: StepStore) -> Described:
    """The features and the target of data in chunks, as its first chunk has them."""
    source = data.chunks[0].source
    if isinstance(source, ParquetRows):
        return _of_file(source)

    def first_rows(ref: DataRef) -> Any:
        stop = min(source.stop, source.start + LOOKED_AT)
        return row_range(store.load_blob(ref.blob), source.start, stop)

    return features_of(first_rows(source.X)), features_of(first_rows(source.y)) if source.y else None


def features_of(value: Any) -> Features:
    """What an array, a frame, a matrix, a list or a dask collection has in its rows."""
    columns, dtypes = getattr(value, "columns", None), getattr(value, "dtypes", None)
    if columns is not None and dtypes is not None:
        texts = all(isinstance(name, str) for name in columns)
        kinds = tuple(_kind_of_column(value, dtype, number) for number, dtype in enumerate(dtypes))
        names = tuple(columns) if texts and len(columns) else None
        return Features(names=names, shape=(len(columns),), kinds=kinds or ("",))
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        kind = _kind_of_column(value, value.dtype)
        shape = tuple(value.shape[1:])
        kinds = (kind,) if kind or not isinstance(value, np.ndarray) else _kinds_of_rows(value, shape)
        return Features(shape=shape, kinds=kinds)
    if isinstance(value, (list, tuple)) and value:
        shapes = {np.shape(row) if _is_regular(row) else None for row in value[:LOOKED_AT]}
        regular = shapes.pop() if len(shapes) == 1 else None
        return Features(shape=regular, kinds=_kinds_of_rows(value, regular))
    return Features()


def check_alike(train: Described, other: Described, place: str) -> None:
    """Nothing, if what was trained on the one rows can be scored on the other.

    Args:
        train: features and target of the training rows.
        other: of the others.
        place: what errors call these.

    Raises:
        DataError: other columns, another number or order of them, another kind; a target that is missing.
    """
    (ours, target), (theirs, their_target) = train, other
    if ours.names and theirs.names:
        _check_names(ours.names, theirs.names, place)
    if None not in (ours.shape, theirs.shape) and ours.shape != theirs.shape:
        raise DataError(
            f"{place}: has {_width(theirs)}, but X has {_width(ours)}; pass the same features as in X."
        )
    for column in range(max(len(ours.kinds), len(theirs.kinds))):
        here, there = theirs.kind(column), ours.kind(column)
        if here and there and here != there:
            every = max(len(ours.kinds), len(theirs.kinds)) == 1
            name = "X" if every else f"column {(ours.names or theirs.names or range(column + 1))[column]!r}"
            raise DataError(f"{place}: {name} holds {here}, but {there} in the rows to train on; {_SAME}.")
    if target is not None:
        if their_target is None:
            raise DataError(f"{place}: has no target, but X has one; pass a pair (X, y).")
        here, there = their_target.kind(0), target.kind(0)
        if here and there and here != there:
            raise DataError(f"{place}: y holds {here}, but {there} in the rows to train on; {_SAME}.")


_SAME = "pass it in the same form"


def _check_names(ours: Sequence[str], theirs: Sequence[str], place: str) -> None:
    if list(ours) == list(theirs):
        return
    missing = [name for name in ours if name not in theirs]
    if missing:
        raise DataError(
            f"{place}: has no column {missing[0]!r}, which X has.{did_you_mean(missing[0], theirs)} It has: "
            f"{short(', '.join(theirs), 200)}. Pass the same columns as in X."
        )
    more = [name for name in theirs if name not in ours]
    if more:
        raise DataError(
            f"{place}: has a column {more[0]!r}, which X has not. X has: {short(', '.join(ours), 200)}. "
            "Leave it out."
        )
    raise DataError(
        f"{place}: has the columns of X in another order: {short(', '.join(theirs), 200)}. Pass them as in "
        f"X: {short(', '.join(ours), 200)}."
    )


def _width(features: Features) -> str:
    shape = features.shape or ()
    if len(shape) > 1:
        return f"rows of shape {shape}"
    return f"{shape[0]} column{'s' if shape[0] != 1 else ''}" if shape else "single values and no columns"


def _of_file(source: ParquetRows) -> Described:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(source.path, memory_map=False)
        types = [schema.field(name).type for name in source.columns or ()]
        target = schema.field(source.target).type if source.target is not None else None
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise DataError(f"X: {source.path!r} cannot be read as Parquet ({error}); write it anew.") from error
    features = Features(
        names=source.columns, shape=(len(types),), kinds=tuple(map(_kind_of_arrow, types)) or ("",)
    )
    return features, None if target is None else Features(shape=(), kinds=(_kind_of_arrow(target),))


def _kind_of_arrow(kind: Any) -> str:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _kind_of_arrow(kind.value_type)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind):
        return "numbers"
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    return "times" if types.is_temporal(kind) else ""


def _kind_of_column(frame: Any, dtype: Any, *number: int) -> str:
    """The kind of a frame's column, or of a series or array, by its type or else by its first entries."""
    categories = getattr(dtype, "categories", None)
    kind = _kind_of_type(dtype) if categories is None else ""
    if kind or not hasattr(frame, "iloc") or hasattr(frame, "dask"):
        return kind
    values = categories if categories is not None else frame.iloc[(slice(LOOKED_AT), *number)].dropna()
    return _kind_of_value(next(iter(values), None))


def _kind_of_type(dtype: Any) -> str:
    if str(dtype).startswith(("str", "large_string")):
        return "text"
    kinds = {"b": "numbers", "i": "numbers", "u": "numbers", "f": "numbers", "U": "text", "S": "text",
             "M": "times", "m": "times"}  # fmt: skip
    return kinds.get(getattr(dtype, "kind", ""), "")


def _kinds_of_rows(rows: Any, shape: tuple[int, ...] | None) -> tuple[str, ...]:
    """The kinds of the entries of rows that no type describes, one row after another until one tells."""
    first = list(rows[:LOOKED_AT])
    if shape is None or len(shape) > 1 or not first:
        return ("",)
    columns = zip(*first, strict=True) if shape else [first]
    return tuple(next(filter(None, map(_kind_of_value, column)), "") for column in columns) or ("",)


def _kind_of_value(value: Any) -> str:
    if isinstance(value, (str, bytes)):
        return "text"
    if isinstance(value, (numbers.Number, np.bool_)):
        return "" if value != value else "numbers"
    return "times" if isinstance(value, (datetime.date, np.datetime64)) else ""


def _is_regular(row: Any) -> bool:
    """Whether a row has a shape: a value, or a sequence of values."""
    try:
        return np.asarray(row).dtype.kind != "O" or np.ndim(row) <= 1
    except ValueError:  # sequences of unlike lengths
        return False
