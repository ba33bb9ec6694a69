"""Conformance pairs of data: arrays, frames, Arrow and sparse that must or must not share a digest.

Run as a script it prints every digest as JSON, so that several processes can be compared.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

from prefect_tune.identity.data import fingerprint
from prefect_tune.identity.encode import digest

X = np.arange(9.0).reshape(3, 3)


def data(value):
    return fingerprint(value)[0].hex()


def param(value):
    return digest("test/v1", value).hex()


def objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def frame(**columns):
    return pd.DataFrame({name: [value] for name, value in columns.items()})


def text(letters):
    return pd.Series(list(letters), dtype="str")


def nan_with_payload():
    return np.frombuffer(bytes.fromhex("010000000000f87f"), "<f8")


def memmaps() -> list[np.ndarray]:
    path = Path(tempfile.mkdtemp()) / "numbers"
    np.arange(9.0).tofile(path)
    shapes = [("f8", (3, 3)), ("f8", (9,)), ("f4", (3, 6))]
    return [np.memmap(path, dtype=kind, mode="r", shape=shape) for kind, shape in shapes]


def array_cases() -> Iterator[tuple[str, str, str]]:
    square, thin, row = memmaps()
    big = np.zeros(3_000_000)
    edited = big.copy()
    edited[1_234_567] = 1e-300
    same_size = np.dtype([("a", "i4"), ("b", "f4")]), np.dtype([("a", "f4"), ("b", "i4")])
    yield "transpose of a square matrix", data(X), data(X.T)
    yield "C and F of equal memory as parameters", param(X), param(np.asfortranarray(X.T))
    yield "object join", data(objects("a-b", "c")), data(objects("a", "b-c"))
    yield "memmap shape", data(square), data(thin)
    yield "memmap dtype", data(square), data(row)
    yield "structured dtypes", param(same_size[0]), param(same_size[1])
    yield "structured arrays", data(np.zeros(2, same_size[0])), data(np.zeros(2, same_size[1]))
    yield "int8 and int64", data(np.ones(1, "i1")), data(np.ones(1, "i8"))
    yield "int64 and bool", data(np.ones(1, "i1")), data(np.ones(1, bool))
    yield "int64 and datetime", data(np.ones(1, "i8")), data(np.ones(1, "i8").view("M8[ns]"))
    yield "datetime units", data(np.ones(1, "M8[ns]")), data(np.ones(1, "M8[us]"))
    yield "byte order", data(np.array([1, 256], "<i2")), data(np.array([256, 1], ">i2"))
    yield "object 1 and '1'", data(objects(1)), data(objects("1"))
    yield "object 1 and True", data(objects(1)), data(objects(True))
    yield "None and NaN", data(objects("a", None)), data(objects("a", float("nan")))
    yield "text and bytes", data(objects("a")), data(objects(b"a"))
    yield "zeros of data", data(np.array([0.0])), data(np.array([-0.0]))
    yield "NaN payloads of data", data(np.array([np.nan])), data(nan_with_payload())
    yield "one cell of millions", data(big), data(edited)
    yield "0-d and 1-d", data(np.array(1.0)), data(np.array([1.0]))
    yield "empty shapes", data(np.empty((0, 2))), data(np.empty((0, 3)))
    yield "list and array", data([1.0, 2.0]), data(np.array([1.0, 2.0]))
    yield "list of int and float", data([1, 2]), data([1.0, 2.0])
    yield "list of bool and int", data([True]), data([1])
    yield "list of text", data(["a-b", "c"]), data(["a", "b-c"])


def frame_cases() -> Iterator[tuple[str, str, str]]:
    letters = text("abcdef")
    head, tail = letters.iloc[:3].reset_index(drop=True), letters.iloc[3:].reset_index(drop=True)
    table = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    stamps = pd.Series(pd.to_datetime(["2024-01-01", "2024-06-01"], utc=True))
    category = functools.partial(pd.Categorical, ["a", "b"])
    yield "train and test text", data(head), data(tail)
    yield "block positions", data(frame(a=1, b=2.0, c=3)), data(frame(a=1, b=3, c=2.0))
    yield "column order", data(table), data(table[["b", "a"]])
    yield "column names", data(table), data(table.rename(columns={"a": "z"}))
    yield "int and text labels", data(pd.DataFrame({1: [1]})), data(pd.DataFrame({"1": [1]}))
    yield "dtype of a series", data(pd.Series([1], dtype="i1")), data(pd.Series([True]))
    yield "series names", data(pd.Series([1], name="a")), data(pd.Series([1], name="b"))
    yield "index", data(table), data(table.set_axis([5, 6], axis=0))
    yield "category order", data(pd.Series(category(["a", "b"]))), data(pd.Series(category(["b", "a"])))
    yield (
        "ordered category",
        data(pd.Series(category(["a", "b"], ordered=True))),
        data(pd.Series(category(["a", "b"]))),
    )
    yield "unused category", data(pd.Series(category())), data(pd.Series(category(["a", "b", "c"])))
    yield "time zones", data(stamps), data(stamps.dt.tz_convert("Europe/Berlin"))
    yield "nullable and plain", data(pd.Series([1], dtype="Int64")), data(pd.Series([1]))
    yield (
        "kinds of text",
        data(text("ab").astype("string[python]")),
        data(text("ab").astype("string[pyarrow]")),
    )
    yield "text and object", data(text("ab")), data(text("ab").astype(object))
    yield "missing text", data(pd.Series(["a", None], dtype="str")), data(pd.Series(["a", ""], dtype="str"))


def arrow_cases() -> Iterator[tuple[str, str, str]]:
    whole = pa.array([1, 2, 3, 4])
    coded = functools.partial(lambda *v: pa.array(v).dictionary_encode())
    yield "arrow slices", data(whole.slice(0, 2)), data(whole.slice(2, 2))
    yield "arrow slice and whole", data(whole.slice(0, 2)), data(whole)
    yield "arrow dictionaries", data(coded("a", "b")), data(coded("x", "y"))
    yield "arrow text slices", data(pa.array(list("abcd"))[:2]), data(pa.array(list("abcd"))[2:])
    yield "arrow null and zero", data(pa.array([1, None])), data(pa.array([1, 0]))
    yield "arrow null and empty text", data(pa.array(["a", None])), data(pa.array(["a", ""]))
    yield "arrow bools", data(pa.array([True, False])), data(pa.array([False, True]))
    yield "arrow lists", data(pa.array([[1], [2, 3]])), data(pa.array([[1, 2], [3]]))
    yield "arrow null list and empty list", data(pa.array([[1], None])), data(pa.array([[1], []]))
    yield "arrow types", data(pa.array([1], pa.int32())), data(pa.array([1], pa.int64()))
    yield "arrow column names", data(pa.table({"a": whole})), data(pa.table({"b": whole}))
    yield "sparse array and matrix", data(sp.csr_array(X)), data(sp.csr_matrix(X))
    yield "sparse formats", data(sp.csr_array(X)), data(sp.csc_array(X))
    yield "explicit zeros", *_explicit_zeros()


def differing() -> Iterator[tuple[str, str, str]]:
    """Name and two digests of every pair that must differ."""
    for cases in (array_cases, frame_cases, arrow_cases):
        yield from cases()


def equal() -> Iterator[tuple[str, str, str]]:
    """Name and two digests of every pair that must be equal."""
    yield "strided view and copy", data(np.arange(10.0)[::2]), data(np.arange(0.0, 10.0, 2))
    yield "memmap and array", data(memmaps()[0]), data(X)
    yield "C and F after ingestion", data(X), data(np.asfortranarray(X))
    yield (
        "strings that are two objects",
        data(objects("ab" * 2, "abab")),
        data(objects("abab", "".join("abab"))),
    )
    yield "arrow chunks", data(pa.chunked_array([[1, 2], [3]])), data(pa.array([1, 2, 3]))
    yield (
        "arrow text chunks",
        data(pa.chunked_array([["a"], ["bc", None]])),
        data(pa.array(["a", "bc", None])),
    )
    yield "arrow table chunks", *_tables()
    yield "arrow junk under nulls", *_junk()
    yield "arrow dictionary chunks", *_dictionaries()
    yield "block layouts", *_layouts()
    yield "mixed block layouts", *_mixed_layouts()
    yield "attrs of a frame", data(frame(a=1)), data(_with_attrs(frame(a=1)))
    yield "unsorted and sorted CSR", *_unsorted()
    yield "duplicates in CSR", *_duplicates()
    yield "COO and CSR", data(sp.coo_array(X)), data(sp.csr_array(X))


def _tables():
    table = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})
    return data(pa.concat_tables([table[:1], table[1:]])), data(table)


def _junk():
    values = pa.array([1, 2, 3]).buffers()[1]
    junk = pa.Array.from_buffers(pa.int64(), 3, [pa.py_buffer(bytes([0b101])), values])
    return data(junk), data(pa.array([1, None, 3]))


def _dictionaries():
    parts = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["a", "b", "a"]).dictionary_encode()]
    return data(pa.chunked_array(parts)), data(pa.array(["a", "b", "a", "b", "a"]).dictionary_encode())


def _layouts():
    rows = np.arange(12.0).reshape(4, 3)
    table = pd.DataFrame({name: rows[:, i] for i, name in enumerate("abc")})
    pieces = pd.concat([table[["a"]].copy(), table[["b", "c"]].copy()], axis=1)
    digests = {data(pd.DataFrame(rows, columns=list("abc"))), data(pieces)}
    assert len(digests) == 1
    return digests.pop(), data(table)


def _mixed_layouts():
    table = pd.DataFrame({"a": [1, 2], "t": ["x", "y"], "b": [3.0, 4.0], "c": [5, 6], "o": [None, "z"]})
    table["o"] = table["o"].astype(object)
    pieces = pd.concat([table[[name]].copy() for name in table], axis=1)
    return data(pieces), data(table)


def _with_attrs(table):
    table.attrs["note"] = "seen"
    return table


def _unsorted():
    sorted_one = sp.csr_array(([1.0, 2.0], [0, 2], [0, 2]), shape=(1, 3))
    mixed = sp.csr_array(([2.0, 1.0], [2, 0], [0, 2]), shape=(1, 3))
    return data(mixed), data(sorted_one)


def _explicit_zeros():
    stored = sp.csr_array(([1.0, 0.0], [0, 1], [0, 2]), shape=(1, 2))
    absent = sp.csr_array(([1.0], [0], [0, 1]), shape=(1, 2))
    return data(stored), data(absent)


def _duplicates():
    twice = sp.csr_array(([1.0, 2.0], [0, 0], [0, 2]), shape=(1, 1))
    once = sp.csr_array(([3.0], [0], [0, 1]), shape=(1, 1))
    return data(twice), data(once)


CASES: dict[str, Callable[[], Iterator[tuple[str, str, str]]]] = {"differ": differing, "equal": equal}

if __name__ == "__main__":
    if "--without-fast-hashes" in sys.argv:
        sys.modules |= dict.fromkeys(["xxhash", "cityhash", "mmh3"])  # an import of them now fails
    print(json.dumps({kind: list(cases()) for kind, cases in CASES.items()}))
