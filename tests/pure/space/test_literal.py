"""Constants in JSON and back: every type stays what it is."""

from __future__ import annotations

import json
import math

import pytest

from prefect_tune.space.equality import same
from prefect_tune.space.literal import from_literal, to_literal


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (1, 1),
        (1.0, 1.0),
        (True, True),
        (None, None),
        ("tuple", "tuple"),
        ([1, [2]], [1, [2]]),
        ((1, (2,)), {"tuple": [1, {"tuple": [2]}]}),
        (math.inf, {"float": "inf"}),
        (-math.inf, {"float": "-inf"}),
        (math.nan, {"float": "nan"}),
        (-0.0, -0.0),
        ({"a": 1, "b": [2]}, {"a": 1, "b": [2]}),
        ({1: 2}, {"pairs": [[1, 2]]}),
        ({(1, 2): "x", "y": None}, {"pairs": [[{"tuple": [1, 2]}, "x"], ["y", None]]}),
        ({"tuple": 1}, {"pairs": [["tuple", 1]]}),
        ({"float": 1, "a": 2}, {"pairs": [["float", 1], ["a", 2]]}),
        ({}, {}),
    ],
)
def test_literals(value, form):
    """Plain values are themselves; tuples, non-finite floats and odd keys stand under a tag."""
    assert same(to_literal(value), form)
    assert same(from_literal(json.loads(json.dumps(form))), value)


@pytest.mark.parametrize("value", [{1}, b"x", 1j, len, [object()], {"a": {"b": {2}}}])
def test_other_objects_are_refused(value):
    """The error holds the object that JSON cannot express."""
    with pytest.raises(TypeError):
        to_literal(value)


@pytest.mark.parametrize("form", [{"tuple": 1}, {"float": "x"}, {"float": "1", "a": 1}, {"pairs": [[1]]}])
def test_wrong_tags_are_refused(form):
    """A tag that says nothing is not guessed at."""
    with pytest.raises(ValueError, match=r"must"):
        from_literal(form)
