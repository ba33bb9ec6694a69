"""Equally spaced values: both ends, decimals, ints."""

from __future__ import annotations

import pytest

from prefect_tune.errors import SpaceError
from prefect_tune.space import finrange, logfinrange


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (finrange(0.1, 0.9, 9), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        (finrange(0, 10, 3, cast_int=True), [0, 5, 10]),
        (finrange(0, 5, 3, cast_int=True), [0, 2, 5]),  # 2.5, half to even
        (logfinrange(1, 1000, 4), [1, 10, 100, 1000]),
        (logfinrange(1, 64, 7, cast_int=True), [1, 2, 4, 8, 16, 32, 64]),
        (finrange(3, 3, 1), [3]),
    ],
)
def test_values(domain, values):
    """K values from low to high, equally spaced (in the logarithm), both ends included."""
    assert list(domain.members()) == pytest.approx(values, rel=1e-12)
    assert domain.size == len(values)
    kind = int if domain.cast_int else float
    assert {type(value) for value in domain.members()} == {kind}
    assert [domain.value((i + 0.5) / len(values)) for i in range(len(values))] == list(domain.members())


def test_linear_values_are_decimals():
    """0.3 comes out, not 0.30000000000000004."""
    assert list(finrange(0.1, 0.5, 5).members()) == [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize(("size", "index"), [(1, 0), (2, 0), (3, 1), (4, 2), (5, 2), (6, 2)])
def test_the_default_is_the_middle_value(size, index):
    """The nearest value to the middle; between two the one with the even index."""
    domain = finrange(1, 1 if size == 1 else 2, size)
    assert domain.default() == domain.values[index]


def test_only_the_values_are_inside():
    """No rounding: a value between two is outside; an int is taken for a float."""
    domain = finrange(0, 1, 5)
    assert domain.cast(1) == 1.0
    assert type(domain.cast(1)) is float
    assert [domain.contains(value) for value in (0.25, 0.3, 1.25, True, "0")] == [True] + [False] * 4


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: finrange(1, 0, 3), "low must not exceed high"),
        (lambda: logfinrange(0, 1, 3), "low must be above 0 for a logarithm"),
        (lambda: finrange(0, 1, 1), "size must be at least 2"),
        (lambda: finrange(0, 1, 2.5), "size must be a whole number, got 2.5"),
        (lambda: finrange(0, 1, 10**9), "at most a million"),
        (lambda: finrange(2, 2, 3), "size must be 1 where both bounds are equal"),
        (lambda: finrange(1, 3, 9, cast_int=True), "9 values must differ, but 1 comes twice"),
    ],
)
def test_bad_settings_are_refused(make, text):
    """Wrong settings are refused where they are written."""
    with pytest.raises(SpaceError, match=text):
        make()
