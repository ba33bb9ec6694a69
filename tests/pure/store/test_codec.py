"""Whatever is stored comes back with the same type, dtype, shape, layout and bits."""

from __future__ import annotations

import mmap
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prefect_tune.store.codec import Forbidden, decode, encode
from prefect_tune.store.container import BadBlob, aligned


def stored(value, codec=None) -> tuple[str, bytes]:
    name, buffers = encode(value, codec)
    return name, b"".join(bytes(buffer) for buffer in buffers)


def through(value, *, writable=False, unpickle=True):
    name, data = stored(value)
    return name, decode(name, aligned(data, writable), unpickle=unpickle)


def assert_same_array(found: np.ndarray, value: np.ndarray) -> None:
    assert type(found) is np.ndarray
    assert found.dtype == value.dtype
    assert repr(found.dtype) == repr(value.dtype)
    assert found.shape == value.shape
    assert found.tobytes() == np.asarray(value).tobytes()


DTYPES = st.one_of(
    hnp.scalar_dtypes(),
    hnp.unicode_string_dtypes(min_len=1),
    hnp.byte_string_dtypes(min_len=1),
    hnp.array_dtypes(hnp.scalar_dtypes(), allow_subarrays=True),
)


@settings(max_examples=150)
@given(st.data())
def test_arrays_keep_dtype_shape_layout_and_bits(data):
    """Any plain array, in C or Fortran order, of any number of dimensions, empty ones too."""
    shape = data.draw(hnp.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=4))
    array = data.draw(hnp.arrays(data.draw(DTYPES), shape))
    if data.draw(st.booleans()):
        array = array.copy(order="F")
    name, found = through(array)
    assert name == "ndarray"
    assert_same_array(found, array)
    assert found.flags.c_contiguous == array.flags.c_contiguous
    assert found.flags.f_contiguous == array.flags.f_contiguous
    assert not found.flags.writeable
    assert found.flags.aligned


CUBE = np.arange(120.0).reshape(4, 5, 6)


@pytest.mark.parametrize(
    "view",
    [
        CUBE[:, ::2],
        CUBE[::-1],
        CUBE.T[1:],
        CUBE.transpose(1, 0, 2),
        CUBE[..., 0],
        np.broadcast_to(CUBE[0], (3, 5, 6)),
    ],
    ids=["gaps", "reversed", "fortran-part", "swapped", "strided", "broadcast"],
)
def test_views_keep_the_order_of_their_axes(view):
    """Gaps are closed, as NumPy's own copy in order 'K' does; the order of the axes in memory stays."""
    _, found = through(view)
    assert_same_array(found, view)
    assert found.strides == view.copy(order="K").strides or view.strides[0] <= 0


@pytest.mark.parametrize(
    "dtype",
    [
        ">f8", "<M8[ns]", "m8[D]", "U3", "S5", "V7", "?", "c16", "f2", np.longdouble,
        np.dtype([("a", "i1"), ("b", ">f8", (2, 3)), ("c", [("d", "U2")])]),
        np.dtype([("a", "i1"), ("b", "f8")], align=True),
        np.dtype({"names": ["x", "y"], "formats": ["f8", "i4"], "offsets": [8, 0], "itemsize": 24}),
        np.dtype([(("title", "a"), "i4")]),
    ],
    ids=str,
)  # fmt: skip
def test_odd_dtypes_are_arrays(dtype):
    """Byte order, units, padding, offsets, alignment and titles are kept without a pickle."""
    array = np.zeros(3, dtype)
    array.view(np.uint8)[:] = np.arange(array.nbytes, dtype=np.uint8) % 2
    name, found = through(array)
    assert name == "ndarray"
    assert_same_array(found, array)
    assert found.dtype.isalignedstruct == array.dtype.isalignedstruct


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, "a", None], object), np.matrix([[1, 2]]), np.ma.masked_array([1, 2], [True, False]),
        np.zeros(2, np.dtype("f8", metadata={"unit": "m"})), np.rec.array([(1, 2.0)], names="a,b"),
        np.array(["a", "bcd"], np.dtypes.StringDType()), np.float64(1.5),
    ],
    ids=["object", "matrix", "masked", "metadata", "record", "string-dtype", "scalar"],
)  # fmt: skip
def test_what_a_description_cannot_give_back_is_pickled(value):
    """Objects, subclasses and metadata keep their type."""
    name, found = through(value)
    assert name == "pickle"
    assert type(found) is type(value)
    assert repr(found) == repr(value)


def test_memmaps_are_arrays(tmp_path):
    """A memmap is stored as what it shows, and comes back as a plain array."""
    value = np.memmap(tmp_path / "x", dtype="f8", shape=(3,), mode="w+")
    value[:] = [1, 2, 3]
    name, found = through(value)
    assert (name, type(found), found.tolist()) == ("ndarray", np.ndarray, [1.0, 2.0, 3.0])


FORMS = ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"]


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", FORMS)
def test_sparse_keeps_class_and_parts(form, kind):
    """Matrix and array classes stay apart, and every part keeps dtype and order."""
    value = getattr(sp, f"{form}_{kind}")(
        sp.random(12, 8, 0.3, format="csr", dtype=np.float32, random_state=0)
    )
    name, found = through(value)
    assert name == ("pickle" if form in ("lil", "dok") else "sparse")
    assert type(found) is type(value)
    assert found.shape == value.shape
    assert found.dtype == value.dtype
    assert (found != value).nnz == 0
    assert vars(found).keys() == vars(value).keys()
    for part in ("data", "indices", "indptr", "offsets") if name == "sparse" else ():
        if hasattr(value, part):
            assert_same_array(getattr(found, part), getattr(value, part))


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("kind", [sp.csr_array, sp.csr_matrix])
def test_sparse_keeps_unsorted_indices_and_their_dtype(kind, index):
    """SciPy's constructor would narrow 64-bit indices and may sort: the stored form does neither."""
    value = kind((2, 5))
    value.data = np.array([1.0, 2.0, 3.0])
    value.indices, value.indptr = np.array([4, 0, 2], index), np.array([0, 2, 3], index)
    known = value.has_sorted_indices
    _, found = through(value)
    assert known is False
    assert vars(found)["_has_sorted_indices"] is False
    assert_same_array(found.indices, value.indices)
    assert_same_array(found.indptr, value.indptr)


def test_sparse_vectors_and_cubes():
    """One- and three-dimensional sparse arrays come back as they were."""
    vector = sp.coo_array(np.array([0, 3.0, 0, 4]))
    cube = sp.coo_array((np.ones(2), (np.array([0, 1]), np.array([1, 2]), np.array([0, 3]))), shape=(2, 3, 4))
    for value in (vector, vector.tocsr(), cube):
        name, found = through(value)
        assert name == "sparse"
        assert type(found) is type(value)
        assert np.array_equal(found.toarray(), value.toarray())


@pytest.mark.parametrize("part", ["indices", "indptr"])
@pytest.mark.parametrize("bad", [-1, 1 << 20])
def test_sparse_from_strangers_cannot_lead_outside(part, bad):
    """SciPy's loops trust their indices, so a store that others can write is checked first."""
    value = sp.random(12, 8, 0.3, format="csr", random_state=0)
    getattr(value, part)[3] = bad
    with pytest.raises(BadBlob):
        through(value, unpickle=False)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia"])
def test_sparse_from_strangers_passes_when_sound(form):
    """The check refuses nothing that is in order."""
    value = sp.random(12, 8, 0.3, format="csr", random_state=0).asformat(form)
    assert (through(value, unpickle=False)[1] != value).nnz == 0


@pytest.mark.parametrize(
    "value", [None, True, 0, 1.5, "text", [1, "a"], (1, (2.5,)), {"a": [None, {"b": 1 << 80}]}]
)
def test_plain_values_are_json(value):
    """What JSON can hold exactly needs no trust."""
    name, found = through(value, unpickle=False)
    assert name == "json"
    assert repr(found) == repr(value)


@pytest.mark.parametrize("value", [{1: 2}, {"a": np.float64(1)}, {"a": {1}}, "\ud800", list(range(20_000))])
def test_other_plain_values_are_pickled(value):
    """Keys that are no texts, NumPy scalars, odd texts and long lists."""
    name, found = through(value)
    assert name == "pickle"
    assert repr(found) == repr(value)


def test_cycles_are_pickled():
    """A list that holds itself does not hang."""
    value: list = [1]
    value.append(value)
    name, found = through(value)
    assert name == "pickle"
    assert found[1] is found


def test_frames_keep_everything():
    """Index, dtypes and order of a frame, large columns out of band."""
    frame = pd.DataFrame(
        {"a": np.arange(20_000), "b": pd.Categorical(list("xy") * 10_000), "c": ["é", None] * 10_000},
        index=pd.date_range("2020", periods=20_000, freq="h"),
    )
    name, found = through(frame)
    assert name == "pickle"
    pd.testing.assert_frame_equal(found, frame)
    pd.testing.assert_series_equal(through(frame["a"])[1], frame["a"])


def test_pickles_carry_large_buffers_out_of_band():
    """64 KiB and more are views on the blob, at a multiple of 64; less is copied."""
    value = {"big": np.arange(8192.0), "small": np.arange(10.0)}
    name, data = stored(value)
    source = aligned(data, False)
    found = decode(name, source, unpickle=True)
    assert np.shares_memory(found["big"], source)
    assert not np.shares_memory(found["small"], source)
    assert found["big"].ctypes.data % 64 == 0
    assert not found["big"].flags.writeable
    assert np.array_equal(found["big"], value["big"])


@pytest.mark.parametrize("order", ["C", "F"])
def test_writable_loads_give_writable_arrays_whatever_they_were(order):
    """An array that was read-only when it was stored can be changed after a writable load."""
    array = np.asarray(np.arange(20_000.0).reshape(100, 200), order=order)
    array.flags.writeable = False
    for value in (array, {"x": array}):
        _, found = through(value, writable=True)
        found = found["x"] if isinstance(found, dict) else found
        assert_same_array(found, array)
        assert found.flags.c_contiguous == array.flags.c_contiguous
        found[0, 0] = -1.0


def test_classes_of_a_script_travel_by_value(run_script):
    """A class of `__main__` can be loaded by a process that never saw the script."""
    script = (
        "import sys; from prefect_tune.store.codec import encode\n"
        "class Mine:\n    def answer(self): return 41 + self.one\n"
        "mine = Mine(); mine.one = 1\n"
        "sys.stdout.write(b''.join(map(bytes, encode(mine)[1])).hex())\n"
    )
    done = run_script(script)
    assert done.returncode == 0, done.stderr
    found = decode("pickle", aligned(bytes.fromhex(done.stdout), False), unpickle=True)
    assert found.answer() == 42


def test_lambdas_are_picklable_and_files_are_not(tmp_path):
    """cloudpickle takes over where pickle gives up; where both do, the error is theirs."""
    assert through(lambda: 7)[1]() == 7
    with (tmp_path / "x").open("w") as file, pytest.raises((TypeError, pickle.PicklingError)):
        encode(file)


def test_codec_can_be_asked_for():
    """A codec that cannot hold the value is an error, an unknown one too."""
    assert stored([1], "pickle")[0] == "pickle"
    with pytest.raises(TypeError, match="cannot hold"):
        encode([1], "ndarray")
    with pytest.raises(ValueError, match="ndarray, sparse, json, pickle"):
        encode([1], "parquet")


def test_pickles_need_leave():
    """Without leave nothing is unpickled, and a pickle cannot pose as something else."""
    name, data = stored({1: 2})
    with pytest.raises(Forbidden):
        decode(name, aligned(data, False), unpickle=False)
    for other in ("ndarray", "json", "sparse"):
        with pytest.raises(BadBlob):
            decode(other, aligned(data, False), unpickle=False)


@settings(max_examples=200)
@given(
    st.sampled_from([CUBE, sp.random(5, 4, 0.5, format="csr", random_state=0), {"a": (1.5, "x")}]), st.data()
)
def test_damaged_headers_are_refused_or_harmless(value, data):
    """Any changed byte of the header gives BadBlob or some value: never a crash, never another error."""
    name, good = stored(value)
    bad = bytearray(good)
    end = 16 + int.from_bytes(good[8:16], "little")
    bad[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([0, 1, 8, 15, 16, 64, len(bad)]))
    try:
        decode(name, aligned(bytes(bad[: cut or None]), False), unpickle=False)
    except BadBlob:
        return


def test_object_dtypes_in_a_header_are_refused():
    """Bytes of a file can never become pointers."""
    _, good = stored(np.zeros(4))
    bad = good.replace(b'"<f8"', b'"|O8"')
    assert bad != good
    with pytest.raises(BadBlob):
        decode("ndarray", aligned(bad, False), unpickle=False)


def test_arrays_are_views_on_a_map(tmp_path):
    """Decoding copies nothing."""
    _, data = stored(CUBE)
    (tmp_path / "blob").write_bytes(data)
    with (tmp_path / "blob").open("rb") as file:
        source = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found = decode("ndarray", source, unpickle=False)
    assert np.shares_memory(found, np.frombuffer(source, np.uint8))
    assert not found.flags.writeable
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        found.flags.writeable = True
