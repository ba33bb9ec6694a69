"""Suggested values lie in the domain and have the right type (algorithm reference 4.11, property 9)."""

from __future__ import annotations

import importlib.util
import pickle
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.samplers import NSGAIISampler, TPESampler
from scipy import stats

from prefect_tune.samplers.cmaes import CmaEs
from prefect_tune.samplers.contract import NoSuggestion, Question
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.foreign import OptunaSampler
from prefect_tune.samplers.limiter import Limited
from prefect_tune.samplers.qmc import Halton, LatinHypercube, Sobol
from prefect_tune.samplers.tpe import TPE
from prefect_tune.space import (
    Grid,
    SearchSpace,
    choice,
    finrange,
    grid,
    logfinrange,
    lognormal,
    lograndint,
    loguniform,
    normal,
    ordinal,
    qlograndint,
    qloguniform,
    qnormal,
    qrandint,
    quniform,
    randint,
    reverseloguniform,
    truncnormal,
    uniform,
)
from prefect_tune.trials import TrialRecord, TrialState

LEAVES = [
    uniform(-1, 1e6),
    uniform(2, 2),
    loguniform(1e-8, 10),
    reverseloguniform(0.5, 0.999),
    quniform(-1, 1, 0.1),
    qloguniform(1, 100, 3),
    normal(0, 1),
    lognormal(0, 3),
    qnormal(0, 10, 2),
    truncnormal(0, 1, -1, 1),
    randint(-3, 3),
    randint(5, 5),
    lograndint(1, 1000),
    lograndint(1, 10, rounding="floor"),
    qrandint(-6, 6, 3),
    qlograndint(10, 1000, 10),
    choice([1, 1.0, True, None, "1"]),
    choice(["only"]),
    choice(["a", "b", "c"], weights=[0, 1, 2]),
    ordinal([1, 2, 10, 100]),
    ordinal(["s", "m", "l"]),
    finrange(0, 1, 7),
    logfinrange(1, 1024, 11, cast_int=True),
    grid(["g", "h"]),
    stats.gamma(2),
    stats.binom(9, 0.3),
]
leaf = st.sampled_from(LEAVES)
inside = leaf.filter(lambda domain: not isinstance(domain, Grid))
branch = st.dictionaries(st.sampled_from("xyz"), inside, max_size=2)
options = st.lists(branch, min_size=1, max_size=3).map(
    lambda parts: choice([{"kind": str(i), **part} for i, part in enumerate(parts)])
)
spaces = st.dictionaries(st.sampled_from("abcde"), st.one_of(leaf, options), min_size=1, max_size=4)

SAMPLERS = {
    "random": Random(),
    "sobol": Sobol(),
    "halton": Halton(),
    "hypercube": LatinHypercube(64),
    "tpe": TPE(startup=3),
    "tpe by rung": TPE(startup=3, fidelity="rung", min_losses=2),
    "limited tpe": Limited(TPE(startup=3), 4, batch=True),
    "nsga": OptunaSampler(NSGAIISampler(population_size=3)),
    "optuna's tpe": OptunaSampler(TPESampler(n_startup_trials=3)),
    "cma-es": None,
}


def told(index, config, kind, loss):
    """A record in one of six conditions."""
    levels = {1: loss, 3: loss / 2}
    state, losses, final = [
        (TrialState.COMPLETED, levels, loss),
        (TrialState.STOPPED, {1: loss}, None),
        (TrialState.PAUSED, levels, None),
        (TrialState.RUNNING, {1: loss}, None),
        (TrialState.RUNNING, {}, None),
        (TrialState.FAILED, {}, None),
    ][kind]
    return TrialRecord(index, config, state, losses, (), final)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_suggestion_is_one_of_the_spaces(name):
    """Any space, any history: every active leaf, no other key, in its domain, type-exactly."""
    if name == "cma-es" and importlib.util.find_spec("cmaes") is None:
        pytest.skip("CMA-ES needs the package cmaes")
    sampler = SAMPLERS[name] or CmaEs(population=4)

    @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        spaces,
        st.lists(st.tuples(st.integers(0, 5), st.floats(-1e6, 1e6)), min_size=7, max_size=10),
        st.integers(0, 2**40),
    )
    def check(definition, events, seed):
        space, records = SearchSpace(definition), []
        for index, (kind, loss) in enumerate(events):
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*redraws", UserWarning)
                config = sampler.suggest(Question(index, space, tuple(records), (1, 3, 9), seed))
            if isinstance(config, NoSuggestion):
                config = space.draw(seed, index)
            space.check(config)
            values = space.values(config)
            assert space.assemble(values) == config
            for leaf in space.leaves:
                assert (leaf.path in values) == leaf.active(values)
                if leaf.path in values:
                    value, exact = at(config, leaf, values), leaf.domain.cast(values[leaf.path])
                    assert type(values[leaf.path]) is type(exact)
                    assert type(value).__module__ == "builtins"
            records.append(told(index, config, kind, loss))

    check()


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_travel(name):
    """Pickled and read back: the same settings, the same suggestion."""
    if name == "cma-es" and importlib.util.find_spec("cmaes") is None:
        pytest.skip("CMA-ES needs the package cmaes")
    sampler = SAMPLERS[name] or CmaEs(population=4)
    copy = pickle.loads(pickle.dumps(sampler))
    assert copy.identity() == sampler.identity()
    assert copy.startup == sampler.startup
    space = SearchSpace({"x": uniform(0, 1), "y": choice(["a", "b"])})
    records = tuple(told(i, space.draw(0, i), 0, float(i)) for i in range(12))
    asked = Question(12, space, records, (1, 3), 0)
    assert copy.suggest(asked) == sampler.suggest(asked)


def at(config, leaf, values):
    """What stands in the configuration at a leaf's path, option indices left out."""
    keys, place, here = leaf.path.split("/"), "", config
    for key in keys:
        skip = place in values and place != "" and key.isdigit()
        place = f"{place}/{key}" if place else key
        here = here if skip else here[key]
    return here
