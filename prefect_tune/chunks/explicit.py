"""Splits given by row numbers, for data in memory: parts are cut out of the numbers, not out of the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prefect_tune.chunks.model import Chunk, ChunkedData
from prefect_tune.chunks.split import Side, Split, checked, order_by_of
from prefect_tune.errors import DataError
from prefect_tune.identity.keys import fold_key


@dataclass(frozen=True, kw_only=True, eq=False)
class ExplicitSplit(Split):
    """Splits given by row numbers of data that is one chunk; a part is a stretch of the numbers given.

    Attributes:
        parts: per split, the row numbers of its training parts and of its test parts.
    """

    parts: tuple[tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]], ...] = ()

    def n_parts(self, split: int, side: Side = "train") -> int:
        return len(self._parts(split, side))

    def chunk(self, split: int, part: int, side: Side = "train") -> Chunk:
        return self.data.chunks[0]

    def rows(self, split: int, chunk: int, side: Side, m: int | None = None) -> np.ndarray:
        return self._parts(split, side)[chunk]

    def size(self, split: int, chunk: int, side: Side) -> int:
        return len(self._parts(split, side)[chunk])

    def key(self, split: int, chunk: int, side: Side) -> bytes:
        return fold_key(bytes.fromhex(self.data.chunks[0].identity), self._parts(split, side)[chunk])

    def everything(self) -> Split:
        """A plan by which all rows train, in parts of the same size; see `Split.everything`."""
        rows, longest = np.arange(self.data.rows), max(len(part) for part in self._parts(0, "train"))
        parts = tuple(rows[start : start + longest] for start in range(0, len(rows), longest))
        return dataclasses.replace(self, n_splits=1, parts=((parts, parts),))

    def _parts(self, split: int, side: Side) -> tuple[np.ndarray, ...]:
        return self.parts[split][1 if side == "test" else 0]


def explicit_split(
    data: ChunkedData,
    splits: Iterable[tuple[Any, Any]],
    *,
    random_state: int,
    chunk_size: int | None = None,
    shuffle_order: bool | Literal["auto"] = "auto",
) -> ExplicitSplit:
    """The splits that these row numbers mean; a call trains on at most `chunk_size` of them, as they stand.

    Args:
        data: opened without `chunk_size`, so that it is one chunk.
        splits: pairs of row numbers or masks: (rows to train on, rows to validate on).
        random_state: decides the order of the parts.
        chunk_size: rows of a part at most; None: a side is one part.
        shuffle_order: whether passes go through the parts in random order.

    Raises:
        DataError: the data is several chunks, there is no split, or row numbers are no rows of the data.
    """
    if data.n_chunks != 1:
        raise DataError(
            f"cv: row numbers need data in one chunk, but it has {data.n_chunks}; open it without chunk_size "
            "and pass that to the split, or pass the number of folds."
        )
    parts = tuple(
        (_cut(train, data.rows, chunk_size, f"split {i}, train"),
         _cut(test, data.rows, chunk_size, f"split {i}, test"))
        for i, (train, test) in enumerate(splits)
    )  # fmt: skip
    if not parts:
        raise DataError("cv: there is no split; pass at least one pair of row numbers.")
    order_by = order_by_of(data, shuffle_order)
    split = ExplicitSplit(
        data=data, n_splits=len(parts), random_state=int(random_state), order_by=order_by, parts=parts
    )
    return checked(split)  # type: ignore[return-value]


def _cut(rows: Any, total: int, chunk_size: int | None, where: str) -> tuple[np.ndarray, ...]:
    """Row numbers in parts of at most `chunk_size`."""
    numbers = np.asarray(rows)
    if numbers.dtype.kind == "b" and numbers.shape == (total,):
        numbers = np.flatnonzero(numbers)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise DataError(f"cv, {where}: must be row numbers or a mask of {total} rows, got {numbers.dtype}.")
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < total:
        raise DataError(
            f"cv, {where}: row numbers go from {numbers.min()} to {numbers.max()}, but X has {total} rows, "
            f"from 0 to {total - 1}."
        )
    numbers = numbers.astype(np.int64)
    size = chunk_size or max(1, len(numbers))
    return tuple(numbers[start : start + size] for start in range(0, len(numbers), size))
