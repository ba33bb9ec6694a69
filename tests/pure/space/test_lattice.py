"""Multiples of a step as the decimals one would write."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_tune.space.lattice import Lattice

STEPS = st.floats(1e-12, 1e12) | st.sampled_from([0.1, 0.3, 1e-300, 5e-324, 1e300, 2.5, 3.0])


@given(STEPS, st.integers(-(10**6), 10**6))
def test_points_are_the_nearest_floats_to_the_decimals(step, k):
    """The float nearest to k times the decimal of repr(step)."""
    exact = k * Fraction(Decimal(repr(step)))
    try:
        expected = float(exact)
    except OverflowError:
        return
    assert Lattice(step).point(k) == expected


@given(st.sampled_from([0.1, 0.3, 0.7, 1e-5, 2.5, 12.0]), st.integers(-(10**6), 10**6))
def test_indices_of_points(step, k):
    """index(point(k)) is k, and what lies beside a point has none."""
    lattice = Lattice(step)
    assert lattice.index(lattice.point(k)) == k
    assert lattice.index(lattice.point(k) + step / 3) is None


def test_the_classic():
    """3 * 0.1 is 0.3, whose index is 3; 0.1 + 0.2 is a multiple up to 1e-9 but no point."""
    lattice = Lattice(0.1)
    assert lattice.point(3) == 0.3 != 3 * 0.1
    assert lattice.index(0.1 + 0.2) is None
    assert lattice.is_multiple(0.1 + 0.2)
    assert not lattice.is_multiple(0.3001)


@pytest.mark.parametrize(("x", "k"), [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (2.4999, 2)])
def test_half_a_step_goes_to_the_even_point(x, k):
    """Rounding is half to even."""
    assert Lattice(1.0).nearest(x) == k
