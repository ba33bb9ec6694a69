"""Small values survive the way through JSON bit for bit."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.store.values import freeze, thaw

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    """Equal in type and, for floats, in bits; written without the code under test."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    return one == other


@given(PLAIN)
def test_freeze_and_thaw_keep_type_and_bits(value):
    """Whatever goes in comes out, through the JSON of the standard library as well."""
    assert same(thaw(json.loads(json.dumps(freeze(value)))), value)


@pytest.mark.parametrize(
    "bits", ["7ff8000000000000", "fff8000000000000", "7ff0000000000001", "8000000000000000"]
)
def test_odd_floats_keep_their_bits(bits):
    """Sign and payload of a NaN, and the sign of zero, are not lost."""
    value = struct.unpack(">d", bytes.fromhex(bits))[0]
    assert struct.pack(">d", thaw(freeze(value))).hex() == bits


def test_freeze_writes_texts_that_can_be_read():
    """The form is the documented one: 0.1 is 0x1.999999999999ap-4 in C's hexadecimal notation."""
    frozen = freeze({"a": 0.1, "b": "f:0", "c": (1, None), "d": 1 << 70, "e": -math.inf})
    assert frozen == {
        "a": "f:0x1.999999999999ap-4",
        "b": "s:f:0",
        "c": ["t:", 1, None],
        "d": "i:0x400000000000000000",
        "e": "f:-inf",
    }


def test_freeze_takes_numpy_scalars_as_python_ones():
    """A score of NumPy's type is the same number as a Python float."""
    assert same(thaw(freeze([np.float64(0.1), np.int32(3), np.bool_(True)])), [0.1, 3, True])


@pytest.mark.parametrize("value", [{"a": [object()]}, {1: 2}, {0: 2}, b"x", {1, 2}, np.zeros(2), 1j])
def test_freeze_refuses_what_it_cannot_give_back(value):
    """No guess: the error names the place."""
    with pytest.raises(TypeError, match="value"):
        freeze(value)


@pytest.mark.parametrize("plain", ["", "x", "x:1", "f:one", "n:zz", 1.5, ["q"], {"a": 1.5}])
def test_thaw_refuses_what_freeze_never_writes(plain):
    """Foreign JSON is an error, not a value."""
    with pytest.raises(ValueError):  # noqa: PT011  # the message is float's or ours
        thaw(plain)
