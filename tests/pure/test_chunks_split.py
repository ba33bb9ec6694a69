"""Which rows of a chunk train, which validate, and which chunk each call is given."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.chunks import (
    Chunk,
    ChunkedData,
    StoredRows,
    explicit_split,
    open_chunks,
    plan_split,
    read_chunk,
)
from prefect_tune.errors import DataError
from prefect_tune.identity.encode import hexdigest
from prefect_tune.store import StepStore

SIDES = ("train", "test")
SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(lambda sizes: max(sizes) >= 10)


def chunked(sizes, *, appendable=False, name="d") -> ChunkedData:
    """Chunks of these sizes, nowhere stored."""
    chunks = [
        Chunk(identity=hexdigest("test", name, i, rows), rows=rows, source=StoredRows(X=None, stop=rows))
        for i, rows in enumerate(sizes)
    ]
    return ChunkedData(chunks=tuple(chunks), kind="test", appendable=appendable)


@pytest.mark.parametrize(
    ("random_state", "chunks", "order"),
    [
        (0, 4, [2, 3, 1, 0, 0, 2, 1, 3, 3, 0, 2, 1]),
        (0, 6, [5, 2, 1, 3, 0, 4, 1, 3, 4, 0, 2, 5]),
        (42, 4, [1, 3, 0, 2, 1, 3, 0, 2, 3, 0, 1, 2]),
    ],
)
def test_order_of_dask_ml(random_state, chunks, order):
    """Passes of one shuffled generator, as worked out in the algorithm reference (dask-ml 2025.1)."""
    split = plan_split(chunked([5] * chunks), random_state=random_state)
    assert split.order(0, 12) == order
    assert [split.order(0, calls) for calls in range(13)] == [order[:calls] for calls in range(13)]


def test_rows_of_dask_ml():
    """Seeds 209652396 and 398764591 for random state 0; the first permutes five rows to 1 0 2 3 4."""
    split = plan_split(chunked([5, 5]), random_state=0)
    assert split.seeds == (209652396, 398764591)
    assert split.rows(0, 0, "test", 5).tolist() == [1]
    assert split.rows(0, 0, "train", 5).tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize(("chunks", "share"), [(1, 0.2), (4, 0.2), (5, 0.2), (6, 1 / 6), (40, 1 / 40)])
def test_default_share(chunks, share):
    """A fifth, or one part in as many as there are chunks; a twentieth where files can be added."""
    assert plan_split(chunked([50] * chunks), random_state=0).test_size == share
    assert plan_split(chunked([50] * chunks, appendable=True), random_state=0).test_size == 0.05


@given(sizes=SIZES, share=st.floats(0.01, 0.9), seed=st.integers(0, 2**32 - 1), appendable=st.booleans())
def test_sides_are_the_start_and_the_rest_of_a_permutation(sizes, share, seed, appendable):
    """Of m rows the first ceil(share·m) of the permutation validate, the next floor((1-share)·m) train."""
    data = chunked(sizes, appendable=appendable)
    try:
        split = plan_split(data, random_state=seed, test_size=share)
    except DataError:
        assert all(math.floor((1 - share) * m) == 0 for m in sizes)
        return
    for number, m in enumerate(sizes):
        order = np.random.RandomState(split.seeds[number]).permutation(m).tolist()
        n_test, n_train = math.ceil(share * m), math.floor((1 - share) * m)
        assert split.rows(0, number, "test", m).tolist() == order[:n_test]
        assert split.rows(0, number, "train", m).tolist() == order[n_test : n_test + n_train]
        assert [split.size(0, number, side) for side in SIDES] == [n_train, n_test]


@given(sizes=SIZES, folds=st.integers(2, 7), seed=st.integers(0, 1000))
def test_folds_cut_every_chunk(sizes, folds, seed):
    """Fold k validates on part k of `array_split` of the permutation and trains on the rest in order."""
    split = plan_split(chunked(sizes), random_state=seed, cv=folds)
    assert split.n_splits == folds
    for number, m in enumerate(sizes):
        order = np.random.RandomState(split.seeds[number]).permutation(m)
        for k, part in enumerate(np.array_split(order, folds)):
            assert split.rows(k, number, "test", m).tolist() == part.tolist()
            rest = [row for row in order if row not in set(part)]
            assert split.rows(k, number, "train", m).tolist() == rest


@given(sizes=SIZES, more=st.lists(st.integers(1, 40), min_size=1, max_size=3), calls=st.integers(0, 12),
       seed=st.integers(0, 1000), cv=st.sampled_from([None, 3]))  # fmt: skip
def test_an_appended_file_changes_nothing_before_it(sizes, more, calls, seed, cv):
    """Rows, keys and the calls of the first pass stay; so a trained round stays known."""
    old = plan_split(chunked(sizes, appendable=True), random_state=seed, cv=cv)
    new = plan_split(chunked([*sizes, *more], appendable=True), random_state=seed, cv=cv)
    first = min(calls, len(sizes))
    assert old.order(0, first) == new.order(0, first) == list(range(first))
    for split in range(old.n_splits):
        for number, m in enumerate(sizes):
            for side in SIDES:
                assert old.rows(split, number, side, m).tolist() == new.rows(split, number, side, m).tolist()
                assert old.key(split, number, side) == new.key(split, number, side)


@pytest.mark.parametrize("appendable", [True, False])
@pytest.mark.parametrize("shuffle", ["auto", True, False])
def test_every_pass_visits_every_chunk_once(appendable, shuffle):
    """Whatever the order, n calls are one pass; a longer plan begins with the shorter one."""
    split = plan_split(chunked([9] * 7, appendable=appendable), random_state=3, shuffle_order=shuffle)
    order = split.order(0, 28)
    passes = [order[start : start + 7] for start in range(0, 28, 7)]
    assert [sorted(one) for one in passes] == [list(range(7))] * 4
    assert split.order(0, 17) == order[:17]
    in_order = [one == list(range(7)) for one in passes]
    first = {True: False, False: True, "auto": appendable}[shuffle]
    assert in_order == [first, *[shuffle is False] * 3]
    assert shuffle is False or len({tuple(one) for one in passes}) == 4


def test_keys_name_content_and_choice_only():
    """Equal content chosen alike has one key wherever it stands; another choice of rows has another."""
    data, moved = (chunked(sizes, appendable=True) for sizes in ([20, 30], [20, 30, 40]))
    moved = ChunkedData(chunks=moved.chunks[::-1], kind="", appendable=True)
    split, other = plan_split(data, random_state=0), plan_split(moved, random_state=0)
    assert [split.key(0, i, "train") for i in (0, 1)] == [other.key(0, i, "train") for i in (2, 1)]
    keys = [
        plan.key(number, chunk, side)
        for plan in (
            split,
            plan_split(data, random_state=1),
            plan_split(data, random_state=0, test_size=0.5),
            plan_split(data, random_state=0, cv=3),
            plan_split(data, random_state=0, validation=chunked([7, 9], name="v")),
        )
        for number in range(plan.n_splits)
        for chunk in (0, 1)
        for side in SIDES
    ]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}
    assert pickle.loads(pickle.dumps(split)) == split


def test_a_validation_set_validates_whole():
    """All rows of the data train, in permuted order; all rows of the set validate, as they stand."""
    data, held = chunked([6, 4]), chunked([3, 0, 5], name="v")
    split = plan_split(data, random_state=0, validation=held)
    assert [split.n_parts(0, side) for side in SIDES] == [2, 3]
    assert [split.rows(0, i, "test", held.chunks[i].rows).tolist() for i in range(3)] == [
        [0, 1, 2],
        [],
        [0, 1, 2, 3, 4],
    ]
    assert sorted(split.rows(0, 0, "train", 6)) == list(range(6))
    assert split.chunk(0, 2, "test") == held.chunks[2]
    assert split.chunk(0, 1, "train") == data.chunks[1]
    alone = plan_split(chunked([9]), random_state=5, validation=held)
    assert alone.key(0, 0, "test") == split.key(0, 0, "test")


def test_empty_chunks_count_as_calls():
    """A chunk without rows takes its turn and has nothing on either side."""
    split = plan_split(chunked([0, 10, 0]), random_state=0)
    assert sorted(split.order(0, 3)) == [0, 1, 2]
    assert split.rows(0, 0, "train", 0).size == split.rows(0, 2, "test", 0).size == 0
    assert split.has_train(0)
    assert split.has_test(0)


@pytest.mark.parametrize(
    ("sizes", "arguments", "words"),
    [
        ([10], {"test_size": 0.0}, ["test_size", "0.0"]),
        ([10], {"test_size": 1}, ["test_size", "1"]),
        ([10], {"cv": 1}, ["cv", "1", "at least 2"]),
        ([10], {"cv": 2.0}, ["cv", "2.0"]),
        ([10], {"cv": 2, "test_size": 0.2}, ["test_size and cv", "one of them"]),
        ([10], {"cv": 2, "validation": chunked([3])}, ["cv and validation"]),
        ([1, 1], {}, ["split 0", "train", "2 rows in 2 chunks"]),
        ([2, 2], {"cv": 3}, ["split 2", "validate"]),
        ([10], {"validation": chunked([0])}, ["split 0", "validate"]),
    ],
)
def test_bad_splits_are_refused(sizes, arguments, words):
    """The error names the argument and its value, or the split that has no rows."""
    with pytest.raises(DataError) as caught:
        plan_split(chunked(sizes), random_state=0, **arguments)
    assert all(word in str(caught.value) for word in words)


@pytest.fixture
def numbers(tmp_path: Path) -> tuple[ChunkedData, StepStore]:
    store = StepStore.open(tmp_path / "store")
    X = np.arange(40.0).reshape(20, 2)
    return open_chunks(X, np.arange(20), store=store), store


def test_row_numbers_split_as_they_stand(numbers):
    """Each side is cut into parts of at most `chunk_size` rows in the order given; masks count as numbers."""
    data, store = numbers
    mask = np.arange(20) < 3
    splits = [([9, 3, 7, 1, 5], [0, 2]), (np.flatnonzero(~mask), mask)]
    split = explicit_split(data, splits, random_state=0, chunk_size=2)
    assert split.n_splits == 2
    assert [split.n_parts(0, side) for side in SIDES] == [3, 1]
    assert [split.n_parts(1, side) for side in SIDES] == [9, 2]
    for number, pair in enumerate(([9, 3, 7, 1, 5], list(range(3, 20)))):
        parts = []
        for part in range(split.n_parts(number)):
            rows = split.rows(number, part, "train")
            parts += read_chunk(split.chunk(number, part), store, rows).y.tolist()
            assert split.size(number, part, "train") == len(rows) <= 2
        assert parts == pair
    assert sorted(split.order(0, 3)) == [0, 1, 2]
    assert sorted(split.order(1, 9)) == list(range(9))
    keys = [split.key(i, p, side) for i in (0, 1) for side in SIDES for p in range(split.n_parts(i, side))]
    assert len(set(keys)) == len(keys) == 15
    assert explicit_split(data, splits[:1], random_state=1, chunk_size=2).key(0, 1, "train") == keys[1]


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ([], ["no split"]),
        ([([0, 20], [1])], ["split 0, train", "20", "20 rows"]),
        ([([0], [-1])], ["split 0, test", "-1"]),
        ([([0.5], [1])], ["float64"]),
        ([([True, False], [1])], ["bool"]),
        ([([0], [])], ["split 0", "validate"]),
    ],
)
def test_bad_row_numbers_are_refused(numbers, splits, words):
    """The error names the split, the side and the numbers."""
    with pytest.raises(DataError) as caught:
        explicit_split(numbers[0], splits, random_state=0)
    assert all(word in str(caught.value) for word in words)


def test_row_numbers_need_data_in_one_chunk():
    """Numbers count over all rows, so the data must not be cut already."""
    with pytest.raises(DataError, match="one chunk, but it has 2"):
        explicit_split(chunked([5, 5]), [([0], [1])], random_state=0)
