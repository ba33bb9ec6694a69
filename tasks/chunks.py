"""Dask collections as chunks: every block is computed and stored where it lies, only references come back.

Rule 1: a block never visits the process that asks. A worker fingerprints and stores it in one pass.
Rule 2: dask's names and tokens are no identity: two of them may be equal for different blocks. Storing a
block is a task with a name of its own, and what it returns is made of the block's bytes.
Rule 3: X, y and per-row arguments line up block by block. What the graph says about sizes is checked before
anything is computed, the rest by the worker that has the block.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import dask
import distributed
import numpy as np

from prefect_tune.chunks import Chunk, ChunkedData
from prefect_tune.chunks.memory import check_lengths, part_names, stored_chunk
from prefect_tune.chunks.rows import row_count, without_position
from prefect_tune.data import ingest
from prefect_tune.errors import DataError, InfrastructureError, TuneError
from prefect_tune.store import StepStore


def is_chunked(value: Any) -> bool:
    """Whether the value is a dask collection, or a list of Delayed objects."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(dask.is_dask_collection(item) for item in value)
    return dask.is_dask_collection(value)


def chunk_collection(
    X: Any,
    y: Any = None,
    *,
    client: distributed.Client,
    store: StepStore,
    params: Mapping[str, Any] | None = None,
) -> ChunkedData:
    """The blocks of a dask collection as chunks, in their order, stored by the workers that hold them.

    Args:
        X: Array, DataFrame or a list of Delayed, one per block; sizes of blocks may be unknown.
        y: such a collection of as many blocks of the same lengths, or None.
        client: of the cluster that computes the blocks.
        store: a folder that this process and all workers share.
        params: per-row arguments (`sample_weight`) as such collections.

    Raises:
        DataError: the parts are no dask collections or do not line up, a block cannot be computed, or there
            are no rows. InfrastructureError: workers died. StoreUnavailable: they cannot write in the store.
    """
    given = {name: value for name, value in (params or {}).items() if value is not None}
    names = part_names(y, given)
    values = [X, *([y] if y is not None else []), *given.values()]
    _check_sizes({name: _sizes(value, name) for name, value in zip(names, values, strict=True)})
    _check_divisions(names, values)
    columns = [_blocks(value) for value in values]
    _check_numbers(names, columns)
    store_block = dask.delayed(_store_block, pure=False)
    tasks = [store_block(number, names, store, *row) for number, row in enumerate(zip(*columns, strict=True))]
    found = _results(client, tasks)
    chunks = tuple(chunk for chunk, _ in found)
    if not sum(chunk.rows for chunk in chunks):
        raise DataError("X: all blocks are empty; there is nothing to train on.")
    return ChunkedData(
        chunks=chunks,
        kind=f"dask {type(X).__name__} in {len(chunks)} chunk{'s' if len(chunks) > 1 else ''}",
        unstable=next((reason for _, reason in found if reason), ""),
    )


def _store_block(number: int, names: Sequence[str], store: StepStore, *parts: Any) -> tuple[Chunk, str]:
    """The chunk that one block became, and why it has no identity; runs on a worker."""
    block = {name: without_position(part) for name, part in zip(names, parts, strict=True)}
    check_lengths({name: row_count(part) for name, part in block.items()}, f", block {number}")
    return stored_chunk({name: ingest(part, store, name=name) for name, part in block.items()})


def _results(client: distributed.Client, tasks: Sequence[Any]) -> list[tuple[Chunk, str]]:
    """What the tasks returned; the first failure of a block as a DataError."""
    futures = client.compute(list(tasks), sync=False, retries=0)
    try:
        for future in distributed.as_completed(futures):
            if future.status != "finished":
                _raise(futures.index(future), future)
        return list(client.gather(futures))
    finally:
        # The keys are ours alone: nobody else waits for them.
        with contextlib.suppress(Exception):
            client.cancel(futures)


def _raise(number: int, future: distributed.Future) -> None:
    error = future.exception() if future.status == "error" else None
    if isinstance(error, TuneError):
        raise error
    if error is None or isinstance(error, distributed.scheduler.KilledWorker):
        why = "its worker died" if error else f"its task is {future.status}"
        raise InfrastructureError(
            f"X, block {number}: was not stored: {why}. If it does not fit into a worker's memory, use "
            "smaller blocks; else run again."
        ) from error
    raise DataError(
        f"X, block {number}: cannot be computed and stored ({type(error).__name__}: {error})."
    ) from error


def _sizes(value: Any, name: str) -> list[float]:
    """Rows of each block as far as the graph knows them, else NaN."""
    if isinstance(value, (list, tuple)) and is_chunked(value):
        return [math.nan] * len(value)
    if not dask.is_dask_collection(value):
        raise DataError(
            f"{_plain(name)}: is a {type(value).__name__}, but X is a dask collection; pass a dask "
            "collection chunked like X, for example dask.array.from_array(y, chunks=X.chunks[0])."
        )
    if hasattr(value, "chunks"):
        return list(value.chunks[0])
    return [math.nan] * getattr(value, "npartitions", 1)


def _check_sizes(sizes: Mapping[str, Sequence[float]]) -> None:
    """DataError for the first block whose known length is not that of X."""
    _check_numbers(list(sizes), list(sizes.values()))
    for name, own in sizes.items():
        for number, (ours, theirs) in enumerate(zip(own, sizes["X"], strict=True)):
            if ours == ours and theirs == theirs and ours != theirs:
                raise DataError(
                    f"{_plain(name)}, block {number}: has {ours:.0f} rows, but X has "
                    f"{theirs:.0f} there; rechunk it like X."
                )


def _check_numbers(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> None:
    """DataError unless all parts have as many blocks as X."""
    for name, column in zip(names, columns, strict=True):
        if len(column) != len(columns[0]):
            raise DataError(
                f"{_plain(name)}: has {len(column)} blocks, but X has {len(columns[0])}; rechunk it like X."
            )


def _check_divisions(names: Sequence[str], values: Sequence[Any]) -> None:
    """DataError for frames that are known to be cut at other labels than X."""
    known = {
        n: v.divisions for n, v in zip(names, values, strict=True) if getattr(v, "known_divisions", False)
    }
    for name, divisions in known.items():
        if divisions != known.get("X", divisions):
            raise DataError(
                f"{_plain(name)}: its partitions are cut at other labels than those of X; align it first, "
                "for example with repartition(divisions=X.divisions)."
            )


def _plain(name: str) -> str:
    return name.removeprefix("params.")


def _blocks(value: Any) -> list[Any]:
    """One Delayed per block; an array's blocks span all its columns."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if hasattr(value, "rechunk") and any(len(sizes) > 1 for sizes in value.chunks[1:]):
        value = value.rechunk(dict.fromkeys(range(1, value.ndim), -1))
    if hasattr(value, "to_delayed"):
        return list(np.ravel(value.to_delayed()))
    return [value]
