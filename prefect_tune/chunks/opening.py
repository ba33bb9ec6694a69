"""One door for data in chunks: arrays, frames, matrices, lists, references and Parquet by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prefect_tune.chunks.memory import cut_memory
from prefect_tune.chunks.model import ChunkedData
from prefect_tune.chunks.parquet import SUFFIXES, Layout, cut_parquet, dataset_files, parquet_files
from prefect_tune.data import read_file
from prefect_tune.errors import DataError
from prefect_tune.store import StepStore


def open_chunks(
    X: Any,
    y: Any = None,
    *,
    store: StepStore,
    params: Mapping[str, Any] | None = None,
    chunk_size: int | None = None,
    target: str | None = None,
    row_params: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
) -> ChunkedData:
    """The data as chunks, every one with an identity; nothing of it is kept in memory.

    Args:
        X: array, frame, sparse matrix, list or reference, cut by rows; or a Parquet file or folder by its
            path, or a `pyarrow.dataset.Dataset` of such files, where every file is a chunk.
        y: targets in such a form; for Parquet the name of a column.
        store: where data in memory goes, and where digests of files are remembered.
        params: per-row arguments (`sample_weight`): arrays as long as X; for Parquet names of columns.
        chunk_size: rows of a chunk at most. None: data in memory is one chunk, a file is one chunk. A file is
            cut between its row groups only.
        target: for Parquet the name of the target column, if `y` does not give it.
        row_params: names of columns, added to `params`.
        columns: for Parquet the feature columns; None: all but the others.

    Raises:
        DataError: lengths, columns or types do not fit together, a path is missing, or there are no rows.
    """
    if chunk_size is not None:
        chunk_size = check_chunk_size(chunk_size)
    given = {**(params or {}), **(row_params or {})}
    arguments = {name: value for name, value in given.items() if value is not None}
    files = _files(X)
    if files is not None:
        layout = Layout(
            columns=_column_names(columns), target=_target(y, target), params=_column_params(arguments)
        )
        return cut_parquet(files, layout, store, chunk_size)
    if target is not None or columns is not None:
        name = "target" if target is not None else "columns"
        kind = type(X).__name__
        raise DataError(f"{name}: names columns of Parquet files, but X is a {kind}; pass X and y apart.")
    arguments = {name: _in_memory(value, name) for name, value in arguments.items()}
    return cut_memory(_in_memory(X, "X"), _in_memory(y, "y"), arguments, store, chunk_size)


def check_chunk_size(chunk_size: Any) -> int:
    """The number of rows; DataError unless it is an int of at least 1."""
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, (int, np.integer)) or chunk_size < 1:
        raise DataError(f"chunk_size: must be an int of at least 1, got {chunk_size!r}; None: one chunk.")
    return int(chunk_size)


def _files(X: Any) -> list[str] | None:
    """The Parquet files that X means; None if it is data in memory or another kind of file."""
    if isinstance(X, (str, Path)):
        path = Path(X)
        return parquet_files(path) if path.suffix in SUFFIXES or not path.is_file() else None
    if type(X).__module__.startswith("pyarrow") and "Dataset" in type(X).__name__:
        return dataset_files(X)
    return None


def _target(y: Any, target: str | None) -> str | None:
    if y is not None and not isinstance(y, str):
        raise DataError(f"y: X is Parquet, so y must be the name of a column, got a {type(y).__name__}.")
    if y is not None and target is not None and y != target:
        raise DataError(f"y: names column {y!r}, but target names {target!r}; pass one of them.")
    return y if y is not None else target


def _column_names(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    if isinstance(columns, str):
        raise DataError(f"columns: must be a list of names, got the text {columns!r}; pass [{columns!r}].")
    return tuple(columns) if columns is not None else None


def _column_params(arguments: Mapping[str, Any]) -> dict[str, str]:
    for name, value in arguments.items():
        if not isinstance(value, str):
            raise DataError(
                f"{name}: X is Parquet, so it must be the name of a column, got a {type(value).__name__}."
            )
    return dict(arguments)


def _in_memory(value: Any, name: str) -> Any:
    """The value, read if it is a path; DataError for what cannot be cut here."""
    if isinstance(value, (str, Path)):
        return read_file(value, name)
    if type(value).__module__.partition(".")[0] in ("dask", "dask_expr"):
        raise DataError(
            f"{name}: a dask {type(value).__name__} needs the cluster that holds it, and X, y and every "
            "per-row argument must be dask collections chunked alike."
        )
    return value
