"""The rows of one chunk, read when they are needed, and nothing else with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from prefect_tune.chunks.model import Chunk, ChunkRows, StoredRows
from prefect_tune.chunks.parquet import read_parquet_rows
from prefect_tune.chunks.rows import row_range, take_rows
from prefect_tune.data import DataRef
from prefect_tune.store import StepStore


def read_chunk(chunk: Chunk, store: StepStore, rows: np.ndarray | None = None) -> ChunkRows:
    """The rows of a chunk in memory.

    Args:
        chunk: of data that `open_chunks` opened.
        store: where stored rows lie.
        rows: positions within the chunk, in the order wanted; None: all. Without them arrays are read-only
            views on the store.

    Raises:
        MissingBlob: stored rows are gone. DataError: a file is gone or is not what it was.
    """
    source = chunk.source
    if not isinstance(source, StoredRows):
        return read_parquet_rows(source, store, rows)

    def part(ref: DataRef) -> Any:
        return take_rows(row_range(store.load_blob(ref.blob), source.start, source.stop), rows)

    y = part(source.y) if source.y is not None else None
    return ChunkRows(X=part(source.X), y=y, params={name: part(ref) for name, ref in source.params.items()})
