"""Ints between bounds: the tables of the reference, each by counting over evenly spaced u."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from prefect_tune.errors import SpaceError
from prefect_tune.space import Integer, lograndint, qlograndint, qrandint, randint


def shares(domain, n=100_000):
    """Share of each value over evenly spaced u, by rising value."""
    counts = Counter(domain.value((i + 0.5) / n) for i in range(n))
    return [counts[value] / n for value in sorted(counts)]


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (4, [0.5000, 0.2325, 0.1531, 0.1144]),
        (10, [0.3608, 0.1678, 0.1105, 0.0825, 0.0659, 0.0549, 0.0470, 0.0411, 0.0365, 0.0329]),
    ],
)
def test_masses_of_lograndint(high, expected):
    """The reference's tables for lograndint(1, 4) and lograndint(1, 10)."""
    assert shares(lograndint(1, high)) == pytest.approx(expected, abs=6e-5)


def test_lograndint_closed_cuts_at_the_bounds():
    """rounding="closed": v has the log-mass of [v - 1/2, v + 1/2] within [a, b]."""
    edges = np.log([1, 1.5, 2.5, 3.5, 4]) / math.log(4)
    assert shares(lograndint(1, 4, rounding="closed")) == pytest.approx(list(np.diff(edges)), abs=6e-5)


def test_lograndint_floor_takes_the_whole_below():
    """rounding="floor": v has the log-mass of [v, v + 1]."""
    edges = np.log([1, 2, 3, 4, 5]) / math.log(5)
    assert shares(lograndint(1, 4, rounding="floor")) == pytest.approx(list(np.diff(edges)), abs=6e-5)


def test_randint_includes_both_ends():
    """randint(a, b) is a + floor(u(b - a + 1)): all equally likely, b included."""
    assert shares(randint(-2, 3)) == pytest.approx([1 / 6] * 6, abs=1e-4)
    assert randint(-2, 3).value(0) == -2
    assert randint(-2, 3).value(1) == 3


def test_randint_rounded_half():
    """rounding="half" is quniform with step 1, as ints: half the mass at both ends."""
    assert shares(randint(1, 4, rounding="half")) == pytest.approx([1 / 6, 1 / 3, 1 / 3, 1 / 6], abs=1e-4)


def test_qrandint_has_equal_masses():
    """Multiples of q, the ends included, all equally likely."""
    assert list(qrandint(-4, 8, 4).members()) == [-4, 0, 4, 8]
    assert shares(qrandint(-4, 8, 4)) == pytest.approx([0.25] * 4, abs=1e-4)


def test_qlograndint_rounds_lograndint():
    """q * rhe(lograndint / q), clipped: the masses of lograndint added up; half a step goes to even."""
    single = shares(lograndint(2, 8))  # 2 3 4 5 6 7 8 -> rhe(v/2) = 1 2 2 2 3 4 4
    expected = [single[0], sum(single[1:4]), single[4], sum(single[5:])]
    assert shares(qlograndint(2, 8, 2)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("domain", "middle"),
    [
        (randint(1, 9), 5),
        (randint(0, 1), 0),  # 0.5, half to even
        (randint(1, 2), 2),  # 1.5
        (randint(-2, -1), -2),
        (lograndint(1, 100), 10),
        (lograndint(2, 3), 2),  # sqrt(6) = 2.449
        (qrandint(0, 10, 5), 5),
        (qrandint(0, 30, 10), 20),  # 15 is half way between 1 * 10 and 2 * 10
        (qlograndint(10, 1000, 10), 100),
    ],
)
def test_the_default_is_the_middle(domain, middle):
    """Half-to-even of the midpoint, in the logarithm for log types; lattices: the nearest point."""
    assert domain.default() == middle


def test_casts():
    """An integral float becomes an int; a bool, 2.5 and values off the step are outside."""
    domain = qrandint(0, 10, 2)
    assert domain.cast(4.0) == 4
    assert type(domain.cast(4.0)) is int
    assert type(domain.cast(np.int64(4))) is int
    assert [domain.contains(v) for v in (True, 2.5, 3, 12, "4", None)] == [False] * 6
    assert not randint(0, 1).contains(True)


def test_large_ranges():
    """Ranges beyond the floats' whole numbers keep within their bounds."""
    domain = randint(0, 2**63)
    assert domain.value(1) <= 2**63
    assert domain.size == 2**63 + 1
    assert lograndint(1, 2**63).value(1) <= 2**63


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: randint(3, 1), r"randint\(3, 1\): low must not exceed high, got \(3, 1\)"),
        (lambda: lograndint(0, 5), "low must be at least 1 for a logarithm, got 0"),
        (lambda: randint(0.5, 3), "low must be a whole number, got 0.5"),
        (lambda: randint(False, 3), "low must be a whole number, got False"),
        (lambda: randint(None, 3), "low must be a whole number, got None"),
        (lambda: randint(0, 2**64), "within 2\\*\\*63"),
        (lambda: qrandint(1, 9, 0), "q must be at least 1"),
        (lambda: qrandint(1, 9, 2), "low must be a multiple of q, got 1; low=0 would be"),
        (lambda: qlograndint(2, 9, 2), "high must be a multiple of q, got 9; high=8 would be"),
        (lambda: lograndint(1, 9, rounding="up"), "rounding must be None or one of"),
        (lambda: Integer(1, 9, rounding="floor"), "rounding must be None or one of"),
    ],
)
def test_bad_bounds_are_refused(make, text):
    """Wrong bounds are refused where they are written."""
    with pytest.raises(SpaceError, match=text):
        make()
