"""Constants, derived values and scipy's frozen distributions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from prefect_tune.errors import SpaceError
from prefect_tune.space import Derived, Distribution, SearchSpace, constant, derived, uniform


class OnlyRvs:
    """A distribution of the user's own: it can be drawn from and nothing else."""

    def rvs(self, random_state=None):
        return np.float64(random_state.normal())


@pytest.mark.parametrize("u", [0.01, 0.5, 0.99])
def test_continuous_laws_go_through_ppf(u):
    """The value at u is ppf(u), a Python float; unit gives u back."""
    law = scipy.stats.gamma(2, scale=3)
    value = Distribution(law).value(u)
    assert value == law.ppf(u)
    assert type(value) is float
    assert Distribution(law).unit(value) == pytest.approx(u)
    assert Distribution(law).default() == law.median()


def test_discrete_laws_give_ints():
    """A discrete law gives ints, has as many values as its support, and unit is the middle of a mass."""
    domain = Distribution(scipy.stats.randint(3, 7))
    assert [domain.value(u) for u in (0.1, 0.3, 0.6, 0.9)] == [3, 4, 5, 6]
    assert {type(domain.value(u)) for u in (0.1, 0.9)} == {int}
    assert list(domain.members()) == [3, 4, 5, 6]
    assert domain.size == 4
    assert domain.unit(4) == pytest.approx(0.375)
    assert Distribution(scipy.stats.poisson(3)).size is None


def test_laws_judge_values():
    """Continuous: the support; discrete: ints of positive mass; bools never."""
    positive = Distribution(scipy.stats.expon())
    assert [positive.contains(v) for v in (1, 0.5, -0.5, True, "1")] == [True, True, False, False, False]
    counts = Distribution(scipy.stats.poisson(3))
    assert [counts.contains(v) for v in (2, 2.0, 2.5, -1, True)] == [True, True, False, False, False]


def test_objects_with_rvs_alone():
    """rvs gets a generator made of u: the same u gives the same value, a Python one."""
    domain = Distribution(OnlyRvs())
    assert domain.value(0.3) == domain.value(0.3) != domain.value(0.4)
    assert type(domain.value(0.3)) is float
    assert domain.unit(5) == 0.5
    assert domain.contains("anything")


def test_laws_stand_in_spaces_as_they_are():
    """scikit-learn's habit: a frozen distribution is a leaf without further ado."""
    space = SearchSpace({"C": scipy.stats.loguniform(1e-3, 1e3), "n": scipy.stats.randint(1, 5)})
    config = space.draw(0, 0)
    assert 1e-3 <= config["C"] <= 1e3
    assert type(config["n"]) is int


def test_constants_pass_through():
    """The object itself comes out; numpy scalars become Python's."""
    held = [1, 2]
    assert constant(held).value(0.3) is held
    assert type(constant(np.float64(2)).default()) is float
    assert constant(1.0).cast(1) == 1.0
    assert not constant(1).contains(True)
    assert SearchSpace({"a": constant(held)}).draw(0, 0)["a"] is held


def test_derived_values_come_last():
    """f(config) sees all that is drawn, constants, and derived values whose path sorts before its own."""
    seen = []

    def area(config):
        seen.append(dict(config))
        return np.float64(config["w"] * config["h"])

    space = SearchSpace(
        {
            "w": uniform(1, 2),
            "a": derived(area),
            "b": derived(lambda c: c["a"] + 1),
            "h": 3,
            "z": uniform(0, 1),
        }
    )
    config = space.draw(0, 0)
    assert config["a"] == config["w"] * 3
    assert config["b"] == config["a"] + 1
    assert type(config["a"]) is float
    assert set(seen[0]) == {"w", "h", "z"}
    assert [leaf.path for leaf in space.leaves] == ["w", "z"]
    assert space.derived == ("a", "b")


def test_a_derived_value_that_raises_names_itself():
    """The error names path, function and cause."""
    with pytest.raises(
        SpaceError, match=r"a: derived\(.*<lambda>\) raised KeyError: 'x'; it was given"
    ) as caught:
        SearchSpace({"a": derived(lambda config: config["x"]), "b": 1}).default()
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: derived(5), "function must be callable, got 5"),
        (lambda: Derived("f"), "function must be callable"),
        (lambda: Distribution(5), "law must have rvs, got 5"),
        (lambda: Distribution(OnlyRvs), "law must have rvs"),
    ],
)
def test_bad_arguments_are_refused(make, text):
    """What is no function and what cannot be drawn from is refused."""
    with pytest.raises(SpaceError, match=text):
        make()
