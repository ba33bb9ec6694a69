"""Rows of any kind of data: how many there are, some of them in a given order, a range of them."""

from __future__ import annotations

from typing import Any

import numpy as np


def row_count(value: Any) -> int:
    """Number of rows; -1 for a value without rows."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else -1
    return len(value) if hasattr(value, "__len__") and not isinstance(value, (str, bytes, dict)) else -1


def row_range(value: Any, start: int, stop: int) -> Any:
    """Rows start..stop, as a view where there can be one."""
    if start == 0 and stop == row_count(value):
        return value
    return value.iloc[start:stop] if hasattr(value, "iloc") else value[start:stop]


def take_rows(value: Any, rows: np.ndarray | None) -> Any:
    """A copy of these rows, in their order; None: the value itself."""
    if rows is None:
        return value
    if hasattr(value, "iloc"):
        return value.iloc[rows]
    return type(value)([value[i] for i in rows]) if isinstance(value, (list, tuple)) else value[rows]


def without_position(value: Any) -> Any:
    """A frame or series whose numbered rows start at 0, as if nothing stood before them; all else as it is.

    A slice of a frame carries the numbers of its rows. They would tell equal chunks apart by their place.
    """
    if type(value).__module__.partition(".")[0] != "pandas":
        return value
    import pandas as pd

    index: Any = getattr(value, "index", None)
    if type(index) is not pd.RangeIndex or (index.start == 0 and index.step == 1):
        return value
    value = value.copy(deep=False)
    value.index = pd.RangeIndex(len(index), name=index.name)
    return value
