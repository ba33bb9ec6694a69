"""Whole numbers with a probability each."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest
from scipy.stats import binom

from prefect_tune.errors import SpaceError
from prefect_tune.schedules.asynchronous.explore import moved
from prefect_tune.space import SearchSpace, Weighted, weighted
from prefect_tune.space.weighted import shared_out


def binomial():
    """Five throws, made of their distribution function."""
    return shared_out(range(6), lambda x: float(binom(5, 0.3).cdf(x)), lambda k: k - 0.5)


def test_each_number_has_its_share():
    """A law that is shared out at its own edges is the law itself."""
    n, domain = 60_000, binomial()
    counts = Counter(domain.value((i + 0.5) / n) for i in range(n))
    expected = [binom(5, 0.3).pmf(k) for k in range(6)]
    assert [counts[k] / n for k in range(6)] == pytest.approx(expected, abs=1e-4)


def test_a_number_without_mass_is_left_out():
    """What cannot occur is no value."""
    assert shared_out(range(4), lambda x: float(x > 2), float) == Weighted((2,), (1.0,))


def test_the_unit_of_a_number_gives_it_back():
    """And its default is the median."""
    domain = weighted([1, 5, 9], [1, 3, 1])
    assert [domain.value(domain.unit(value)) for value in (1, 5, 9)] == [1, 5, 9]
    assert domain.unit(5) == pytest.approx(0.5)
    assert domain.default() == 5


def test_only_its_numbers_belong_to_it():
    """An integral float is cast, other values are refused."""
    domain = weighted([1, 5, 9], [1, 3, 1])
    assert domain.cast(5.0) == 5
    assert not any(map(domain.contains, (3, 5.5, "5", True)))
    assert list(domain.members()) == [1, 5, 9]
    assert SearchSpace({"x": domain, "y": domain}).size == 9


def test_it_has_a_form_an_identity_and_neighbours():
    """It goes through JSON and pickle, and a step leads to the next number."""
    space = SearchSpace({"x": weighted([1, 5, 9], [1, 3, 1])})
    assert space.to_json() == {"x": {"weighted": [[1, 5, 9], [1.0, 3.0, 1.0]]}}
    assert SearchSpace.from_json(space.to_json()) == pickle.loads(pickle.dumps(space)) == space
    assert space != SearchSpace({"x": weighted([1, 5, 9], [1, 3, 2])})
    assert moved(weighted([1, 5, 9], [1, 3, 1]), 5, up=True) == 9


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ([3, 1], [1, 1], "rising"),
        ([1, 1], [1, 1], "rising"),
        ([], [], "rising"),
        ([1.5], [1], "rising"),
        ([1, 2], [1], "one per value"),
        ([1, 2], [1, 0], "above 0"),
        ([1, 2], [1, float("nan")], "finite"),
    ],
)
def test_wrong_tables_are_refused(values, weights, message):
    """Values rise, and weights are above 0."""
    with pytest.raises(SpaceError, match=message):
        weighted(values, weights)


def test_too_many_numbers_are_refused():
    """More than 100,000 probabilities are no domain."""
    with pytest.raises(SpaceError, match="at most 100,000 whole numbers"):
        shared_out(range(10**6), lambda x: 0.5, float)
