"""The JSON form: readable, comes back through text, escapes what would be misread, refuses the rest."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.errors import SpaceError
from prefect_tune.space import (
    SearchSpace,
    choice,
    constant,
    derived,
    finrange,
    grid,
    logfinrange,
    lognormal,
    logordinal,
    lograndint,
    loguniform,
    normal,
    ordinal,
    qlognormal,
    qlograndint,
    qloguniform,
    qnormal,
    qrandint,
    quniform,
    randint,
    reverseloguniform,
    truncnormal,
    uniform,
)

FORMS = [
    (uniform(0, 1), {"uniform": [0.0, 1.0]}),
    (loguniform(1e-4, 1), {"loguniform": [0.0001, 1.0]}),
    (reverseloguniform(0, 0.99), {"reverseloguniform": [0.0, 0.99]}),
    (quniform(0, 1, 0.1), {"quniform": [0.0, 1.0, 0.1]}),
    (qloguniform(0.2, 2.6, 1, clip=False), {"qloguniform": [0.2, 2.6, 1.0], "clip": False}),
    (normal(0, 1), {"normal": [0.0, 1.0]}),
    (lognormal(0, 1), {"lognormal": [0.0, 1.0]}),
    (qnormal(0, 1, 0.5), {"qnormal": [0.0, 1.0, 0.5]}),
    (qlognormal(0, 1, 0.5), {"qlognormal": [0.0, 1.0, 0.5]}),
    (truncnormal(0, 1, None, 2), {"truncnormal": [0.0, 1.0, None, 2.0]}),
    (randint(1, 9), {"randint": [1, 9]}),
    (randint(1, 9, rounding="half"), {"randint": [1, 9], "rounding": "half"}),
    (lograndint(1, 9), {"lograndint": [1, 9]}),
    (lograndint(1, 9, rounding="floor"), {"lograndint": [1, 9], "rounding": "floor"}),
    (qrandint(2, 8, 2), {"qrandint": [2, 8, 2]}),
    (qlograndint(2, 8, 2), {"qlograndint": [2, 8, 2]}),
    (choice(["a", 1, None]), {"choice": ["a", 1, None]}),
    (choice(["a", "b"], weights=[1, 3]), {"choice": ["a", "b"], "weights": [1.0, 3.0]}),
    (
        choice([{"w": randint(1, 2)}, uniform(0, 1)]),
        {"choice": [{"w": {"randint": [1, 2]}}, {"uniform": [0.0, 1.0]}]},
    ),
    (choice([[1, 2], (3,)]), {"choice": [[1, 2], {"tuple": [3]}]}),
    (choice([{"uniform": [0, 1]}, 2]), {"choice": [{"constant": {"uniform": [0, 1]}}, 2]}),
    (choice([[{"choice": 1}], 2]), {"choice": [{"constant": [{"choice": 1}]}, 2]}),
    (ordinal(["s", "m"]), {"ordinal": ["s", "m"], "kind": "equal"}),
    (ordinal([1, 2]), {"ordinal": [1, 2], "kind": "nn"}),
    (logordinal([1, 2]), {"ordinal": [1, 2], "kind": "nn-log"}),
    (finrange(0, 1, 5), {"finrange": [0.0, 1.0, 5]}),
    (logfinrange(1, 8, 4, cast_int=True), {"logfinrange": [1.0, 8.0, 4], "cast_int": True}),
    (grid([1, 2.0]), {"grid": [1, 2.0]}),
    (constant([1, 2]), {"constant": [1, 2]}),
    (constant({"uniform": [0, 1]}), {"constant": {"uniform": [0, 1]}}),
    (constant({"tuple": [1]}), {"constant": {"pairs": [["tuple", [1]]]}}),
    (scipy.stats.expon(scale=2), {"scipy": "expon", "kwargs": {"scale": 2}}),
    (scipy.stats.randint(1, 5), {"scipy": "randint", "args": [1, 5]}),
    (5, 5),
    ("uniform", "uniform"),
    (None, None),
    (math.nan, {"float": "nan"}),
    ((0.9, 0.999), {"tuple": [0.9, 0.999]}),
    ({0: 1.0, 1: 2.0}, {"constant": {"pairs": [[0, 1.0], [1, 2.0]]}}),
    ({}, {}),
    ({"a": {"b": 5}}, {"a": {"b": 5}}),
    ({"uniform": uniform(0, 1), "x": 1}, {"nested": {"uniform": {"uniform": [0.0, 1.0]}, "x": 1}}),
    ({"constant": 1}, {"nested": {"constant": 1}}),
    ({"choices": [1, 2]}, {"choices": {"choice": [1, 2]}}),
    ({"choices": [randint(1, 2)]}, {"nested": {"choices": [{"randint": [1, 2]}]}}),
    (choice([[{0: 1}], 2]), {"choice": [{"constant": [{"pairs": [[0, 1]]}]}, 2]}),
    ([randint(1, 2), "x"], [{"randint": [1, 2]}, "x"]),
    ((randint(1, 2), "x"), {"tuple": [{"randint": [1, 2]}, "x"]}),
    (["a", "b"], {"choice": ["a", "b"]}),
]


@pytest.mark.parametrize(("value", "form"), FORMS, ids=lambda value: repr(value)[:40])
def test_forms(value, form):
    """Every type has its readable form, and the form gives the same space back, through JSON text."""
    space = SearchSpace({"x": value})
    assert space.to_json() == {"x": form}
    assert repr(space.to_json()) == repr({"x": form})  # 1 and 1.0 and True are different forms
    again = SearchSpace.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False)))
    assert again == space
    assert again.to_json() == space.to_json()
    assert repr([again.draw(0, i) for i in range(3)]) == repr([space.draw(0, i) for i in range(3)])


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ({"loguniform": [1e-4, 1]}, loguniform(1e-4, 1)),
        ({"uniform": {"low": 0, "high": 1}}, uniform(0, 1)),
        ({"randint": {"low": 0, "high": 5}, "rounding": "half"}, randint(0, 5, rounding="half")),
        ({"logordinal": [1, 2]}, logordinal([1, 2])),
        ({"ordinal": [1, 2]}, ordinal([1, 2])),
        ({"truncnormal": [0, 1, 0, None]}, truncnormal(0, 1, 0, None)),
        (["a", "b"], choice(["a", "b"])),
        ({"nested": {"uniform": 5}}, {"uniform": 5}),
        ({"choice": [["a", "b"], "c"]}, choice([["a", "b"], "c"])),
        ({"norm": ["l1", "l2"]}, {"norm": choice(["l1", "l2"])}),
    ],
)
def test_forms_that_people_write(form, value):
    """Arguments by name, ints for floats, a bare list for a choice, as in Python."""
    assert SearchSpace.from_json({"x": form}) == SearchSpace({"x": value})


def test_a_list_of_dicts():
    """A list of dicts is a JSON list of forms."""
    space = SearchSpace([{"kernel": ["rbf"], "gamma": loguniform(0.1, 1)}, {"choice": 1}])
    form = [{"kernel": {"choice": ["rbf"]}, "gamma": {"loguniform": [0.1, 1.0]}}, {"choice": 1}]
    assert space.to_json() == form
    assert SearchSpace.from_json(form) == space


def test_names_at_the_top_need_no_escape():
    """The space itself is never a leaf: a parameter may be called `uniform`."""
    space = SearchSpace({"uniform": uniform(0, 1), "choice": 3})
    assert space.to_json() == {"uniform": {"uniform": [0.0, 1.0]}, "choice": 3}
    assert SearchSpace.from_json(space.to_json()) == space


NAMES = st.sampled_from(
    ["a", "uniform", "choice", "constant", "tuple", "float", "pairs", "nested", "weights"]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(NAMES | st.integers(0, 3), inner, max_size=3)
    ),
    max_leaves=8,
)
LEAVES = st.sampled_from([value for value, _ in FORMS[:18]])
WRITTEN = st.recursive(
    LEAVES | PLAIN.map(constant) | PLAIN.map(lambda value: choice([value, "other value"])),
    lambda inner: (
        st.dictionaries(NAMES, inner, max_size=3)
        | st.lists(inner, max_size=2, min_size=2).map(tuple)
        | st.dictionaries(NAMES, inner, max_size=2).map(lambda part: choice([part, "something else"]))
    ),
    max_leaves=6,
)


@given(st.dictionaries(NAMES, WRITTEN, max_size=3))
def test_every_space_comes_back(written):
    """Whatever is nested in whatever, under names that look like constructors: to_json, text, from_json."""
    space = SearchSpace(written)
    again = SearchSpace.from_json(json.loads(json.dumps(space.to_json(), allow_nan=False)))
    assert again == space


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (derived(len), r"x: JSON cannot hold this, got derived\(len\); a derived value is a function"),
        (len, "x: JSON cannot hold this, got <built-in function len>; name it by a text"),
        (choice([len, 1]), "x/0: JSON cannot hold this"),
        (choice([{"f": len, "u": uniform(0, 1)}, 1]), "x/0/f: JSON cannot hold this"),
        (constant([1, {2}]), r"x: JSON cannot hold this, got \{2\}"),
        (np.eye(2), "x: JSON cannot hold this"),
    ],
)
def test_what_json_cannot_hold_is_named(value, text):
    """Functions and other objects: by path, with the way out."""
    with pytest.raises(SpaceError, match=text):
        SearchSpace({"x": value}).to_json()


def test_everything_json_cannot_hold_is_named_at_once():
    """Two such values, one error."""
    with pytest.raises(SpaceError, match="the form of the space has 2 faults"):
        SearchSpace({"a": len, "b": derived(len)}).to_json()


def test_a_law_of_ones_own_has_no_form():
    """Only scipy's own distributions have a name to be written by."""

    class Mine(scipy.stats.rv_continuous):
        def _pdf(self, x):
            return np.exp(-x)

    with pytest.raises(SpaceError, match="use a frozen distribution of scipy"):
        SearchSpace({"x": Mine(a=0, name="mine")()}).to_json()


def test_one_leaf():
    """Domain.to_json gives the leaf's own form."""
    assert loguniform(1e-4, 1).to_json() == {"loguniform": [0.0001, 1.0]}
    with pytest.raises(SpaceError, match="JSON cannot hold this"):
        derived(len).to_json()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"loguniforn": [1, 2]}, r"x: there is no type 'loguniforn'.*nested.* Did you mean 'loguniform'"),
        ({"loguniform": [0, 1]}, r"x: loguniform\(0.0, 1.0\): low must be above 0"),
        ({"uniform": [1, 0]}, "x: .*low must not exceed high"),
        (
            {"uniform": [1]},
            r"x: uniform: missing a required argument: 'high'.*write \{\"uniform\": \[low, high\]\}",
        ),
        ({"uniform": [1, 2, 3]}, "x: uniform: too many positional arguments"),
        ({"uniform": 5}, "x: uniform: its arguments must be a list"),
        ({"uniform": {"low": 0, "hihg": 1}}, "x: uniform: .*'high'"),
        ({"uniform": ["a", 1]}, "low must be a finite number, got 'a'"),
        ({"choice": []}, "x: .*options must not be empty"),
        ({"choice": "ab"}, "x: choice: its values must be a list"),
        ({"choice": [1, 2], "weigths": [1, 2]}, "x: choice: .*'weigths'"),
        ({"choice": [1, 2], "weights": [1]}, "weights must be a list of 2 numbers"),
        ({"choice": [{"uniform": [1, 0]}, 2]}, "x/0: uniform"),
        ({"constant": 1, "other": 2}, "x: constant: it goes with no other key, got 'other'"),
        ({"nested": 5}, "x: this must be a dict, got 5"),
        ({"tuple": 5}, "x: tuple: "),
        ({"float": "one"}, 'x: float: float must be "nan"'),
        ({"pairs": [1]}, "x: pairs: pairs must hold"),
        ({"pairs": [[[1], 1]]}, "x: pairs: "),
        ({"scipy": "expn"}, "x: scipy: scipy.stats has no distribution 'expn'"),
        ({"scipy": "__name__"}, "x: scipy: scipy.stats has no distribution"),
        ({"scipy": "norm", "kwargs": {"scale": -1}}, "does not take these arguments"),
        ({"scipy": "norm", "args": 5}, "x: scipy: "),
    ],
)
def test_wrong_forms_are_refused(form, text):
    """By path, with the way to write it; a misspelt type is not taken for a nested dict."""
    with pytest.raises(SpaceError, match=text):
        SearchSpace.from_json({"x": form})


def test_all_wrong_forms_are_told_at_once():
    """Every leaf is read before the error is raised."""
    form = {"a": {"uniform": [1, 0]}, "b": {"c": {"choice": []}}, "d": {"randint": [1]}, "e": 5}
    with pytest.raises(SpaceError, match="the form of the space has 3 faults") as caught:
        SearchSpace.from_json(form)
    assert [fault.place.partition(":")[0] for fault in caught.value.faults] == ["a", "b/c", "d"]


@pytest.mark.parametrize("form", [5, "x", None, [1]])
def test_the_form_is_a_dict(form):
    """Anything but a dict or a list of dicts is refused."""
    with pytest.raises(SpaceError, match="this must be a dict"):
        SearchSpace.from_json(form)
