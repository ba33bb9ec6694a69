"""Choice, ordinal and grid: masses, casts, the object itself, refused lists."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from prefect_tune.errors import SpaceError
from prefect_tune.space import choice, grid, logordinal, ordinal


def shares(domain, n=60_000):
    """Share of each value over evenly spaced u, in the order of the members."""
    counts = Counter(domain.value((i + 0.5) / n) for i in range(n))
    return [counts[value] / n for value in domain.members()]


def test_choice_speaks_of_indices():
    """choice: the option's index is floor(uK); options are kept as the objects they are."""
    options = [object(), [1, 2], {"a": 1}]
    domain = choice(options)
    assert [domain.value(u) for u in (0, 0.33, 0.34, 0.66, 0.67, 1)] == [0, 0, 1, 1, 2, 2]
    assert all(kept is given for kept, given in zip(domain.options, options, strict=True))
    assert domain.default() == 0
    assert [domain.contains(value) for value in (0, 2, 2.0, 3, -1, True, "a")] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_weights():
    """The first option whose cumulative normalised weight exceeds u; no option of weight 0."""
    domain = choice(["a", "b", "c", "d"], weights=[0, 1, 3, 0])
    assert [domain.value(u) for u in (0, 0.2499, 0.25, 0.9, 1)] == [1, 1, 2, 2, 2]
    assert domain.size == 2
    assert list(domain.members()) == [1, 2]
    assert shares(domain) == pytest.approx([0.25, 0.75], abs=1e-4)


def test_numpy_scalars_become_python_values():
    """An option that is a numpy scalar is kept as Python's own value; arrays are read as lists of them."""
    assert [type(option) for option in choice(np.array([1, 2])).options] == [int, int]
    assert [type(option) for option in choice([np.float32(0.5), np.str_("a")]).options] == [float, str]
    assert choice(range(3)).options == (0, 1, 2)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        # z -+ delta with delta half the mean gap: [1 - 1.5, 7 + 1.5] = 9 wide, borders at 1.5 and 4.5
        ([1, 2, 7], "nn", [2 / 9, 3 / 9, 4 / 9]),
        ([1, 2, 7], None, [2 / 9, 3 / 9, 4 / 9]),
        ([1, 2, 7], "equal", [1 / 3] * 3),
        (["s", "m", "l"], None, [1 / 3] * 3),
        ([3, 2, 1], None, [1 / 3] * 3),
        # logarithms to base 2: 0, 1, 4; delta 1; range [-1, 5], borders 0.5 and 2.5
        ([1, 2, 16], "nn-log", [1.5 / 6, 2 / 6, 2.5 / 6]),
        ([5], "nn", [1.0]),
    ],
)
def test_masses_of_ordinal(values, kind, expected):
    """equal: all alike; nn: the nearest to a uniform number; rising numbers are nn unless told otherwise."""
    assert shares(ordinal(values, kind)) == pytest.approx(expected, abs=1e-4)


def test_logordinal_is_nearest_in_the_logarithm():
    """logordinal(v) is ordinal(v, "nn-log")."""
    assert logordinal([1, 10, 100]) == ordinal([1, 10, 100], "nn-log")


@pytest.mark.parametrize(
    ("domain", "middle"),
    [
        (ordinal(["a", "b", "c"]), "b"),
        (ordinal(["a", "b", "c", "d"]), "c"),  # index floor(K/2)
        (ordinal([1, 2, 9]), 2),  # 5 lies between; 2 is nearer than 9
        (ordinal([0, 1, 9, 10]), 1),  # 5 is as far from 1 as from 9: the lower
        (logordinal([1, 2, 100]), 2),  # sqrt(100) = 10; in the logarithm 2 is nearer than 100
        (grid([3, 4]), 3),
    ],
)
def test_defaults(domain, middle):
    """ordinal equal: index floor(K/2); nn: nearest to the midpoint of the ends; grid: the first."""
    assert domain.default() == middle


def test_categories_are_type_exact_with_casts():
    """1, 1.0 and True are different values; only where none is equal an int is taken for a float."""
    domain = ordinal([1, 1.0, True], kind="equal")
    assert [type(domain.cast(value)) for value in (1, 1.0, True)] == [int, float, bool]
    assert ordinal([0.5, 1.0]).cast(1) == 1.0
    assert type(ordinal([0.5, 1.0]).cast(1)) is float
    assert type(ordinal([1, 2]).cast(2.0)) is int
    assert not ordinal([0, 1]).contains(True)
    assert grid([math.nan]).contains(math.nan)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: choice([]), r"choice\(\[\]\): options must not be empty, got \[\]; name at least one value"),
        (lambda: ordinal([]), "values must not be empty"),
        (lambda: grid([]), "values must not be empty"),
        (lambda: choice("abc"), "options must be a list, got 'abc'"),
        (lambda: choice({"a": 1}), "options must be a list"),
        (lambda: choice(5), "options must be a list, got 5"),
        (lambda: choice(["a", "b", "a"]), r"0 and 2 \(counted from 0\) are equal, got 'a'"),
        (lambda: ordinal([math.nan, math.nan]), "are equal, got nan"),
        (lambda: choice([1, 2], weights=[1]), "weights must be a list of 2 numbers"),
        (lambda: choice([1, 2], weights=3), "weights must be a list of 2 numbers"),
        (lambda: choice([1, 2], weights=[1, -1]), "finite numbers of at least 0"),
        (lambda: choice([1, 2], weights=[1, math.nan]), "finite numbers of at least 0"),
        (lambda: choice([1, 2], weights=[0, 0]), "weights must have a sum above 0"),
        (lambda: ordinal([1, 2], kind="near"), "kind must be one of"),
        (lambda: ordinal([2, 1], kind="nn"), "values must be rising numbers"),
        (lambda: ordinal(["a", "b"], kind="nn-log"), "values must be rising numbers"),
        (lambda: logordinal([0, 1]), "values must be above 0 for a logarithm"),
    ],
)
def test_bad_lists_are_refused(make, text):
    """Empty lists, values named twice, wrong weights: refused where they are written."""
    with pytest.raises(SpaceError, match=text):
        make()


def test_equal_numbers_of_different_types_are_different_options():
    """1, 1.0, True and "1" may stand in one choice."""
    assert choice([1, 1.0, True, "1"]).size == 4
