"""The normal family, against scipy."""

from __future__ import annotations

import math

import pytest
import scipy.stats

from prefect_tune.errors import SpaceError
from prefect_tune.space import Normal, lognormal, normal, qlognormal, qnormal, truncnormal

U = [1e-12, 0.01, 0.3, 0.5, 0.77, 0.999, 1 - 1e-12]


@pytest.mark.parametrize("u", U)
def test_normal_and_lognormal(u):
    """mean + std * Phi^-1(u), and its exponential."""
    law = scipy.stats.norm(2, 3)
    assert normal(2, 3).value(u) == pytest.approx(law.ppf(u), rel=1e-12)
    assert lognormal(2, 3).value(u) == pytest.approx(math.exp(law.ppf(u)), rel=1e-12)


@pytest.mark.parametrize("u", U)
def test_steps_round_half_to_even(u):
    """q * rhe(x / q), as decimals; a lognormal one may give 0."""
    x = scipy.stats.norm(0, 1).ppf(u)
    assert qnormal(0, 1, 0.1).value(u) == float(f"{round(x / 0.1) / 10:.10f}")
    assert qlognormal(0, 1, 2).value(u) == 2.0 * round(math.exp(x) / 2)


def test_qlognormal_may_be_zero():
    """Numbers below half a step become 0, which is then inside."""
    assert qlognormal(0, 1, 5).value(0.1) == 0
    assert qlognormal(0, 1, 5).contains(0)
    assert not qlognormal(0, 1, 5).contains(-5.0)
    assert not lognormal(0, 1).contains(0.0)


@pytest.mark.parametrize("u", U)
@pytest.mark.parametrize("ends", [(-1, 2), (1.5, 9), (-9, -3), (3, 3.01), (-40, 40), (7, 8), (-0.5, 0.5)])
def test_truncnormal_is_the_law_within_bounds(u, ends):
    """Phi^-1 restricted to [a, b]; bounds far out in either tail keep their precision."""
    mean, std = 0.5, 1.5
    low, high = ((end - mean) / std for end in ends)
    expected = scipy.stats.truncnorm(low, high, mean, std).ppf(u)
    assert truncnormal(mean, std, *ends).value(u) == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_truncnormal_far_from_its_mean():
    """60 standard deviations away, where Phi is 0 or 1 in floats, values still spread between the bounds."""
    right = [truncnormal(0, 1, 60, 61).value(u) for u in (0.1, 0.5, 0.9)]
    left = [truncnormal(0, 1, -61, -60).value(1 - u) for u in (0.1, 0.5, 0.9)]
    assert 60 < right[0] < right[1] < right[2] < 61
    assert left == pytest.approx([-x for x in right])
    assert truncnormal(0, 1, 60, 61).unit(right[1]) == pytest.approx(0.5)


@pytest.mark.parametrize("low", [0.0, 1e-40, 2.0, 50.0, -7.0])
def test_truncnormal_between_close_bounds(low):
    """Bounds so close that Phi cannot tell them apart: uniform between them."""
    high = math.nextafter(math.nextafter(low, math.inf), math.inf) + 1e-14
    domain = truncnormal(0, 1, low, high)
    assert [domain.value(u) for u in (0, 0.5, 1)] == pytest.approx([low, (low + high) / 2, high], abs=1e-14)
    assert domain.value(0.1) < domain.value(0.9)
    assert domain.unit(domain.value(0.75)) == pytest.approx(0.75, abs=0.6 if low > 9 else 0.2)


def test_open_sides():
    """None and infinity are the same: no bound on that side."""
    assert truncnormal(0, 1, 0, math.inf) == truncnormal(0, 1, 0, None) == Normal(0, 1, low=0)
    assert truncnormal(0, 1, 0, None).value(0.5) == pytest.approx(scipy.stats.halfnorm().ppf(0.5))
    assert truncnormal(0, 1, None, None) == normal(0, 1)


@pytest.mark.parametrize(
    ("domain", "middle"),
    [
        (normal(2, 3), 2.0),
        (lognormal(2, 3), math.exp(2)),
        (qnormal(2.26, 1, 0.1), 2.3),
        (qlognormal(0, 1, 0.25), 1.0),
        (truncnormal(0, 1, -2, 5), 0.0),
        (truncnormal(0, 1, 2, 5), 2.0),
    ],
)
def test_the_default_is_the_mean(domain, middle):
    """Normal: the mean, put within the bounds; lognormal: its exponential; steps: the nearest point."""
    assert domain.default() == pytest.approx(middle)


@pytest.mark.parametrize("value", [-3.0, -0.7, 0.0, 0.4, 2.9])
def test_units_of_steps(value):
    """unit gives the middle of the mass of a rounded value."""
    domain = qnormal(0, 1, 0.1)
    law = scipy.stats.norm()
    assert domain.unit(value) == pytest.approx((law.cdf(value - 0.05) + law.cdf(value + 0.05)) / 2)
    assert domain.value(domain.unit(value)) == value


def test_extreme_logarithms_stay_finite():
    """A lognormal value is above 0 and finite whatever its std."""
    assert 0 < lognormal(0, 500).value(1e-15) < lognormal(0, 500).value(1 - 1e-15) < math.inf


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: normal(0, 0), "std must be above 0"),
        (lambda: lognormal(0, -1), "std must be above 0"),
        (lambda: normal("0", 1), "mean must be a finite number, got '0'"),
        (lambda: qnormal(0, 1, 0), "q must be above 0"),
        (lambda: truncnormal(0, 1, 2, 1), "low must not exceed high"),
        (lambda: truncnormal(0, 1, math.nan, 1), "low must be a finite number, got nan"),
        (lambda: Normal(0, 1, q=0.1, low=0), "bounds go with neither log nor q"),
        (lambda: Normal(0, 1, log=True, high=3), "bounds go with neither log nor q"),
    ],
)
def test_bad_settings_are_refused(make, text):
    """Wrong settings are refused where they are written."""
    with pytest.raises(SpaceError, match=text):
        make()
