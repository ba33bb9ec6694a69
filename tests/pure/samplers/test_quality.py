"""Samplers find what they should (algorithm reference 5.8): 20 seeds, random search as the control.

The functions and marks are published for TPE, each with one seed. A run ends when its mark is reached.
"""

from __future__ import annotations

import math

import pytest

from prefect_tune.samplers.qmc import Sobol
from prefect_tune.samplers.tpe import TPE
from prefect_tune.space import SearchSpace, choice, lognormal, uniform

SEEDS = range(20)


def quadratic(config):
    return (config["x"] - 3) ** 2


def capped(config):
    return min(0.1 * (config["x"] - 10) ** 2, 10)


def peak(config):
    return -1 / (1 + math.exp(-config["x"])) - 2 * math.exp(-((config["x"] + 10) ** 2))


def waves(config):
    z = config["x"] + math.pi * config["c"]
    return -(math.sin(z) + 2 * math.exp(-((z / 5) ** 2)))


def branin(config):
    x, y = config["x"], config["y"]
    bowl = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


# The peak is as wide as 1/18 of its range and everything else leads away from it. Whether it is found is a
# matter of the start: ten random trials miss it in half of the runs, 32 Sobol points do not.
CASES = {
    "quadratic": (SearchSpace({"x": uniform(-5, 5)}), quadratic, 1e-5, 1000, TPE()),
    "capped": (SearchSpace({"x": lognormal(0, 2)}), capped, 0.01, 250, TPE()),
    "peak": (SearchSpace({"x": uniform(-15, 15)}), peak, -1.96, 100, TPE(startup=32, initial=Sobol())),
    "waves": (SearchSpace({"x": uniform(-20, 20), "c": choice([0, 1])}), waves, -2.0, 50, TPE()),
    "branin": (SearchSpace({"x": uniform(-5, 10), "y": uniform(0, 15)}), branin, 0.7, 200, TPE()),
}
MOST_BY_CHANCE = {"quadratic": 14, "capped": 17, "peak": 14, "waves": 20, "branin": 17}


@pytest.mark.parametrize("name", CASES)
def test_tpe_reaches_the_published_mark(search, name):
    """On at least 18 of 20 seeds."""
    space, loss, mark, trials, sampler = CASES[name]
    reached = [search(sampler, space, loss, trials, seed=seed, goal=mark)[-1].final <= mark for seed in SEEDS]
    assert sum(reached) >= 18


@pytest.mark.parametrize("name", CASES)
def test_random_search_fails_some(name):
    """The marks mean something: by chance they are missed, but for the easy `waves`."""
    space, loss, mark, trials, _ = CASES[name]
    reached = [any(loss(space.draw(seed, i)) <= mark for i in range(trials)) for seed in SEEDS]
    assert sum(reached) <= MOST_BY_CHANCE[name]
