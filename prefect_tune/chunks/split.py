"""Which rows of a chunk train and which validate, and in which order the calls go through the chunks.

Rule 1: a chunk of m rows is permuted by a seed of its own; the sides are ranges of the permutation.
Rule 2: the key of a side is made of the chunk's identity, its seed and those ranges, so that equal rows of
equal content have one key, wherever the chunk stands.
Rule 3: data that files can be added to has seeds made of identities and a test share that is no function of
their number; its first pass goes in file order. So a new file changes no split and no call before it.
Rule 4: other data follows dask-ml, number for number: seeds and passes from one `RandomState` each
(dask_ml.model_selection, `ShuffleSplit` and `_incremental`, 2025.1).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prefect_tune.chunks.model import Chunk, ChunkedData
from prefect_tune.errors import DataError
from prefect_tune.identity.encode import digest
from prefect_tune.identity.seeds import derive_seed, low32

Side = str  # "train" or "test"
OrderBy = Literal["shuffled", "appended", "sequential"]
Ranges = list[tuple[int, int]]

TEST_SIZE = 0.2
APPENDABLE_TEST_SIZE = 0.05


@dataclass(frozen=True, kw_only=True)
class Split:
    """The rows of every side of every split, and the order of the calls; a plan, it reads nothing.

    A part is what one call sees. Here a part is a chunk; `explicit_split` cuts parts out of one chunk.

    Attributes:
        data: what is split.
        n_splits: number of splits; more than one is cross-validation.
        random_state: decides permutations and order.
        seeds: one per chunk of `data`.
        test_size: share of each chunk that validates; 0 if a validation set does.
        cv: number of folds that each chunk is cut into, or None.
        validation: a data set of its own whose rows all validate, or None.
        order_by: "shuffled" (every pass, by one generator), "appended" (the first pass in order, each later
            one by a seed of its own) or "sequential" (every pass in order).
    """

    data: ChunkedData
    n_splits: int
    random_state: int
    seeds: tuple[int, ...] = ()
    test_size: float = 0.0
    cv: int | None = None
    validation: ChunkedData | None = None
    order_by: OrderBy = "shuffled"

    def n_parts(self, split: int, side: Side = "train") -> int:
        """How many parts that side has; on the training side one pass is so many calls."""
        return len(self._chunks(side))

    def chunk(self, split: int, part: int, side: Side = "train") -> Chunk:
        """The chunk that holds the rows of that part."""
        return self._chunks(side)[part]

    def rows(self, split: int, chunk: int, side: Side, m: int | None = None) -> np.ndarray:
        """Positions within the chunk, in the order of training; `m` is its number of rows."""
        where = self._chunks(side)[chunk]
        m = where.rows if m is None else m
        if side == "test" and self.validation is not None:
            return np.arange(m)
        order = np.random.RandomState(self.seeds[chunk]).permutation(m)
        return np.concatenate([order[start:stop] for start, stop in self._ranges(split, side, m)])

    def size(self, split: int, chunk: int, side: Side) -> int:
        """How many rows that part has."""
        where = self._chunks(side)[chunk]
        if side == "test" and self.validation is not None:
            return where.rows
        return sum(stop - start for start, stop in self._ranges(split, side, where.rows))

    def key(self, split: int, chunk: int, side: Side) -> bytes:
        """32 bytes that name these rows of this content, for the keys of what is computed on them."""
        where = self._chunks(side)[chunk]
        content = bytes.fromhex(where.identity)
        if side == "test" and self.validation is not None:
            return digest("chunk-rows/v1", content, None, [(0, where.rows)])
        ranges = [(start, stop) for start, stop in self._ranges(split, side, where.rows) if stop > start]
        return digest("chunk-rows/v1", content, self.seeds[chunk], ranges)

    def order(self, split: int, calls: int) -> list[int]:
        """The part that call 1, 2, …, `calls` trains on; a longer plan begins with the shorter one."""
        parts = self.n_parts(split)
        order: list[int] = []
        rng = np.random.RandomState(self.random_state)
        while parts and len(order) < calls:
            once = list(range(parts))
            if self.order_by == "shuffled":
                rng.shuffle(once)
            elif self.order_by == "appended" and order:
                seed = derive_seed(self.random_state, "pass", len(order) // parts)
                np.random.RandomState(low32(seed)).shuffle(once)
            order += once
        return order[:calls]

    def everything(self) -> Split:
        """A plan by which all rows train, in chunks of the same sizes and in the same order."""
        plan = plan_split(self.data, random_state=self.random_state, validation=self.data)
        return dataclasses.replace(plan, order_by=self.order_by)

    def has_train(self, split: int) -> bool:
        """Whether any row trains in that split."""
        return any(self.size(split, part, "train") for part in range(self.n_parts(split)))

    def has_test(self, split: int) -> bool:
        """Whether any row validates in that split."""
        return any(self.size(split, part, "test") for part in range(self.n_parts(split, "test")))

    def _chunks(self, side: Side) -> tuple[Chunk, ...]:
        return self.validation.chunks if side == "test" and self.validation is not None else self.data.chunks

    def _ranges(self, split: int, side: Side, m: int) -> Ranges:
        """Where a side lies in the permutation of m rows."""
        if self.validation is not None:
            return [(0, m)]
        if self.cv is not None:
            start, stop = fold_range(m, self.cv, split)
            return [(start, stop)] if side == "test" else [(0, start), (stop, m)]
        n_test, n_train = math.ceil(self.test_size * m), math.floor((1 - self.test_size) * m)
        return [(0, n_test)] if side == "test" else [(n_test, n_test + n_train)]


def fold_range(m: int, folds: int, fold: int) -> tuple[int, int]:
    """Where fold number `fold` of m rows begins and ends: nearly equal parts, the longer ones first."""
    size, longer = divmod(m, folds)
    start = fold * size + min(fold, longer)
    return start, start + size + (fold < longer)


def plan_split(
    data: ChunkedData,
    *,
    random_state: int,
    test_size: float | None = None,
    cv: int | None = None,
    validation: ChunkedData | None = None,
    shuffle_order: bool | Literal["auto"] = "auto",
) -> Split:
    """The split of the data, the same for the same arguments.

    Args:
        data: what is split.
        random_state: decides permutations and order.
        test_size: share of each chunk that validates. None: 0.2, or one part in as many as there are chunks
            if that is less; 0.05 of data that can be appended to.
        cv: cut every chunk into so many folds; each split tests on one of them and trains on the others.
        validation: data whose rows all validate; then all rows of `data` train.
        shuffle_order: whether passes go through the chunks in random order. "auto": yes, but for data that
            can be appended to not in the first pass.

    Raises:
        DataError: more than one of `test_size`, `cv` and `validation`, a value out of range, or no rows to
            train or to validate on.
    """
    given = {"test_size": test_size, "cv": cv, "validation": validation}
    if len(named := [name for name, value in given.items() if value is not None]) > 1:
        raise DataError(f"split: {' and '.join(named)} exclude each other; pass one of them.")
    share = 0.0 if cv is not None or validation is not None else _check_share(test_size, data)
    split = Split(
        data=data,
        n_splits=1 if cv is None else _check_folds(cv),
        random_state=int(random_state),
        seeds=_seeds(data, int(random_state)),
        test_size=share,
        cv=cv,
        validation=validation,
        order_by=order_by_of(data, shuffle_order),
    )
    return checked(split)


def _seeds(data: ChunkedData, random_state: int) -> tuple[int, ...]:
    """One seed per chunk: from its identity where files can be added, else by its place, as dask-ml."""
    if data.appendable:
        return tuple(low32(derive_seed(random_state, "split", chunk.identity)) for chunk in data.chunks)
    drawn = np.random.RandomState(random_state).randint(0, 2**31 - 1, size=data.n_chunks)
    return tuple(drawn.tolist())


def _check_share(test_size: Any, data: ChunkedData) -> float:
    if test_size is None:
        return APPENDABLE_TEST_SIZE if data.appendable else min(TEST_SIZE, 1 / data.n_chunks)
    if isinstance(test_size, (float, np.floating)) and 0 < test_size < 1:
        return float(test_size)
    raise DataError(f"test_size: must be a share between 0 and 1, got {test_size!r}; pass for example 0.2.")


def _check_folds(cv: Any) -> int:
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool) and cv >= 2:
        return int(cv)
    raise DataError(f"cv: must be an int of at least 2, the number of folds, got {cv!r}.")


def order_by_of(data: ChunkedData, shuffle_order: bool | str) -> OrderBy:
    """The order of the passes that was asked for, or that fits the data."""
    if shuffle_order == "auto":
        return "appended" if data.appendable else "shuffled"
    return "shuffled" if shuffle_order else "sequential"


def checked(split: Split) -> Split:
    """The split; DataError if one of its sides has no rows."""
    for number in range(split.n_splits):
        for side, found in (("train", split.has_train(number)), ("validate", split.has_test(number))):
            if not found:
                raise DataError(
                    f"split {number}: no rows to {side} on: {split.data.rows} rows in {split.data.n_chunks} "
                    "chunks leave none; use larger chunks, another test_size or fewer folds."
                )
    return split
