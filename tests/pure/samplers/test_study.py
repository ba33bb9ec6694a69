"""Our records as an Optuna study (algorithm reference 5.2: table of states, twins of leaves, names)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState as Optuna
from scipy import stats

from prefect_tune.samplers.study import ask, book_of, rows_of
from prefect_tune.samplers.twins import twins_of
from prefect_tune.space import (
    SearchSpace,
    choice,
    derived,
    finrange,
    grid,
    logfinrange,
    lognormal,
    lograndint,
    loguniform,
    normal,
    ordinal,
    qlognormal,
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

UNIT = FloatDistribution(1e-6, 1 - 1e-6)
ONE = SearchSpace({"x": uniform(0, 1)})
NESTED = SearchSpace(
    {
        "net": choice([{"kind": "mlp", "w": randint(1, 9)}, {"kind": "cnn", "k": uniform(0, 1)}]),
        "lr": uniform(0, 1),
    }
)
TWINS = [
    (uniform(-1, 2), FloatDistribution(-1, 2)),
    (loguniform(1e-4, 1), FloatDistribution(1e-4, 1, log=True)),
    (quniform(0, 1, 0.1), FloatDistribution(0, 1, step=0.1)),
    (quniform(0.13, 0.98, 0.1, clip=False), FloatDistribution(0.1, 1.0, step=0.1)),
    (randint(1, 9), IntDistribution(1, 9)),
    (qrandint(2, 8, 2), IntDistribution(2, 8, step=2)),
    (lograndint(1, 100), IntDistribution(1, 100, log=True)),
    (choice(["a", "b", "c"]), CategoricalDistribution((0, 1, 2))),
    (ordinal(["s", "m", "l"]), IntDistribution(0, 2)),
    (finrange(0, 1, 5), IntDistribution(0, 4)),
    (logfinrange(1, 1000, 4, cast_int=True), IntDistribution(0, 3)),
    (reverseloguniform(0.5, 0.99), UNIT),
    (qloguniform(1, 100, 1), UNIT),
    (normal(0, 1), UNIT),
    (lognormal(0, 1), UNIT),
    (qnormal(0, 3, 1), UNIT),
    (qlognormal(0, 3, 1), UNIT),
    (truncnormal(0, 1, -1, 2), UNIT),
    (qlograndint(10, 100, 10), UNIT),
    (lograndint(1, 100, rounding="floor"), UNIT),
    (lograndint(1, 100, rounding="closed"), UNIT),
    (choice(["a", "b"], weights=[1, 3]), UNIT),
    (ordinal([1, 2, 10]), UNIT),
    (ordinal([1, 2, 10], kind="nn-log"), UNIT),
    (stats.norm(2, 3), UNIT),
    (stats.randint(0, 7), UNIT),
]


def study(space, records):
    """The trials of the study, as Optuna gives them."""
    twins = twins_of(space)
    return book_of(rows_of(space, twins, records), twins, RandomSampler(seed=0)).study


STATES = [
    (
        {"state": "completed", "losses": {1: 0.9, 3: 0.5}, "final": 0.5},
        Optuna.COMPLETE,
        0.5,
        {1: 0.9, 3: 0.5},
    ),
    ({"state": "completed", "final": 0.5}, Optuna.COMPLETE, 0.5, {}),
    ({"state": "stopped", "losses": {1: 0.9}}, Optuna.PRUNED, None, {1: 0.9}),
    ({"state": "paused", "losses": {1: 0.9, 3: 0.5}}, Optuna.PRUNED, None, {1: 0.9, 3: 0.5}),
    ({"state": "running", "losses": {1: 0.9}, "pending": (3,)}, Optuna.PRUNED, None, {1: 0.9}),
    ({"state": "running", "pending": (1,)}, Optuna.RUNNING, None, {}),
    ({"state": "pending"}, Optuna.RUNNING, None, {}),
    ({"state": "stopped"}, Optuna.FAIL, None, {}),
    ({"state": "failed"}, Optuna.FAIL, None, {}),
    ({"state": "failed", "losses": {1: 0.9}}, Optuna.FAIL, None, {1: 0.9}),
]


@pytest.mark.parametrize(("fields", "state", "value", "steps"), STATES)
def test_state_of_a_trial(record, fields, state, value, steps):
    """The table: evidence is what has a loss, under way what has none, failures are ignored."""
    (trial,) = study(ONE, [record(0, {"x": 0.25}, **fields)]).trials
    assert (trial.state, trial.value, trial.intermediate_values) == (state, value, steps)
    assert trial.params == {"x": 0.25}
    assert trial.distributions == {"x": FloatDistribution(0, 1)}


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_completed_trial_without_a_finite_loss_is_no_complete_one(record, bad):
    """Optuna rejects NaN; such a trial is told by its levels, or not at all."""
    trials = study(
        ONE,
        [
            record(0, {"x": 0.1}, "completed", final=bad),
            record(1, {"x": 0.2}, "completed", losses={1: 2.0, 3: bad or 1.0}, final=bad),
        ],
    ).trials
    assert [trial.state for trial in trials] == [Optuna.FAIL, Optuna.PRUNED]


def test_trials_keep_the_order_of_the_records(record):
    """Numbers rise with our indices: the model weighs old trials less."""
    records = [record(i, {"x": i / 10}, "running") for i in (0, 2, 3, 7)]
    assert [(t.number, t.params["x"]) for t in study(ONE, records).trials] == [
        (0, 0.0),
        (1, 0.2),
        (2, 0.3),
        (3, 0.7),
    ]


def test_names_are_paths_and_inactive_leaves_are_missing(record):
    """`net/0/w` belongs to the first option of `net`; a choice is its option's index."""
    trials = study(
        NESTED,
        [
            record(0, {"net": {"kind": "mlp", "w": 4}, "lr": 0.5}, "running"),
            record(1, {"net": {"kind": "cnn", "k": 0.25}, "lr": 0.5}, "running"),
        ],
    ).trials
    assert [trial.params for trial in trials] == [
        {"lr": 0.5, "net": 0, "net/0/w": 4},
        {"lr": 0.5, "net": 1, "net/1/k": 0.25},
    ]


def test_options_that_are_equal_in_python_stay_apart(record):
    """1 == True == 1.0 is one category for Optuna; their indices are three."""
    space = SearchSpace({"a": choice([1, True, 1.0])})
    trials = study(
        space, [record(i, {"a": value}, "running") for i, value in enumerate([True, 1.0, 1])]
    ).trials
    assert [trial.params["a"] for trial in trials] == [1, 2, 0]


@pytest.mark.parametrize(("domain", "distribution"), TWINS, ids=lambda part: repr(part)[:40])
def test_twin_of_each_kind_of_leaf(domain, distribution):
    """Optuna's own type where it draws as we do, indices for choices and positions, else u."""
    (twin,) = twins_of(SearchSpace({"p": domain}))
    assert (twin.path, twin.distribution) == ("p", distribution)


@pytest.mark.parametrize(("domain", "_"), TWINS, ids=lambda part: repr(part)[:40])
def test_values_go_there_and_back(domain, _):
    """What a leaf gives is inside its twin's range and comes back as it was, type included."""

    @settings(max_examples=40, deadline=None, database=None)
    @given(st.floats(0, 1))
    def check(u):
        (twin,) = twins_of(SearchSpace({"p": domain}))
        value = twin.leaf.domain.value(u)
        there = twin.into(value)
        assert twin.distribution._contains(twin.distribution.to_internal_repr(there))
        back = twin.back(there)
        assert type(back) is type(value)
        if isinstance(value, float) and 1e-6 < u < 1 - 1e-6:
            assert back == pytest.approx(value, rel=1e-6, abs=1e-9)
        elif not isinstance(value, float):
            assert back == value or twin.distribution == UNIT

    check()


def test_steps_come_back_as_decimals():
    """Optuna's third multiple of .1 is .30000000000000004, ours .3."""
    (twin,) = twins_of(SearchSpace({"p": quniform(0, 1, 0.1)}))
    assert [twin.back(k * 0.1) for k in range(11)] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


class Rolled:
    """A distribution that can only be drawn from."""

    def rvs(self, random_state):
        return float(random_state.random())


def test_what_no_model_can_learn_from_is_left_out(question, record):
    """Derived values, grids, and objects with `rvs` alone: filled in, not modelled."""
    space = SearchSpace(
        {"g": grid([1, 2]), "r": Rolled(), "x": uniform(0, 1), "d": derived(lambda config: config["x"] * 2)}
    )
    twins = twins_of(space)
    assert [twin.path for twin in twins] == ["x"]
    drawn = [record(i, space.draw(0, i), "completed", final=0.0) for i in range(3)]
    book = book_of(rows_of(space, twins, drawn), twins, RandomSampler(seed=0))
    config = ask(book.study, question(space, drawn), twins, 0)
    assert config["g"] == 2  # of trial 3: the grid goes 1, 2, 1, 2
    assert config["r"] == space.draw(0, 3)["r"]
    assert config["d"] == config["x"] * 2


@pytest.mark.parametrize("option", [0, 1])
def test_only_active_leaves_are_asked_for(question, option):
    """The tree is walked: leaves of the branch not taken are neither suggested nor in the configuration."""

    class Chooser(RandomSampler):
        def sample_independent(self, study, trial, name, distribution):
            asked.append(name)
            return option if name == "net" else super().sample_independent(study, trial, name, distribution)

    asked: list[str] = []
    twins = twins_of(NESTED)
    config = ask(book_of([], twins, Chooser(seed=0)).study, question(NESTED), twins, 0)
    assert asked == [["lr", "net", "net/0/w"], ["lr", "net", "net/1/k"]][option]
    NESTED.check(config)


def test_copies_of_shared_trials_are_independent(record):
    """A sampler that changes the copy it is given changes no other study."""
    twins = twins_of(ONE)
    rows = rows_of(ONE, twins, [record(0, {"x": 0.25}, "completed", losses={1: 1.0}, final=1.0)])
    first = book_of(rows, twins, RandomSampler(seed=0)).study
    trial = first.get_trials(deepcopy=True)[0]
    trial.params["x"] = 0.9
    trial.intermediate_values.clear()
    trial.distributions.clear()
    for again in (first, book_of(rows, twins, RandomSampler(seed=0)).study):
        assert again.trials[0].params == {"x": 0.25}
        assert again.trials[0].intermediate_values == {1: 1.0}
        assert set(again.trials[0].distributions) == {"x"}
