"""The rows of an adaptive search, read chunk by chunk; what `Dataset` is to a search on whole folds.

Rule 1: one chunk at a time. Only the rows that are scored, and the sample on which first steps are fitted,
are ever put together from several chunks; the former once, into the store, from where all processes map them.
Rule 2: what several steps share is lent, never given (see `dataset`).
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from prefect_tune.chunks import ChunkRows, read_chunk
from prefect_tune.chunks.rows import row_count
from prefect_tune.nodes import TEST, TRAIN
from prefect_tune.store import MissingBlob, Record, StepStore
from prefect_tune.tasks.dataset import protect, size_of
from prefect_tune.training import TrainingSpec

HELD_BYTES = 128 * 2**20
"""Bytes of chunks that a process keeps, so that candidates trained one after another read them once."""


class ChunkFeed:
    """The chunks of a search in one process.

    Args:
        spec: the search.
        store: where stored chunks lie.
    """

    def __init__(self, spec: TrainingSpec, store: StepStore) -> None:
        self.spec, self.store = spec, store
        self.parts = spec.parts()
        self._held: OrderedDict[int, ChunkRows] = OrderedDict()
        self._scored: dict[int, ChunkRows] = {}
        self._bytes = 0

    def rows(self, fold: int, side: str, pairwise: bool = False) -> Any:
        """X of the compiler's fold `fold`; see `chains.Parts` for how folds are numbered."""
        return self.chunk(fold, side).X

    def target(self, fold: int, side: str) -> Any:
        """y of the same rows; None without y."""
        return self.chunk(fold, side).y

    def arguments(self, names: Any, fold: int, side: str = TRAIN) -> dict[str, Any]:
        """Nothing: the steps before the last take no arguments in rounds."""
        return {}

    def chunk(self, fold: int, side: str) -> ChunkRows:
        """The rows of a fold with target and arguments, remembered while there is room."""
        if side == TEST:  # every candidate is scored on these: they stay
            if fold not in self._scored:
                self._drop_to(0)
                self._scored[fold] = protected(self._validation(fold))
            return self._scored[fold]
        if fold in self._held:
            self._held.move_to_end(fold)
            return self._held[fold]
        self._drop_to(HELD_BYTES // 2)  # before reading: two large chunks need not be there at once
        found = self._held[fold] = protected(self._training(fold))
        self._bytes += _bytes(found)
        self._drop_to(HELD_BYTES, but=1)
        return found

    def _drop_to(self, limit: int, but: int = 0) -> None:
        """Forgets what was not asked for longest, down to a number of bytes; `but` chunks stay at least."""
        while len(self._held) > but and self._bytes > limit:
            _, dropped = self._held.popitem(last=False)
            self._bytes -= _bytes(dropped)

    def _training(self, fold: int) -> ChunkRows:
        place = self.parts.place(fold)
        if place is not None:
            return self._part(*place, TRAIN)
        split = fold - self.parts.sample(0)
        parts = [self._part(split, chunk, TRAIN) for chunk in self.spec.sample_chunks(split)]
        return first_rows(joined(parts), self.spec.prefix_rows)

    def _part(self, split: int, chunk: int, side: str) -> ChunkRows:
        plan: Any = self.spec.split
        return read_chunk(plan.chunk(split, chunk, side), self.store, plan.rows(split, chunk, side))

    def _validation(self, split: int) -> ChunkRows:
        """The rows that are scored: from the store, or put together and left there."""
        key, scope = self.spec.validation_key(split).hex(), self.spec.scope
        record = self.store.get(key, scope)
        if record is not None and record.outputs:
            try:
                return self._loaded(record)
            except MissingBlob:
                pass
        start = time.perf_counter()
        plan = self.spec.split
        parts = range(plan.n_parts(split, TEST))
        total = sum(plan.size(split, part, TEST) for part in parts)
        found = gathered((self._part(split, part, TEST) for part in parts), total)
        record = Record(
            key=key,
            kind="rows",
            family="validation rows",
            seconds=time.perf_counter() - start,
            created=time.time(),
            creator=f"{socket.gethostname()}:{os.getpid()}",
        )
        # Such a frame is stored as its matrix, which all processes map; of others each has a copy.
        matrix = matrix_of(found.X)
        X = {"X": found.X} if matrix is None else {"X": matrix, "columns": list(found.X.columns)}
        named = {**X, "y": found.y, **{f"param {n}": v for n, v in found.params.items()}}
        record = self.store.put(record, {n: v for n, v in named.items() if v is not None}, scope)
        return self._loaded(record) if record.outputs else found

    def _loaded(self, record: Record) -> ChunkRows:
        parts = {blob.name: self.store.load(record, blob.name) for blob in record.outputs}
        params = {n.removeprefix("param "): v for n, v in parts.items() if n.startswith("param ")}
        X = parts["X"]
        if "columns" in parts:
            import pandas as pd

            X = pd.DataFrame(X, columns=parts["columns"], copy=False)
        return ChunkRows(X=X, y=parts.get("y"), params=params)


def protected(rows: ChunkRows) -> ChunkRows:
    """The same rows, their arrays made read-only where they can be."""
    for part in (rows.X, rows.y, *rows.params.values()):
        protect(part)
    return rows


def matrix_of(frame: Any) -> np.ndarray | None:
    """The matrix below a frame of one type of float whose rows are just numbered; None for all else."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame) or not isinstance(frame.index, pd.RangeIndex):
        return None
    if len(set(frame.dtypes)) != 1 or frame.dtypes.iloc[0].kind != "f":
        return None
    numbered = frame.index.start == 0 and frame.index.step == 1
    return np.ascontiguousarray(frame.to_numpy()) if numbered else None


def gathered(parts: Iterable[ChunkRows], total: int) -> ChunkRows:
    """The rows of several chunks one below the other, `total` in all; their X need not be there at once."""
    import pandas as pd

    parts = iter(parts)
    first = next(parts)
    matrix = matrix_of(first.X)
    if matrix is None:
        return joined([first, *parts])
    block, at, rest = np.empty((total, matrix.shape[1]), dtype=matrix.dtype), 0, []
    columns = first.X.columns
    for part in itertools.chain([first], parts):
        block[at : at + len(part.X)] = part.X.to_numpy()
        at += len(part.X)
        rest.append(ChunkRows(X=[], y=part.y, params=part.params))
    others = joined(rest)
    return ChunkRows(X=pd.DataFrame(block, columns=columns, copy=False), y=others.y, params=others.params)


def joined(parts: Sequence[ChunkRows]) -> ChunkRows:
    """The rows of several chunks one below the other."""
    if len(parts) == 1:
        return parts[0]
    names = list(parts[0].params)
    return ChunkRows(
        X=_stacked([part.X for part in parts]),
        y=None if parts[0].y is None else _stacked([part.y for part in parts]),
        params={name: _stacked([part.params[name] for part in parts]) for name in names},
    )


def first_rows(rows: ChunkRows, count: int | None) -> ChunkRows:
    """The first `count` rows; all of them for None."""
    if count is None or count >= row_count(rows.X):
        return rows
    from sklearn.utils import _safe_indexing

    def cut(value: Any) -> Any:
        return None if value is None else _safe_indexing(value, np.arange(count))

    return ChunkRows(X=cut(rows.X), y=cut(rows.y), params={n: cut(v) for n, v in rows.params.items()})


def _stacked(values: list[Any]) -> Any:
    first = values[0]
    if hasattr(first, "iloc"):
        import pandas as pd

        return pd.concat(values, ignore_index=True)
    if isinstance(first, list):
        return [item for value in values for item in value]
    if isinstance(first, np.ndarray):
        return np.concatenate(values)
    from scipy.sparse import vstack

    return vstack(values, format=first.format)


def _bytes(rows: ChunkRows) -> int:
    return size_of(rows.X) + (size_of(rows.y) if rows.y is not None else 0)
