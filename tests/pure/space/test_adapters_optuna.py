"""Optuna's distributions, made ours."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from prefect_tune.errors import SpaceError
from prefect_tune.space import Choice, FinRange, Float, Integer, SearchSpace, adapt, uniform

sys.path.append(str(Path(__file__).parent))
from side_by_side import agree

DISTRIBUTIONS = {
    "float": (FloatDistribution(-2.0, 3.0), Float(-2.0, 3.0)),
    "log": (FloatDistribution(1e-5, 10.0, log=True), Float(1e-5, 10.0, log=True)),
    "step": (FloatDistribution(0.1, 1.0, step=0.3), FinRange(0.1, 1.0, 4)),
    "int": (IntDistribution(-3, 4), Integer(-3, 4)),
    "int log": (IntDistribution(1, 10, log=True), Integer(1, 10, log=True)),
    "int step": (IntDistribution(0, 9, step=3), Integer(0, 9, 3)),
    "int step off zero": (IntDistribution(1, 10, step=3), FinRange(1, 10, 4, cast_int=True)),
    "categories": (CategoricalDistribution(["a", None, 2, 0.5, True]), Choice(("a", None, 2, 0.5, True))),
    "one value": (FloatDistribution(2.0, 2.0), Float(2.0, 2.0)),
    "one step": (FloatDistribution(0.5, 0.5, step=0.5), FinRange(0.5, 0.5, 1)),
}


def drawn(distribution, many=2_000):
    """Values that Optuna's random sampler gives a parameter."""
    study, sampler = optuna.create_study(), optuna.samplers.RandomSampler(seed=1)
    trial = study.ask()
    frozen = study.trials[trial.number]
    return [sampler.sample_independent(study, frozen, "x", distribution) for _ in range(many)]


@pytest.fixture(autouse=True)
def quiet():
    """Optuna tells of every study, and warns of ranges that its step does not divide."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_distribution_becomes_the_domain_of_the_table(name):
    """Float, int and categorical distributions, each with log or step."""
    distribution, domain = DISTRIBUTIONS[name]
    assert adapt(distribution) == domain


@pytest.mark.parametrize("name", [name for name in DISTRIBUTIONS if name != "categories"])
def test_numbers_are_drawn_as_optuna_draws_them(name):
    """The same values, types and probabilities as Optuna's own random sampler."""
    distribution, domain = DISTRIBUTIONS[name]
    # Optuna's points are rounded sums, 0.7000000000000001 among them; ours are decimals.
    agree(domain, drawn(distribution), near=name == "step")


def test_categories_are_drawn_as_optuna_draws_them():
    """Every category is as likely as the others, and comes out as the object it is."""
    choices = ["a", "b", None, 2]
    domain = adapt(CategoricalDistribution(choices))
    agree(domain, [choices.index(value) for value in drawn(CategoricalDistribution(choices))])


def test_a_high_end_off_the_lattice_is_lowered_as_decimals():
    """low + k * step as decimals: 0.1, 0.2, 0.3, without 0.30000000000000004; the high end is lowered."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna says that it lowers the end
        floats = adapt(FloatDistribution(0.1, 0.35, step=0.1))
        ints = adapt(IntDistribution(2, 9, step=3))
    assert list(floats.members()) == [0.1, 0.2, 0.3]
    assert list(ints.members()) == [2, 5, 8]


def test_old_names_are_known_by_their_bases():
    """The classes of Optuna before 3.0 are still distributions of the same kinds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = optuna.distributions.DiscreteUniformDistribution(0.0, 1.0, 0.25)
    assert adapt(old) == FinRange(0.0, 1.0, 5)


def test_a_dict_of_distributions_is_a_space():
    """As Study.ask, OptunaSearchCV and trial.distributions have it; ours may stand beside."""
    space = SearchSpace({"lr": FloatDistribution(1e-3, 1.0, log=True), "x": uniform(0, 1), "epochs": 9})
    assert [leaf.path for leaf in space.leaves] == ["lr", "x"]
    assert space.leaf("lr").domain == Float(1e-3, 1.0, log=True)
    assert space.constants == {"epochs": 9}


def test_what_ours_cannot_say_is_named_with_its_path():
    """More than a million steps have no list; the error says where."""
    with pytest.raises(SpaceError, match="net/x"):
        SearchSpace({"net": {"x": FloatDistribution(0.0, 1.0, step=1e-9)}})
