"""Records: what is written comes back, and the parser takes nothing else."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.store import BlobRef, Record
from prefect_tune.store.records import MAX_RECORD

KEY, OTHER = "a" * 64, "0123456789abcdef" * 4
REF = BlobRef(name="X", digest="b3-256:" + OTHER, size=7, codec="ndarray")
FULL = Record(
    key=KEY, kind="fit", family="SVC", values={"score": float("inf"), "names": ["a"]}, outputs=(REF,),
    inputs=(OTHER,), seconds=0.1, created=1.5, creator="host:1", explain="why", mac="m", key_id="k",
)  # fmt: skip


def test_record_round_trip():
    """JSON and pickle give the same record back."""
    assert Record.from_json(FULL.to_json()) == FULL
    assert pickle.loads(pickle.dumps(FULL)) == FULL
    assert FULL.bytes == 7


def test_record_json_has_the_documented_names():
    """Fields reserved for signatures are there from the first version on."""
    document = json.loads(FULL.to_json())
    assert document["schema"] == 1
    assert {"mac", "key_id", "inputs", "explain"} <= document.keys()
    assert document["outputs"] == [["X", "b3-256:" + OTHER, 7, "ndarray"]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 2), ("schema", None), ("key", "../../etc/passwd"), ("key", "A" * 64), ("key", "a" * 63),
        ("kind", 1), ("values", []), ("values", {"a": 1.5}), ("values", {"a": "x"}), ("seconds", 1),
        ("seconds", "f:no"), ("inputs", ["x"]), ("inputs", [1]), ("outputs", {}), ("outputs", [["X"]]),
        ("outputs", [["X", "b3-256:../../x", 7, "json"]]), ("outputs", [["X", OTHER, 7, "json"]]),
        ("outputs", [["X", "b3-256:" + OTHER, -1, "json"]]),
        ("outputs", [["X", "b3-256:" + OTHER, True, "json"]]),
        ("outputs", [["X", "b3-256:" + OTHER, 1 << 60, "json"]]),
        ("outputs", [["X", "md5:" + OTHER, 7, "json"]]),
        ("outputs", [["X", "b3-256:" + OTHER, 0, "json"]]), ("extra", 1),
    ],
)  # fmt: skip
def test_parser_makes_a_miss_of_anything_odd(field, value):
    """Unknown schema, wrong type, path-like digest, size beyond the cap: no record."""
    document = json.loads(FULL.to_json())
    document[field] = value
    assert Record.from_json(json.dumps(document).encode()) is None


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps).map(str.encode)
)
def test_parser_never_raises(data):
    """Random bytes and random JSON are misses."""
    assert Record.from_json(data) is None


@given(st.integers(0, 600), st.integers(0, 255))
def test_parser_survives_a_changed_byte(place, byte):
    """A changed byte gives a record or a miss, never an exception."""
    data = bytearray(FULL.to_json())
    data[place % len(data)] = byte
    assert Record.from_json(bytes(data)) is None or isinstance(Record.from_json(bytes(data)), Record)


@pytest.mark.parametrize("depth", [300, 900, 5000])
def test_parser_survives_deep_nesting(depth):
    """Nesting cannot exhaust the stack."""
    data = FULL.to_json().replace(b'{"score"', b'{"x":' + b"[" * depth + b"]" * depth + b',"score"')
    assert Record.from_json(data) is None or isinstance(Record.from_json(data), Record)


def test_too_large_records_are_neither_written_nor_read():
    """The cap is checked before anything is parsed."""
    with pytest.raises(ValueError, match="at most"):
        Record(key=KEY, kind="t", values={"x": "y" * MAX_RECORD}).to_json()
    assert Record.from_json(FULL.to_json() + b" " * MAX_RECORD) is None


@pytest.mark.parametrize("key", ["", "a" * 63, "g" * 64, "../" + "a" * 61])
def test_bad_keys_are_not_written(key):
    """A key becomes part of a path, so only hex digits pass."""
    with pytest.raises(ValueError, match="64 lower-case hex"):
        Record(key=key, kind="t").to_json()
