"""Any Optuna sampler, and CMA-ES: copies, seeds, and the history told again."""

from __future__ import annotations

import importlib.util
import json
import random
import statistics
import subprocess
import sys

import numpy as np
import optuna
import pytest
from optuna.samplers import (
    BaseSampler,
    GridSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from prefect_tune.errors import MissingDependency, UserError
from prefect_tune.samplers import replay
from prefect_tune.samplers.cmaes import CmaEs
from prefect_tune.samplers.draw import Random
from prefect_tune.samplers.foreign import OptunaSampler
from prefect_tune.samplers.replay import reseed
from prefect_tune.space import SearchSpace, choice, randint, uniform

PLANE = SearchSpace({"x": uniform(-5, 5), "y": uniform(-5, 5)})
NESTED = SearchSpace(
    {
        "net": choice([{"kind": "mlp", "w": randint(1, 9)}, {"kind": "cnn", "k": uniform(0, 1)}]),
        "lr": uniform(0, 1),
    }
)


def bowl(config):
    return (config["x"] - 3) ** 2 + (config["y"] + 1) ** 2


def needs_cmaes():
    pytest.importorskip("cmaes", reason="CMA-ES needs the package cmaes")


MAKERS = {
    "random": lambda: OptunaSampler(RandomSampler()),
    "tpe": lambda: OptunaSampler(TPESampler()),
    "nsga": lambda: OptunaSampler(NSGAIISampler(population_size=8)),
    "qmc": lambda: OptunaSampler(lambda seed: QMCSampler(seed=seed, warn_independent_sampling=False)),
    "cma-es": lambda: CmaEs(population=6),
}


@pytest.fixture(params=MAKERS)
def make(request):
    """A function that makes a fresh sampler with the same settings."""
    if request.param == "cma-es":
        needs_cmaes()
    return MAKERS[request.param]


def history(search, record, sampler, count=24):
    """A search's records, among them a failed, a stopped and two running trials."""
    records = search(sampler, PLANE, bowl, count)
    changes = {2: ("failed", {}), 5: ("stopped", {1: 9.0}), 11: ("running", {}), 20: ("running", {1: 1.0})}
    for i, (state, losses) in changes.items():
        records[i] = record(i, records[i].config, state, losses=losses)
    return records


def test_the_answer_depends_on_the_question_alone(search, question, record, ended, make):
    """Whatever was asked before, with a fresh object, and with nothing remembered: the same suggestion."""
    records = history(search, record, make())
    asked = question(PLANE, records)
    sampler = make()
    first = sampler.suggest(asked)
    sampler.suggest(question(PLANE, records[:12]))
    sampler.suggest(question(PLANE, records, seed=5))
    changed = [ended(0, records[0].config, 99.0), *records[1:]]
    sampler.suggest(question(PLANE, changed))
    assert sampler.suggest(asked) == first
    assert sampler.suggest(question(PLANE, records[::-1])) == first
    replay._KNOWN.clear()
    assert make().suggest(asked) == first


def test_a_search_resumed_at_any_trial_goes_on_as_it_was(search, question, make):
    """Records of one search, asked again from the start with nothing remembered: the same configurations."""
    records = search(make(), PLANE, bowl, 20)
    for index in (0, 1, 7, 13, 19):
        replay._KNOWN.clear()
        assert make().suggest(question(PLANE, records[:index])) == records[index].config


def test_the_object_that_was_given_is_never_used(search, question):
    """Neither its random numbers nor its attributes move."""
    given = NSGAIISampler(population_size=8, seed=1)
    before = given._rng.rng.get_state()[1].tolist(), sorted(vars(given))
    search(OptunaSampler(given), PLANE, bowl, 20)
    assert (given._rng.rng.get_state()[1].tolist(), sorted(vars(given))) == before


def test_index_and_seed_change_the_draws(question):
    """An unseeded sampler is seeded by us: by search and trial."""
    sampler = OptunaSampler(RandomSampler())
    answers = [sampler.suggest(question(PLANE, [], i, seed=seed)) for i in range(4) for seed in range(4)]
    assert len({json.dumps(answer) for answer in answers}) == 16


def test_every_generator_inside_is_seeded():
    """Optuna's lazy ones, those of samplers inside it, numpy's and Python's."""

    class Mine(BaseSampler):
        def __init__(self):
            self.inner = RandomSampler()
            self.numbers = np.random.default_rng()
            self.dice = random.Random()
            self.old = np.random.RandomState()
            self.itself = self

        def draws(self):
            return (
                self.inner._rng.rng.random(),
                self.numbers.random(),
                self.dice.random(),
                self.old.random(),
            )

        infer_relative_search_space = sample_relative = sample_independent = None

    first, second = Mine(), Mine()
    reseed(first, 7)
    reseed(second, 7)
    drawn = first.draws()
    assert drawn == second.draws()
    assert len(set(drawn)) == 4
    reseed(first, 8)
    assert first.draws() != drawn


def test_a_sequence_goes_on_where_it_was(question, search):
    """Optuna's Sobol counts its points in the study: the replay makes it count."""
    made = lambda seed: QMCSampler(seed=seed, scramble=False)  # noqa: E731
    records = search(OptunaSampler(made), PLANE, bowl, 9)
    # Unscrambled Sobol in 2-d begins (0, 0), (1/2, 1/2), (3/4, 1/4), (1/4, 3/4); the first trial is random.
    points = [((r.config["x"] + 5) / 10, (r.config["y"] + 5) / 10) for r in records[1:5]]
    assert points == [(0.0, 0.0), (0.5, 0.5), (0.75, 0.25), (0.25, 0.75)]


class Counter(BaseSampler):
    """Proposes 0.01, 0.02, … by counting in itself."""

    def __init__(self):
        self.asked = 0
        self.heard = 0

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, space):
        self.asked += 1
        return {}

    def sample_independent(self, study, trial, name, distribution):
        return self.asked / 100 + self.heard / 10_000

    def after_trial(self, study, trial, state, values):
        self.heard += 1


def test_a_sampler_of_ones_own_that_remembers(search, question):
    """State kept in the object is carried through the history, and results are told to it."""
    space = SearchSpace({"x": uniform(0, 1)})
    records = search(OptunaSampler(Counter()), space, lambda config: 0.0, 5)
    assert [r.config["x"] for r in records] == pytest.approx([0.01, 0.0201, 0.0302, 0.0403, 0.0504])
    fresh = search(OptunaSampler(Counter(), replay=False), space, lambda config: 0.0, 1)
    assert fresh[0].config["x"] == 0.01


def test_results_reach_an_evolutionary_sampler(search):
    """NSGA-II with generations of ten gets nearer than its own random start, on most seeds."""
    better = 0
    for seed in range(5):
        records = search(OptunaSampler(NSGAIISampler(population_size=10)), PLANE, bowl, 60, seed=seed)
        losses = [r.final for r in records]
        better += statistics.median(losses[-20:]) < statistics.median(losses[:10])
    assert better >= 4


def test_conditional_leaves_reach_any_sampler(search):
    """The tree is walked; every configuration is one of the space's."""
    for record in search(
        OptunaSampler(NSGAIISampler(population_size=6)), NESTED, lambda config: config["lr"], 25
    ):
        NESTED.check(record.config)


def test_an_own_start(question, ended):
    """With `startup` the first draws are ours."""
    records = [ended(i, PLANE.draw(0, i), 0.0) for i in range(4)]
    sampler = OptunaSampler(TPESampler(), startup=5)
    assert sampler.suggest(question(PLANE, records)) == Random().suggest(question(PLANE, records))


def test_identity_tells_settings_apart():
    """Class and plain settings, also of samplers inside; the form is plain data."""
    identities = [
        OptunaSampler(NSGAIISampler()).identity(),
        OptunaSampler(NSGAIISampler(population_size=9)).identity(),
        OptunaSampler(TPESampler()).identity(),
        OptunaSampler(TPESampler(), startup=3).identity(),
        OptunaSampler(lambda seed: QMCSampler(seed=seed)).identity(),
    ]
    assert len({json.dumps(item, sort_keys=True) for item in identities}) == 5
    assert OptunaSampler(TPESampler()).identity() == OptunaSampler(TPESampler()).identity()


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: "tpe", "made must be an Optuna sampler or a function of a seed that returns one, got 'tpe'"),
        (lambda: GridSampler({"x": [1, 2]}), "GridSampler stops Optuna's own loop; use prefect_tune's Grid"),
    ],
)
def test_what_is_no_sampler_is_refused_when_made(made, text):
    """Place, value, next move."""
    with pytest.raises(UserError, match=text):
        OptunaSampler(made())


def test_optuna_is_silent_in_a_replay(search, caplog):
    """Also where a sampler complains at every trial that it cannot handle a branch."""
    optuna.logging.enable_propagation()
    try:
        sampler = OptunaSampler(lambda seed: QMCSampler(seed=seed))
        search(sampler, NESTED, lambda config: config["lr"], 12)
    finally:
        optuna.logging.disable_propagation()
    assert [item for item in caplog.records if item.name.startswith("optuna")] == []


# CMA-ES


def test_cma_es_closes_in(search):
    """Within 100 trials nearer than 0.1 to the bottom of a bowl, on 5 of 6 seeds; random search seldom."""
    needs_cmaes()
    close = sum(search(CmaEs(), PLANE, bowl, 100, seed=s, goal=0.01)[-1].final <= 0.01 for s in range(6))
    control = sum(min(r.final for r in search(Random(), PLANE, bowl, 100, seed=s)) <= 0.01 for s in range(6))
    assert close >= 5 > 2 >= control


def test_cma_es_draws_choices_and_branches_independently(search):
    """It handles numbers; the rest comes from the space's own kind of draw, in its range."""
    needs_cmaes()
    space = SearchSpace({"c": choice(["a", "b"]), "x": uniform(0, 1), "y": uniform(0, 1)})
    records = search(CmaEs(margin=True), space, lambda config: config["x"], 30)
    assert {r.config["c"] for r in records} == {"a", "b"}
    for r in search(CmaEs(), NESTED, lambda config: config["lr"], 30):
        NESTED.check(r.config)


def test_cma_es_without_its_package_says_what_to_install(monkeypatch):
    """When the sampler is made, not in the middle of a search."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "prefect_tune.samplers.cmaes.find_spec", lambda name: None if name == "cmaes" else found(name)
    )
    with pytest.raises(
        MissingDependency, match=r"CmaEs: the package cmaes is not installed; run: pip install"
    ):
        CmaEs()


def test_cma_es_settings_and_identity():
    """Checked when made; told apart."""
    needs_cmaes()
    assert CmaEs(population=8).identity() != CmaEs().identity() != CmaEs(margin=True).identity()
    with pytest.raises(UserError, match="CmaEs: population must be an int of at least 4, got 3"):
        CmaEs(population=3)
    with pytest.raises(UserError, match="CmaEs: startup must be an int of at least 0, got -1"):
        CmaEs(startup=-1)


def test_no_module_of_the_samplers_loads_optuna_by_itself():
    """Optuna takes a second to import and is loaded by the first suggestion that needs it."""
    names = (
        "tpe",
        "cmaes",
        "foreign",
        "replay",
        "study",
        "twins",
        "by_rung",
        "limiter",
        "qmc",
        "grid",
        "draw",
    )
    lines = [f"import prefect_tune.samplers.{name}" for name in names]
    code = "; ".join([*lines, "import sys", "print('optuna' in sys.modules, 'cmaes' in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
