"""Digests of pandas frames, series and indexes, with the canonical object to go on with.

Rule 1: labels, dtypes, column order, index and names count; where the blocks lie in memory, `attrs` and
flags do not.
Rule 2: the canonical frame has one block per numpy dtype with every column contiguous, as pandas builds it
from a dict of columns. `to_numpy()` of equal frames then has one layout, and layout changes result bits.
Rule 3: `str`, `string[python]`, `string[pyarrow]` and `object` columns of one text stay distinct.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from prefect_tune.errors import Uncacheable
from prefect_tune.identity import arrays
from prefect_tune.identity.encode import content_ref, digest_frames, encode, frame, plain, ref
from prefect_tune.identity.extension import extension_frame


def fingerprint(value: Any, path: str = "") -> tuple[bytes, Any]:
    """The digest of a DataFrame, Series or Index, and its canonical form."""
    import pandas as pd

    if isinstance(value, pd.Index):
        return digest_frames("index/v1", index_frame(value, path)), value
    if type(value) is pd.Series:
        return _fingerprint_series(value, path)
    if type(value) is pd.DataFrame:
        return _fingerprint_frame(value, path)
    raise Uncacheable(path, f"{type(value).__qualname__}, a subclass of a pandas class, has no encoding")


def dtype_of(dtype: Any, path: str = "") -> bytes:
    """The frame of a numpy or extension dtype as a parameter value."""
    import pandas as pd

    if isinstance(dtype, np.dtype):
        return arrays.dtype_frame(dtype, path)
    if isinstance(dtype, pd.CategoricalDtype):
        categories = None if dtype.categories is None else fingerprint(dtype.categories, path)[0]
        return frame("categorical", encode(dtype.ordered) + encode(categories))
    return frame("extension", encode((type(dtype).__name__, str(dtype), repr(dtype))))


def index_frame(index: Any, path: str = "") -> bytes:
    """The frame of an index: a range by its three numbers, a MultiIndex by levels and codes."""
    import pandas as pd

    kind = type(index)
    if kind is pd.RangeIndex:
        return frame("range-index", encode((plain(index.name), index.start, index.stop, index.step)))
    if kind is pd.MultiIndex:
        parts = [encode(plain(list(index.names)), f"{path}.index.names")]
        for level, codes in zip(index.levels, index.codes, strict=True):
            parts.append(index_frame(level, path))
            parts.append(ref(arrays.fingerprint(np.asarray(codes, np.int64))[0]))
        return frame("multi-index", b"".join(parts))
    known = (
        pd.Index,
        pd.DatetimeIndex,
        pd.TimedeltaIndex,
        pd.PeriodIndex,
        pd.CategoricalIndex,
        pd.IntervalIndex,
    )
    if kind not in known:
        raise Uncacheable(f"{path}.index", f"{kind.__qualname__} has no encoding")
    freq = getattr(index, "freqstr", None)
    head = encode((kind.__name__, plain(index.name), freq), f"{path}.index.name")
    return frame("index", head + values_frame(_values(index), f"{path}.index")[0])


def _values(column: Any) -> Any:
    """The numpy array of a numpy-typed column (datetime64 included), else its extension array."""
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def values_frame(values: Any, path: str) -> tuple[bytes, Any]:
    """The frame of one column's values, and the values to go on with."""
    if isinstance(values, np.ndarray):
        digest, canonical = arrays.fingerprint(values, path)
        return ref(digest), canonical
    return extension_frame(values, path), values


def _fingerprint_series(series: Any, path: str) -> tuple[bytes, Any]:
    import pandas as pd

    values = _values(series)
    body, canonical = values_frame(values, path)
    if canonical is not values:
        series = pd.Series(canonical, index=series.index, name=series.name, dtype=series.dtype, copy=False)
    name = encode(plain(series.name), f"{path}.name")
    return digest_frames("series/v1", name, body, index_frame(series.index, path)), series


def _columns(table: Any) -> list:
    return [_values(column) for _, column in table.items()]


def _groups(columns: list) -> dict[str, list[int]]:
    """Positions of the columns of each numpy dtype, in order; object and extension columns apart."""
    groups: dict[str, list[int]] = {}
    for i, column in enumerate(columns):
        if isinstance(column, np.ndarray) and column.dtype.kind != "O":
            groups.setdefault(column.dtype.str, []).append(i)
    return groups


def _is_canonical(table: Any, columns: list, groups: dict[str, list[int]]) -> bool:
    """Whether the table has one block per numpy dtype, each with contiguous columns."""
    whole = sum(not isinstance(column, np.ndarray) for column in columns) + len(groups)
    whole += any(isinstance(column, np.ndarray) and column.dtype.kind == "O" for column in columns)
    # A private count, used only to skip a copy: where pandas lacks it, the table is rebuilt.
    if getattr(getattr(table, "_mgr", None), "nblocks", None) != whole:
        return False
    return all(_is_block(columns, positions) for positions in groups.values())


def _is_block(columns: list, positions: list[int]) -> bool:
    """Whether these columns lie contiguous and one behind the other in memory."""
    expected = None
    for i in positions:
        column = columns[i]
        start = column.__array_interface__["data"][0]
        if not column.flags.c_contiguous or (expected is not None and start != expected):
            return False
        expected = start + column.nbytes
    return True


def _rebuilt(table: Any, content: Any) -> Any:
    """A table of this content, in the canonical block layout, with the labels of the old one."""
    import pandas as pd

    rebuilt = pd.DataFrame(content, index=table.index, copy=isinstance(content, dict))
    rebuilt.columns = table.columns
    return rebuilt


def _one_block(table: Any) -> tuple[np.ndarray, Any] | None:
    """The (columns, rows) block of a table of one numpy dtype, and the table around it; else None.

    The shortcut for wide numeric tables: pandas takes 10 µs to hand out one column.
    """
    dtypes = set(table.dtypes)
    if len(dtypes) != 1 or table.empty:
        return None
    dtype = dtypes.pop()
    if not isinstance(dtype, np.dtype) or dtype.kind == "O":
        return None
    block = np.ascontiguousarray(table.to_numpy().T)
    first = table.iloc[:, 0].to_numpy()
    same = first.__array_interface__["data"][0] == block.__array_interface__["data"][0]
    return block, table if same else _rebuilt(table, block.T)


def _object_columns(columns: list, path: str) -> tuple[dict[int, bytes], bool]:
    """The frames of the columns that are no plain block, and whether one had to be converted."""
    frames, changed = {}, False
    for i, column in enumerate(columns):
        if not isinstance(column, np.ndarray) or column.dtype.kind == "O":
            frames[i], canonical = values_frame(column, f"{path}[:, {i}]")
            changed = changed or canonical is not column
            columns[i] = canonical
    return frames, changed


def _fingerprint_frame(table: Any, path: str) -> tuple[bytes, Any]:
    whole = _one_block(table)
    if whole is not None:
        block, table = whole
        dtypes = [arrays.dtype_frame(block.dtype, path)] * len(block)
        blocks = [encode(block.dtype.str), arrays.array_ref(block)]
    else:
        dtypes, blocks, table = _several_blocks(table, path)
    head = [_labels_frame(table.columns, path), index_frame(table.index, path), encode(table.shape)]
    return digest_frames("frame/v1", *head, *dtypes, *blocks), table


def _several_blocks(table: Any, path: str) -> tuple[list[bytes], list[bytes], Any]:
    """One frame per column, one digest per numpy dtype, and the table in canonical layout."""
    columns = _columns(table)
    groups = _groups(columns)
    others, changed = _object_columns(columns, path)
    if changed or not _is_canonical(table, columns, groups):
        table = _rebuilt(table, dict(enumerate(columns)))
        columns = _columns(table)
    # A block's columns are hashed in one go; the list of frames only says where each belongs.
    frames = [others.get(i) or arrays.dtype_frame(c.dtype, path) for i, c in enumerate(columns)]
    blocks = []
    for name, positions in groups.items():
        blocks += [encode(name), content_ref(_block_digest(columns, positions))]
    return frames, blocks, table


def _block_digest(columns: list, positions: list[int]) -> bytes:
    """BLAKE3 of the columns' bytes, one behind the other."""
    total = arrays.hasher(columns[positions[0]].nbytes)
    for i in positions:
        total.update(arrays.flat_bytes(columns[i]))
    return total.digest()


def _labels_frame(labels: Any, path: str) -> bytes:
    """The frame of the column labels: few, so each goes by its own type."""
    if type(labels).__name__ in ("RangeIndex", "MultiIndex", "CategoricalIndex", "IntervalIndex"):
        return index_frame(labels, f"{path}.columns")
    names = plain([labels.tolist(), list(labels.names)])
    kind = frame("labels", encode(type(labels).__name__) + dtype_of(labels.dtype))
    return kind + encode(names, f"{path}.columns")
