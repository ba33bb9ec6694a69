"""Ray Tune's domains, made ours."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from prefect_tune.errors import SpaceError
from prefect_tune.space import Choice, Float, Grid, Integer, Normal, SearchSpace, adapt

sys.path.append(str(Path(__file__).parent))
from side_by_side import agree

tune = pytest.importorskip("ray.tune", reason="Ray is not installed; its domains cannot be made")

DOMAINS = {
    "uniform": (tune.uniform(-1, 2), Float(-1, 2)),
    "loguniform": (tune.loguniform(1e-4, 10), Float(1e-4, 10, log=True)),
    "quniform": (tune.quniform(0, 1, 0.25), Float(0, 1, 0.25)),
    "qloguniform": (tune.qloguniform(0.5, 8, 0.5), Float(0.5, 8, 0.5, log=True)),
    "randn": (tune.randn(2, 3), Normal(2, 3)),
    "qrandn": (tune.qrandn(0, 2, 0.5), Normal(0, 2, 0.5)),
    "randint": (tune.randint(2, 6), Integer(2, 5)),
    "lograndint": (tune.lograndint(1, 10), Integer(1, 9, log=True, rounding="floor")),
    "qrandint": (tune.qrandint(2, 12, 2), Integer(2, 12, 2)),
    "qrandint by 1": (tune.qrandint(2, 6, 1), Integer(2, 5)),
    "qrandint off": (tune.qrandint(3, 13, 5), Integer(5, 10, 5)),
}


def drawn(domain, many=4_000):
    """Values that Ray draws, as a list."""
    found = domain.sample(size=many, random_state=np.random.default_rng(7))
    return [value.item() if hasattr(value, "item") else value for value in found]


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_becomes_the_one_of_the_table(name):
    """The upper bound of ints is excluded, and included where there is a step above 1."""
    theirs, ours = DOMAINS[name]
    assert adapt(theirs) == ours


@pytest.mark.parametrize("name", DOMAINS)
def test_numbers_are_drawn_as_ray_draws_them(name):
    """The same values, types and probabilities."""
    agree(adapt(DOMAINS[name][0]), drawn(DOMAINS[name][0]), near=name.startswith("q"))


@pytest.mark.parametrize("bounds", [(8, 64, 8), (3, 100, 7), (1, 4, 2)])
def test_steps_in_the_logarithm_are_drawn_as_ray_draws_them(bounds):
    """tune.qlograndint draws a position in the logarithm: bounds rounded inwards, upper one included."""
    agree(adapt(tune.qlograndint(*bounds)), drawn(tune.qlograndint(*bounds)))


def test_the_domain_class_itself_is_uniform():
    """tune.choice and the classes without a sampler draw uniformly; grids of a class are grids."""
    from ray.tune.search.sample import Categorical
    from ray.tune.search.sample import Float as RayFloat

    assert adapt(RayFloat(0, 1)) == Float(0, 1)
    assert adapt(tune.choice(["a", 1])) == Choice(("a", 1))
    assert adapt(Categorical(["a", "b"]).grid()) == Grid(("a", "b"))


def test_domains_inside_a_choice_are_conditional():
    """Options may be dicts with domains, as deep as one likes."""
    space = SearchSpace({"net": tune.choice([{"kind": "a", "x": tune.uniform(0, 1)}, {"kind": "b"}])})
    assert [(leaf.path, leaf.conditions) for leaf in space.leaves] == [
        ("net", ()),
        ("net/0/x", (("net", 0),)),
    ]


def double(config):
    """Twice the value of x."""
    return 2 * config["x"]


def test_sample_from_is_derived():
    """A function of the configuration comes after what it needs."""
    config = SearchSpace({"x": tune.uniform(0, 1), "y": tune.sample_from(double)}).draw(0, 0)
    assert config["y"] == 2 * config["x"]


def test_a_function_that_draws_by_itself_is_refused():
    """Without the configuration there is nothing to derive, and nothing could be repeated."""
    with pytest.raises(SpaceError, match="y: sample_from: a function without argument"):
        SearchSpace({"y": tune.sample_from(lambda: 3)})


def test_a_grid_and_domains_together():
    """A whole param_space: grid, domains and constants."""
    space = SearchSpace(
        {"lr": tune.loguniform(1e-4, 1), "act": tune.grid_search(["relu", "tanh"]), "epochs": 5}
    )
    assert space.grid_size == 2
    assert space.constants == {"epochs": 5}
