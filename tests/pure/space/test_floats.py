"""Floats between bounds: the formulas of the reference, steps as decimals, refused bounds."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from prefect_tune.errors import SpaceError
from prefect_tune.space import Float, loguniform, qloguniform, quniform, reverseloguniform, uniform

U = [2.0**-53, 0.1, 0.25, 0.5, 0.9, 1 - 2.0**-53]


def shares(domain, n=120_000):
    """Share of each value over evenly spaced u."""
    counts = Counter(domain.value((i + 0.5) / n) for i in range(n))
    return {value: count / n for value, count in sorted(counts.items())}


@pytest.mark.parametrize("u", U)
def test_uniform_is_linear(u):
    """uniform(a, b): a + u(b - a)."""
    assert uniform(-2, 3).value(u) == -2 + u * 5


@pytest.mark.parametrize("u", U)
def test_loguniform_is_linear_in_the_logarithm(u):
    """loguniform(a, b): exp(ln a + u(ln b - ln a)), clipped to [a, b]."""
    expected = min(max(math.exp(math.log(1e-4) + u * (math.log(10) - math.log(1e-4))), 1e-4), 10)
    assert loguniform(1e-4, 10).value(u) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("u", U)
def test_reverseloguniform_is_linear_in_the_logarithm_of_the_rest(u):
    """reverseloguniform(a, b): 1 - x is log-uniform between 1 - b and 1 - a."""
    rest = (1 - 0.5) ** (1 - u) * (1 - 0.999) ** u
    assert 1 - reverseloguniform(0.5, 0.999).value(u) == pytest.approx(rest, rel=1e-9)


@pytest.mark.parametrize(("low", "high"), [(1e-4, 1), (2, 8), (1e-300, 1e300), (3, 3)])
def test_the_median_of_loguniform_is_the_geometric_mean(low, high):
    """Half of the draws lie below sqrt(ab), which is also the default."""
    assert loguniform(low, high).value(0.5) == pytest.approx(math.sqrt(low) * math.sqrt(high), rel=1e-12)
    assert loguniform(low, high).default() == pytest.approx(math.sqrt(low) * math.sqrt(high), rel=1e-12)


@pytest.mark.parametrize(
    ("domain", "middle"),
    [
        (uniform(2, 5), 3.5),
        (loguniform(1e-4, 1), 0.01),
        (reverseloguniform(0, 0.99), 0.9),
        (quniform(0, 1, 0.1), 0.5),
        (quniform(0, 3, 1), 2.0),  # 1.5 lies between; half to even
        (quniform(0, 1, 1), 0.0),
        (qloguniform(1, 100, 3), 9.0),  # sqrt(100) = 10, nearest multiple
    ],
)
def test_the_default_is_the_middle(domain, middle):
    """Midpoint of the bounds, in the logarithm for log types, nearest point of a lattice."""
    assert domain.default() == pytest.approx(middle, rel=1e-12)


def test_lattice_values_are_decimals():
    """quniform(0, 1, .1) gives 0.3, not 0.30000000000000004; every value is the float one would write."""
    expected = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert list(quniform(0, 1, 0.1).members()) == expected
    assert list(shares(quniform(0, 1, 0.1), 1000)) == expected


def test_the_ends_of_quniform_have_half_the_mass():
    """quniform(2, 8, 1): 1/12 at 2 and 8, 1/6 at 3 to 7."""
    expected = {2: 1 / 12, 3: 1 / 6, 4: 1 / 6, 5: 1 / 6, 6: 1 / 6, 7: 1 / 6, 8: 1 / 12}
    assert shares(quniform(2, 8, 1)) == pytest.approx(expected, abs=1e-4)


def test_qloguniform_rounds_a_loguniform_number():
    """qloguniform(1, 8, 1): value k has the log-mass of [k - 1/2, k + 1/2] within the bounds."""
    edges = np.log([1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8]) / math.log(8)
    assert list(shares(qloguniform(1, 8, 1)).values()) == pytest.approx(list(np.diff(edges)), abs=1e-4)


def test_qloguniform_stays_within_its_bounds():
    """Bounds that are no multiples: only the multiples between them come out, as decimals."""
    assert list(qloguniform(0.25, 1.05, 0.1).members()) == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert set(shares(qloguniform(0.25, 1.05, 0.1), 5000)) == set(qloguniform(0.25, 1.05, 0.1).members())


def test_unclipped_lattices_round_as_hyperopt_does():
    """clip=False: the lattice goes from rhe(a/q)q to rhe(b/q)q and may leave [a, b]; it may give 0."""
    assert list(quniform(0.4, 3.6, 1, clip=False).members()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert list(qloguniform(0.2, 2.6, 1, clip=False).members()) == [0.0, 1.0, 2.0, 3.0]
    # round(u * 3.2 + 0.4): 0 up to 0.5, so a share of 0.1 / 3.2
    assert shares(quniform(0.4, 3.6, 1, clip=False))[0.0] == pytest.approx(0.1 / 3.2, abs=1e-4)


def test_extreme_bounds_do_not_overflow():
    """The width of a range may be larger than the largest float."""
    domain = uniform(-1.7e308, 1.7e308)
    assert domain.value(0.5) == 0
    assert domain.unit(domain.value(0.75)) == pytest.approx(0.75)


@pytest.mark.parametrize("value", [True, "1", None, math.nan, math.inf, 10**400, 1j, [1]])
def test_what_is_no_number_is_outside(value):
    """Only finite ints and floats are accepted; a bool is no number."""
    assert not uniform(-1e300, 1e300).contains(value)


def test_ints_are_cast_and_nothing_is_rounded():
    """An int becomes a float; values outside or off the lattice are not moved."""
    assert type(uniform(0, 5).cast(3)) is float
    assert type(uniform(0, 5).cast(np.float64(3))) is float
    assert not uniform(0, 5).contains(5.0000001)
    assert quniform(0, 1, 0.1).contains(0.3)
    assert not quniform(0, 1, 0.1).contains(0.1 + 0.2)
    assert not quniform(0, 1, 0.1).contains(1.1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: uniform(1, 0), r"uniform\(1.0, 0.0\): low must not exceed high, got \(1.0, 0.0\); swap"),
        (lambda: loguniform(0, 1), r"loguniform\(0.0, 1.0\): low must be above 0 for a logarithm, got 0.0"),
        (lambda: loguniform(-1, 1), "low must be above 0"),
        (lambda: qloguniform(0, 1, 0.1), "low must be above 0"),
        (lambda: reverseloguniform(0, 1), "at least 0 and below 1"),
        (lambda: reverseloguniform(-0.1, 0.5), "at least 0 and below 1"),
        (lambda: quniform(0, 1, 0), "q must be above 0"),
        (lambda: quniform(0, 1, -0.1), "q must be above 0"),
        (lambda: quniform(0, 1, 0.3), r"high must be a multiple of q, got 1.0; high=0.9 would be"),
        (lambda: quniform(0.05, 1, 0.1), "low must be a multiple of q, got 0.05"),
        (lambda: qloguniform(0.11, 0.19, 0.1), "a multiple of q must lie between the bounds"),
        (lambda: quniform(0, 1e18, 1e-3), "fewer than 2\\*\\*53 points"),
        (lambda: uniform("0", 1), "low must be a finite number, got '0'"),
        (lambda: uniform(0, math.inf), "high must be a finite number, got inf"),
        (lambda: uniform(True, 2), "low must be a finite number, got True"),
        (lambda: Float(0.1, 0.5, q=0.1, reverse=True), "reverse goes with neither log nor q"),
    ],
)
def test_bad_bounds_are_refused(make, text):
    """Every wrong bound is refused where it is written: call, rule, value and the next move."""
    with pytest.raises(SpaceError, match=text):
        make()


def test_all_wrong_bounds_are_told_at_once():
    """Two mistakes in one call make one error with two faults."""
    with pytest.raises(SpaceError) as caught:
        uniform(None, "x")
    assert [fault.value for fault in caught.value.faults] == [None, "x"]


@pytest.mark.parametrize("q", [0.1, 0.3, 1e-3])
def test_multiples_are_taken_with_a_tolerance(q):
    """3 * 0.1 is a multiple of 0.1 although it is not the float 0.3: bounds count to 1e-9."""
    assert list(quniform(0, 3 * q, q).members())[-1] == float(f"{3 * q:.12g}")
