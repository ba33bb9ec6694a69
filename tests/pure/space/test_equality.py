"""Equality of values: type-exact, nan equals nan, objects by identity of content."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.space.equality import find, repeated, same, token

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, math.nan, -0.0])
    | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.text("ab", max_size=1), inner, max_size=2)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (1, "1", False),
        (0.0, -0.0, False),
        (math.nan, float("nan"), True),
        ([1], (1,), False),
        ([1, [math.nan]], [1, [math.nan]], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1.0}, False),
        (np.eye(2), np.eye(2), True),
        (np.eye(2), np.eye(3), False),
        (len, len, True),
        (len, abs, False),
        (object(), object(), False),
    ],
)
def test_same(first, second, equal):
    """1, 1.0, True and "1" differ; nan is nan; containers by their members; arrays by content."""
    assert same(first, second) is equal


@given(PLAIN, PLAIN)
def test_tokens_are_equal_iff_the_values_are(first, second):
    """A pickled copy is the same; two values of different repr are not, up to the order of keys."""
    assert same(first, pickle.loads(pickle.dumps(first)))
    assert token(first) == token(pickle.loads(pickle.dumps(first)))
    if repr(first) == repr(second):
        assert same(first, second)
    if same(first, second):
        assert sorted(repr(first)) == sorted(repr(second))


def test_find_prefers_the_exact_type():
    """An equal value of the same type first, then an int for a float or an integral float for an int."""
    assert find(1, [True, 1.0, 1]) == 2
    assert find(1, [True, 1.0]) == 1
    assert find(2.0, [1, 2]) == 1
    assert find(2.5, [2, 3]) is None
    assert find(True, [1, 1.0]) is None
    assert find("1", [1]) is None


def test_repeated():
    """Positions of the first two equal values."""
    assert repeated([1, 1.0, True, "1"]) is None
    assert repeated(["a", "b", "a", "b"]) == (0, 2)
    assert repeated([math.nan, math.nan]) == (0, 1)
    assert repeated([len, abs, len]) == (0, 2)
