"""Pairs that other libraries' hashes merge today, kept apart by ours.

A canary does not fail when a library is repaired: it is skipped with the news, so that rules which exist
only because of it can be looked at again.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from prefect_tune.identity.data import fingerprint
from prefect_tune.identity.encode import digest

X = np.arange(9.0).reshape(3, 3)
TEXT = pd.Series(list("abcdef"))
TRAIN, TEST = TEXT.iloc[:3].reset_index(drop=True), TEXT.iloc[3:].reset_index(drop=True)
ARROW = pa.array([1, 2, 3, 4])
TABLE = pd.DataFrame({"a": [1, 2], "b": [3, 4]})


def objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def coded(*values):
    return pa.array(values).dictionary_encode()


def row(a, b, c):
    return pd.DataFrame({"a": [a], "b": [b], "c": [c]})


def dask_hash(value):
    return pytest.importorskip("dask.tokenize").tokenize(value)


def prefect_hash(value):
    hashing = pytest.importorskip("prefect.utilities.hashing")
    return hashing.hash_objects(value)


def prefect_inputs(value):
    policies = pytest.importorskip("prefect.cache_policies")
    return policies.Inputs().compute_key(None, {"x": value}, {})


def pandas_rows(value):
    return tuple(pd.util.hash_pandas_object(value))


def numpy_seeds(value):
    return tuple(np.random.SeedSequence(value).generate_state(4).tolist())


def data(value):
    return fingerprint(value)[0]


parameter = functools.partial(digest, "test/v1")

CANARIES = {
    "dask transpose": (dask_hash, data, X, X.T),
    "dask str split": (dask_hash, data, TRAIN, TEST),
    "dask object join": (dask_hash, data, objects("a-b", "c"), objects("a", "b-c")),
    "dask arrow slice": (dask_hash, data, ARROW.slice(0, 2), ARROW.slice(2, 2)),
    "dask arrow dictionary": (dask_hash, data, coded("a", "b"), coded("x", "y")),
    "dask block positions": (dask_hash, data, row(1, 2.0, 3), row(1, 3, 2.0)),
    "prefect column order": (prefect_inputs, data, TABLE, TABLE[["b", "a"]]),
    "prefect tuple and list": (prefect_hash, parameter, (1, 2), [1, 2]),
    "prefect key type": (prefect_hash, parameter, {1: 2}, {"1": 2}),
    "pandas bool and int": (pandas_rows, data, pd.Series([1], dtype="i1"), pd.Series([True])),
    "pandas 1 and '1'": (
        pandas_rows,
        data,
        pd.Series([1], dtype=object),
        pd.Series(["1"], dtype=object),
    ),
    "numpy seed padding": (numpy_seeds, parameter, [1], [1, 0]),
}


@pytest.mark.parametrize(("foreign", "ours", "left", "right"), CANARIES.values(), ids=CANARIES.keys())
def test_our_digest_separates_what_others_merge(foreign, ours, left, right, record_property):
    """Both values have digests of their own here; whether the other library still merges them is recorded."""
    assert ours(left) != ours(right)
    merged = foreign(left) == foreign(right)
    record_property("merged", merged)
    if not merged:
        pytest.skip("the installed library keeps this pair apart now")


def test_dask_concat_of_two_text_frames(record_property):
    """Two parts of one text column are two data sets here; dask may compute the first one twice."""
    dd = pytest.importorskip("dask.dataframe")
    parts = [dd.from_pandas(part.to_frame("t"), npartitions=1) for part in (TRAIN, TEST)]
    assert data(TRAIN.to_frame("t")) != data(TEST.to_frame("t"))
    merged = dd.concat(parts).compute(scheduler="sync").t.tolist() == list("abcabc")
    record_property("merged", merged)
    if not merged:
        pytest.skip("the installed dask concatenates these frames rightly now")
