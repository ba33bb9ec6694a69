"""The canonical objects that fingerprints hand back, and where data is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from blake3 import blake3
from pandas.testing import assert_frame_equal, assert_series_equal

from prefect_tune.errors import Uncacheable
from prefect_tune.identity.data import fingerprint
from prefect_tune.identity.encode import encode, frame, ref


def test_array_digest_by_hand():
    """An array is dtype, shape, layout and the BLAKE3 of its bytes, under `ndarray/v1`."""
    array = np.arange(3.0)
    body = frame("dtype", b"<f8") + encode((3,)) + encode("C")
    body += frame("ref", b"b3-256:" + blake3(array.tobytes()).digest())
    assert fingerprint(array)[0] == blake3(frame("ndarray/v1", body)).digest()


def test_encoded_array_is_a_reference_to_its_digest():
    """A C-ordered array as a parameter and as data has one digest."""
    array = np.arange(6.0).reshape(2, 3)
    assert encode(array) == ref(fingerprint(array)[0])


def test_canonical_array_shares_memory_where_it_can():
    """An array in C order comes back as it is; any other layout is copied to C."""
    array = np.arange(6.0).reshape(2, 3)
    assert fingerprint(array)[1] is array
    turned = fingerprint(np.asfortranarray(array))[1]
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, array)


@pytest.mark.parametrize("size", [1, 200_000])
def test_digest_does_not_depend_on_the_number_of_threads(size):
    """Large buffers are hashed by several threads, to the digest one thread gives."""
    array = np.arange(float(size))
    expected = frame("ref", b"b3-256:" + blake3(array.tobytes()).digest())
    body = frame("dtype", b"<f8") + encode((size,)) + encode("C") + expected
    assert fingerprint(array)[0] == blake3(frame("ndarray/v1", body)).digest()


@pytest.mark.parametrize(
    "dtype", ["f8", "i2", "?", "c16", "U3", "S2", "M8[us]", "m8[s]", "V4", [("a", "i1"), ("b", "f8")]]
)
@pytest.mark.parametrize("shape", [(), (0,), (4,), (2, 3)])
def test_every_dtype_and_shape_has_a_digest(dtype, shape):
    """A copy has the digest of its original, whatever its dtype and shape, down to no element at all."""
    array = np.zeros(shape, dtype)
    digest, canonical = fingerprint(array)
    assert fingerprint(array.copy())[0] == digest
    assert (canonical.dtype, canonical.shape) == (array.dtype, array.shape)


def test_object_array_is_handed_back_with_python_values():
    """Numpy scalars among objects become Python values in the digest and in the array alike."""
    array = np.empty(2, dtype=object)
    array[:] = [np.float64(0.5), "a"]
    canonical = fingerprint(array)[1]
    assert type(canonical[0]) is float
    assert type(array[0]) is np.float64
    assert fingerprint(canonical)[0] == fingerprint(array)[0]


def test_sparse_is_sorted_on_a_copy():
    """The matrix handed back is sorted without duplicates; the caller's own stays as it was."""
    matrix = sp.csr_array(([1.0, 2.0, 4.0], [2, 0, 0], [0, 3]), shape=(1, 3))
    canonical = fingerprint(matrix)[1]
    assert canonical.indices.tolist() == [0, 2]
    assert canonical.data.tolist() == [6.0, 1.0]
    assert matrix.indices.tolist() == [2, 0, 0]


def test_sparse_does_not_believe_flags():
    """A matrix that claims to be sorted is sorted all the same."""
    matrix = sp.csr_array(([1.0, 2.0], [2, 0], [0, 2]), shape=(1, 3))
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    assert fingerprint(matrix)[1].indices.tolist() == [0, 2]


def tables():
    rows = np.arange(12.0).reshape(4, 3)
    yield "rows", pd.DataFrame(rows, columns=list("abc"))
    mixed = pd.DataFrame({"a": [1, 2], "t": ["x", None], "b": [3.0, np.nan], "c": [5, 6]})
    yield "mixed", mixed
    yield "scattered", pd.concat([mixed[[name]].copy() for name in mixed], axis=1)
    yield "objects", pd.DataFrame({"a": [1], "o": pd.Series([np.int64(3)], dtype=object)})
    yield "twin names", pd.DataFrame([[1, 2.0, 3]], columns=["a", "a", "b"])
    yield "empty", pd.DataFrame({"a": []})
    yield "no columns", pd.DataFrame(index=[1, 2])
    yield "levels", pd.DataFrame({("a", 1): [1], ("b", 2): [2]}, index=pd.MultiIndex.from_tuples([(1, "x")]))
    yield (
        "dates",
        pd.DataFrame(
            {"d": pd.date_range("2024", periods=3), "u": pd.date_range("2024", periods=3, tz="UTC")}
        ),
    )
    kinds = {
        "i": pd.array([1, None]),
        "s": pd.arrays.SparseArray([0, 1]),
        "p": pd.period_range("2024", periods=2),
    }
    yield "kinds", pd.DataFrame(kinds | {"v": pd.interval_range(0, 2)})
    yield "arrow", pd.DataFrame({"a": pd.array([1, None], dtype=pd.ArrowDtype(pa.int64()))})


TABLES = dict(tables())


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_canonical_frame_is_equal_and_stable(table):
    """The frame handed back equals the caller's, and is its own canonical form."""
    digest, canonical = fingerprint(table)
    assert_frame_equal(canonical, table)
    again, same = fingerprint(canonical)
    assert again == digest
    assert same is canonical or len(canonical.columns) == 0


def test_canonical_frames_have_one_layout():
    """Equal frames give matrices of one memory layout, for layout changes result bits."""
    rows = np.arange(12.0).reshape(4, 3)
    forms = [
        pd.DataFrame(rows, columns=list("abc")),
        pd.DataFrame({n: rows[:, i] for i, n in enumerate("abc")}),
    ]
    canonical = [fingerprint(form)[1].to_numpy() for form in forms]
    assert {array.flags.f_contiguous for array in canonical} == {True}
    assert {array.strides for array in canonical} == {(8, 32)}


def test_series_with_strided_values_is_made_contiguous():
    """A column cut from a matrix becomes contiguous, like the series it equals."""
    column = pd.DataFrame(np.arange(12.0).reshape(4, 3))[1]
    digest, canonical = fingerprint(column)
    assert_series_equal(canonical, column)
    assert canonical.to_numpy().flags.c_contiguous
    assert digest == fingerprint(pd.Series([1.0, 4.0, 7.0, 10.0], name=1))[0]


def test_arrow_comes_back_in_one_chunk():
    """Chunks are combined once, and the combined table is what is used."""
    table = pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2]})])
    canonical = fingerprint(table)[1]
    assert canonical["a"].num_chunks == 1
    assert canonical.equals(table)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5, None]),
        pa.array([True, None, False]),
        pa.array([b"a", None]),
        pa.array(["a", None], pa.string_view()),
        pa.array([[1], None, []]),
        pa.array([{"x": 1, "y": "a"}, None]),
        pa.array([1, None], pa.timestamp("ms", "UTC")),
        pa.array([None, None]),
        pa.array([], pa.string()),
        pa.array(["a", None]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_arrow_digest_ignores_slicing(array):
    """A slice of a longer array has the digest of the array it equals."""
    longer = pa.concat_arrays([array[:0], array, array])
    assert fingerprint(longer[len(array) :])[0] == fingerprint(array)[0]
    if len(array) > 1:
        assert fingerprint(array[1:])[0] != fingerprint(array)[0]


def test_list_comes_back_with_python_values():
    """A list of numpy scalars becomes one of Python values, and has its digest."""
    digest, canonical = fingerprint([np.float64(1), np.float64(2)])
    assert [type(v) for v in canonical] == [float, float]
    assert digest == fingerprint([1.0, 2.0])[0]


def test_none_and_nested_lists_have_digests():
    """Data may be missing or nested."""
    assert fingerprint(None)[0] != fingerprint([])[0]
    assert fingerprint([[1.0], [2.0]])[0] != fingerprint([[1.0, 2.0]])[0]


@pytest.mark.parametrize(
    "value",
    [
        np.ma.masked_array([1.0]),
        np.array([object()]),
        type("Sub", (pd.DataFrame,), {})({"a": [1]}),
        np.array(["a"], dtype=np.dtypes.StringDType()),
        np.zeros(1, [("o", object)]),
        object(),
    ],
    ids=["masked", "objects", "frame subclass", "StringDType", "object fields", "anything"],
)
def test_unknown_data_is_refused(value):
    """Data without a stable form is refused."""
    with pytest.raises(Uncacheable):
        fingerprint(value)
