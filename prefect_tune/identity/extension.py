"""Frames of pandas extension arrays: text, categories, nullable numbers, time zones, periods, intervals.

Rule: the dtype with all that belongs to it (categories, order, unit, zone, storage) comes first, then the
values in a form that does not depend on how they are stored: chunks combined, junk under nulls zeroed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from prefect_tune.errors import Uncacheable
from prefect_tune.identity import arrays, arrow
from prefect_tune.identity.encode import encode, frame, ref


def extension_frame(values: Any, path: str = "") -> bytes:
    """The frame of one pandas extension array; raises `Uncacheable` for a class it does not know."""
    for name, encoder in _BY_DTYPE.items():
        if _is_pandas(values.dtype, name):
            return frame(name.lower(), encoder(values, path))
    if _is_masked(values):
        return frame("nullable", _masked(values, path))
    raise Uncacheable(path, f"columns of dtype {values.dtype} have no encoding")


def _is_pandas(dtype: Any, name: str) -> bool:
    import pandas as pd

    return type(dtype) is getattr(pd, name)


def _is_masked(values: Any) -> bool:
    from pandas.arrays import BooleanArray, FloatingArray, IntegerArray

    return type(values) in (BooleanArray, FloatingArray, IntegerArray)


def _array(values: Any, path: str) -> bytes:
    return ref(arrays.fingerprint(np.asarray(values), path)[0])


def _string(values: Any, path: str) -> bytes:
    dtype = values.dtype
    head = encode((str(dtype), dtype.storage, repr(dtype.na_value)))
    if dtype.storage == "python":
        import pyarrow as pa

        # Missing slots are one marker per dtype, so text plus validity is all there is.
        text = pa.array(np.asarray(values, object), pa.large_string(), from_pandas=True)
        return head + ref(arrow.array_digest(text, path))
    return head + ref(arrow.fingerprint(values.__arrow_array__(), path)[0])


def _arrow(values: Any, path: str) -> bytes:
    return encode(str(values.dtype)) + ref(arrow.fingerprint(values.__arrow_array__(), path)[0])


def _categorical(values: Any, path: str) -> bytes:
    from prefect_tune.identity.frames import index_frame  # categories are an index again

    return (
        encode(bool(values.ordered))
        + index_frame(values.categories, f"{path}.categories")
        + _array(values.codes, path)
    )


def _zoned(values: Any, path: str) -> bytes:
    zone = values.dtype.tz
    head = encode((values.dtype.unit, type(zone).__module__, type(zone).__qualname__, str(zone)))
    return head + _array(values.asi8, path)


def _period(values: Any, path: str) -> bytes:
    return encode(values.dtype.name) + _array(values.asi8, path)


def _interval(values: Any, path: str) -> bytes:
    from prefect_tune.identity.frames import index_frame

    return encode(values.closed) + index_frame(values.left, path) + index_frame(values.right, path)


def _sparse(values: Any, path: str) -> bytes:
    from prefect_tune.identity.encode import plain

    fill = plain(values.fill_value)
    index = values.sp_index.to_int_index().indices
    head = encode((str(values.dtype.subtype), fill, len(values)), path)
    return head + _array(index, path) + _array(values.sp_values, path)


def _masked(values: Any, path: str) -> bytes:
    # The two private halves: `isna()` would merge a NaN that sits in the data with a missing value.
    mask = np.asarray(values._mask)
    data = np.where(mask, np.zeros((), values._data.dtype), values._data)
    return encode(str(values.dtype)) + _array(data, path) + _array(mask, path)


_BY_DTYPE: dict[str, Callable[[Any, str], bytes]] = {
    "StringDtype": _string,
    "CategoricalDtype": _categorical,
    "DatetimeTZDtype": _zoned,
    "PeriodDtype": _period,
    "IntervalDtype": _interval,
    "SparseDtype": _sparse,
    "ArrowDtype": _arrow,
}
