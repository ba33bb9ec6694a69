"""Chunks of Parquet files: a file, or some of its row groups, read in place and never stored again.

Rule 1: opening reads footers, and bytes only to hash them; rows are read by whoever works on the chunk.
Rule 2: every file has the same columns and types; X has its columns in the order of the first file.
Rule 3: a file that is no longer what it was when the data was opened is an error, never another chunk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prefect_tune.chunks.files import FileState, file_states
from prefect_tune.chunks.model import Chunk, ChunkedData, ChunkRows, ParquetRows
from prefect_tune.errors import DataError, did_you_mean
from prefect_tune.identity.encode import digest
from prefect_tune.store import StepStore
from prefect_tune.text import short

SUFFIXES = (".parquet", ".pq")
DECODED = 4 << 20  # bytes of columns that are decoded at once, about


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which column of a file is what.

    Attributes:
        columns: features; None: every column that is nothing else.
        target: the column that is y, if any.
        params: per-row arguments: name of the argument to name of the column.
    """

    columns: tuple[str, ...] | None = None
    target: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def needed(self) -> list[str]:
        """All columns to read, each once; `columns` must be known."""
        target = [self.target] if self.target is not None else []
        return list(dict.fromkeys([*(self.columns or ()), *target, *self.params.values()]))


def cut_parquet(
    paths: Sequence[str], layout: Layout, store: StepStore, chunk_size: int | None
) -> ChunkedData:
    """The files as chunks, in their order; one with more than `chunk_size` rows by groups of row groups.

    Raises:
        DataError: a file cannot be read, lacks a column or has another type in it; there are no rows.
    """
    footers = [_footer(path) for path in paths]
    asked, layout = layout, _resolved(layout, footers[0][1], paths[0])
    _check_types(paths, [schema for _, schema in footers], asked, layout)
    if not sum(map(sum, (groups for groups, _ in footers))):
        raise DataError(
            f"X: the {len(paths)} Parquet file(s) from {paths[0]!r} on have no rows; check the path."
        )
    chunks = [
        _chunk(state, layout, numbers, rows)
        for state, (groups, _) in zip(file_states(paths, store), footers, strict=True)
        for numbers, rows in _cut_groups(groups, chunk_size)
    ]
    kind = f"{len(paths)} Parquet file{'s' if len(paths) > 1 else ''} in {len(chunks)} chunks"
    return ChunkedData(chunks=tuple(chunks), kind=kind, appendable=True)


def parquet_files(path: Path) -> list[str]:
    """The Parquet files at a path, by relative path; hidden ones and those that begin with `_` are left out.

    Raises:
        DataError: there is nothing at the path, or no Parquet file.
    """
    path = Path(os.path.abspath(path))
    if not path.exists():
        raise DataError(f"X: there is no file or folder {str(path)!r}; check the path.")
    if path.is_file():
        return [str(path)]
    inside = [found.relative_to(path) for found in path.rglob("*") if found.suffix in SUFFIXES]
    names = [name for name in inside if not any(part.startswith((".", "_")) for part in name.parts)]
    found = [str(path / name) for name in sorted(names, key=Path.as_posix) if (path / name).is_file()]
    if not found:
        raise DataError(
            f"X: the folder {str(path)!r} holds no Parquet file (*{', *'.join(SUFFIXES)}); name another."
        )
    return found


def dataset_files(dataset: Any) -> list[str]:
    """The files of a `pyarrow.dataset.Dataset`, in its order.

    Raises:
        DataError: it is not made of Parquet files of this machine's file system.
    """
    kind, files = getattr(dataset, "format", None), getattr(dataset, "files", None)
    if files is None or getattr(kind, "default_extname", "") != "parquet":
        raise DataError(f"X: this {type(dataset).__name__} is not made of Parquet files; write it as such.")
    if dataset.filesystem.type_name != "local":
        raise DataError(
            f"X: the dataset lies in a file system of type {dataset.filesystem.type_name!r}; chunks are read "
            "from local or mounted folders. Copy it there, or pass a dask collection."
        )
    if not files:
        raise DataError("X: the dataset has no files; check the path it was made from.")
    return [os.path.abspath(file) for file in files]


def read_parquet_rows(source: ParquetRows, store: StepStore, rows: np.ndarray | None) -> ChunkRows:
    """The chunk's rows: X as a DataFrame, y and the per-row arguments as arrays.

    Raises:
        DataError: the file is gone, cannot be read, or has changed since it was opened.
    """
    import pandas as pd

    _check_unchanged(source, store)
    layout = Layout(columns=source.columns, target=source.target, params=source.params)
    with _opened(source.path) as file:
        layout = _resolved(layout, file.schema_arrow, source.path)
        columns = list(layout.columns or ())
        try:
            found = _read(file, source.row_groups, layout.needed, rows, _one_type(file.schema_arrow, columns))
        except (OSError, ValueError) as error:
            raise DataError(f"X: {source.path!r} cannot be read ({error}); write the file anew.") from error
    y = np.asarray(found[layout.target]) if layout.target is not None else None
    params = {name: np.asarray(found[column]) for name, column in layout.params.items()}
    block = found.get(BLOCK)
    if block is not None:
        X = pd.DataFrame(block, columns=columns, copy=False)
    else:
        X = pd.DataFrame({name: found[name] for name in columns}, copy=False)
    return ChunkRows(X=X, y=y, params=params)


BLOCK = object()
"""Where `_read` leaves features that are all of one type of float."""


def _one_type(schema: Any, columns: Sequence[str]) -> dict[str, int]:
    """Column -> place in one matrix, if all are of one type of float; estimators take that without a copy."""
    import pyarrow as pa

    types = {schema.field(name).type for name in columns}
    alike = len(types) == 1 and pa.types.is_floating(next(iter(types)))
    return {name: i for i, name in enumerate(columns)} if alike else {}


def _read(
    file: Any,
    groups: Sequence[int],
    names: Sequence[str],
    rows: np.ndarray | None,
    places: Mapping[str, int],
) -> dict[Any, Any]:
    """These rows of the columns, as arrays; those that have a place are columns of the matrix at `BLOCK`.

    A few columns are decoded at a time, so that there is never a second copy of all of them.
    """
    length = sum(file.metadata.row_group(group).num_rows for group in groups)
    step = max(1, DECODED // (8 * max(1, length)))
    found: dict[Any, Any] = {}
    for start in range(0, len(names), step):
        some = list(names[start : start + step])
        table = file.read_row_groups(list(groups), columns=some, use_threads=False)
        # Without what pandas wrote about its index: rows are numbered from 0 in every chunk.
        table = table.select(some).replace_schema_metadata(None)
        frame = table.to_pandas(split_blocks=True, self_destruct=True)
        del table
        for name in some:
            column = frame[name]
            array = column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array
            taken = array if rows is None else array[rows]
            if name in places:
                if BLOCK not in found:
                    found[BLOCK] = np.empty((len(taken), len(places)), dtype=taken.dtype)
                found[BLOCK][:, places[name]] = taken
            if name not in places:
                found[name] = taken
            del column, array, taken
        del frame
    return found


def _opened(path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, memory_map=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"X: {path!r} cannot be read as Parquet ({error}); write the file anew.") from error


def _footer(path: str) -> tuple[list[int], Any]:
    """Rows of each row group, and the Arrow schema."""
    with _opened(path) as file:
        meta = file.metadata
        return [meta.row_group(i).num_rows for i in range(meta.num_row_groups)], file.schema_arrow


def _resolved(layout: Layout, schema: Any, path: str) -> Layout:
    """The layout with its feature columns spelled out and checked against a file's columns."""
    target, params = layout.target, layout.params
    for name in [*(layout.columns or ()), *([target] if target is not None else []), *params.values()]:
        _check_column(name, schema, path)
    if layout.columns is None:
        # What pandas wrote as its index is a label of rows, not a feature.
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        other = {target, *params.values(), *[name for name in index if isinstance(name, str)]}
        columns = tuple(name for name in schema.names if name not in other)
    else:
        columns = tuple(layout.columns)
    if not columns:
        raise DataError(f"X: {path!r} has no column besides target and arguments; X needs at least one.")
    if target in columns:
        raise DataError(f"X: column {target!r} is the target; leave it out of 'columns'.")
    return Layout(columns=columns, target=target, params=dict(params))


def _check_column(name: str, schema: Any, path: str) -> None:
    if name not in schema.names:
        raise DataError(
            f"X: there is no column {name!r} in {path!r}.{did_you_mean(str(name), schema.names)} "
            f"It has: {short(', '.join(schema.names), 200)}."
        )


def _check_types(paths: Sequence[str], schemas: Sequence[Any], asked: Layout, first: Layout) -> None:
    """DataError for the first file that differs from the first one in a column that is read."""
    for path, schema in zip(paths, schemas, strict=True):
        if schema.equals(schemas[0], check_metadata=False):
            continue
        missing = [name for name in first.needed if name not in schema.names]
        more = [] if missing else set(_resolved(asked, schema, path).columns or ()) - set(first.needed)
        for name in [*missing, *sorted(more)]:
            have, lack = (paths[0], path) if missing else (path, paths[0])
            near = did_you_mean(name, schema.names) if missing else ""
            raise DataError(
                f"X: column {name!r} is in {have!r}, but not in {lack!r}.{near} Write all files with the "
                "same columns, or name those to use with columns=."
            )
        for name in first.needed:
            here, there = schema.field(name).type, schemas[0].field(name).type
            if here != there:
                raise DataError(
                    f"X: column {name!r} is {here} in {path!r}, but {there} in {paths[0]!r}; write the files "
                    "with the same types, or leave it out with columns=."
                )


def _cut_groups(groups: Sequence[int], chunk_size: int | None) -> list[tuple[tuple[int, ...], int]]:
    """Neighbouring row groups of at most `chunk_size` rows together, but at least one, and their rows."""
    whole = [(tuple(range(len(groups))), sum(groups))]
    if chunk_size is None or sum(groups) <= chunk_size:
        return whole
    cut: list[tuple[tuple[int, ...], int]] = []
    for number, rows in enumerate(groups):
        if cut and cut[-1][1] + rows <= chunk_size:
            cut[-1] = ((*cut[-1][0], number), cut[-1][1] + rows)
        else:
            cut.append(((number,), rows))
    return cut


def _chunk(state: FileState, layout: Layout, groups: tuple[int, ...], rows: int) -> Chunk:
    how = [list(groups), list(layout.columns or ()), layout.target, sorted(layout.params.items())]
    source = ParquetRows(
        path=state.path,
        row_groups=groups,
        columns=layout.columns,
        target=layout.target,
        params=layout.params,
        file=state.digest,
        size=state.size,
        mtime_ns=state.mtime_ns,
    )
    identity = digest("parquet-chunk/v1", bytes.fromhex(state.digest), *how).hex()
    return Chunk(identity=identity, rows=rows, source=source)


def _check_unchanged(source: ParquetRows, store: StepStore) -> None:
    """DataError if the file's bytes are not those that were hashed; they are read if its times differ."""
    if not source.file:
        return
    try:
        found = os.stat(source.path)
    except OSError as error:
        raise DataError(
            f"X: {source.path!r} cannot be read here ({error.strerror}); every worker needs it at this path."
        ) from error
    same = found.st_size == source.size and found.st_mtime_ns == source.mtime_ns
    # A copy on another machine may have other times.
    if not same and file_states([source.path], store)[0].digest != source.file:
        raise DataError(f"X: {source.path!r} changed after it was opened. Run again to use what it is now.")
