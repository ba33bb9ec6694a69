"""What `make bench-tuners` counts is what it says: the parts that can be checked without measuring."""

from __future__ import annotations

import doctest
import importlib
import math
from types import SimpleNamespace

import pytest

ROWS = 1000


@pytest.fixture
def made_up(part, monkeypatch):
    """A table whose curves fall for ever, each to a loss of its own; rows of every learning rate."""
    tables, methods = part("tuners_tables"), part("tuners_methods")
    np = pytest.importorskip("numpy")
    from prefect_tune.space import SearchSpace, loguniform

    rng = np.random.default_rng(0)
    bounds = {name: (low, high) for _, name, low, high in tables.RANGES}
    configs = tuple(
        {name: low * (high / low) ** float(rng.random()) for name, (low, high) in bounds.items()}
        for _ in range(ROWS)
    )
    units = np.array([tables.to_units(config) for config in configs])
    ends = [0.1 + abs(row[0] - 0.3) for row in units.tolist()]
    curves = [[0.7] + [end + 0.4 / epoch for epoch in range(1, 51)] for end in ends]
    space = SearchSpace({name: loguniform(*ends) for name, ends in bounds.items()})
    table = tables.Table("made up", curves, configs, space, units)
    monkeypatch.setattr(methods, "load", lambda name: table)
    return table


@pytest.mark.parametrize("name", ["tuners_tables", "tuners_stats", "tuners_kill"])
def test_examples_in_docstrings(part, name):
    """The examples of the pure parts hold."""
    failed, tried = doctest.testmod(part(name))
    assert (failed, tried > 0) == (0, True)


def test_a_round_of_hyperband_costs_what_its_plan_says(part, made_up):
    """R = 50, eta 3: 571 epochs by the published arithmetic; one worker never waits."""
    hyperband = importlib.import_module("prefect_tune.schedules").hyperband
    sync = part("tuners_sync")
    world = part("tuners_methods").Run("Hyperband", "made up", 0, workers=1).world
    order = list(range(49))
    steps, spent, end, idle = sync.synchronous(lambda: hyperband(50), made_up.curves, order, world, 10_000)
    assert (spent, end, idle) == (571, 571.0, 0.0)
    # The best of bracket 3's rows gets all the epochs of that bracket that its rungs leave to one.
    assert steps[-1][2] <= min(curve[27] for curve in made_up.curves[:27])


def test_workers_wait_at_the_rungs_of_synchronous_halving(part, made_up):
    """On 64 workers they wait; the asynchronous search keeps all of them busy until the epochs are spent."""
    methods = part("tuners_methods")
    idle = {
        name: methods.simulated(methods.Run(name, "made up", 0, workers=64, budget=3000)).idle
        for name in ("synchronous halving", "ASHA promotion")
    }
    assert idle["synchronous halving"] > 0.3
    assert idle["ASHA promotion"] == 0


@pytest.mark.parametrize("name", ["random", "ASHA stopping", "ASHA promotion", "PASHA", "ASHA + TPE"])
def test_nothing_starts_once_the_epochs_are_spent(part, made_up, name):
    """What runs at the end of the budget ends by itself: at most one trial per worker, to epoch 50."""
    methods = part("tuners_methods")
    trace = methods.simulated(methods.Run(name, "made up", 1, budget=200))
    assert 200 <= trace.spent < 200 + 4 * 50
    assert trace.run.workers == 4
    assert [step[2] for step in trace.steps] == sorted((step[2] for step in trace.steps), reverse=True)


def test_optuna_gets_the_rows_that_it_is_told(part, made_up):
    """Optuna's trials carry the settings of rows, each row once."""
    methods, optuna = part("tuners_methods"), part("tuners_optuna")
    search = optuna.OptunaSearch(made_up, 0, 3)
    trace = methods.conduct(methods.Run("Optuna SHA + TPE", "made up", 0, budget=150), search, search.choose)
    trials = search.study.trials
    assert len(trials) == trace.trials > 10
    rows = [made_up.configs.index(trial.params) for trial in trials]
    assert len(set(rows)) == len(rows)
    assert any(trial.state.name == "PRUNED" for trial in trials)


def test_a_table_is_judged_from_a_coin_to_its_best(part, made_up):
    """The table's best has regret 0, a coin 1, and so has whatever diverged."""
    best = min(min(curve[1:]) for curve in made_up.curves)
    assert [made_up.regret(loss) for loss in (best, math.log(2), 5.0, math.nan)] == [0, 1, 1, 1]


def test_pasha_is_judged_by_the_last_epoch(part, made_up):
    """Curves that never cross: PASHA stops growing and finds the same row for less."""
    found = part("tuners_pasha").pair(made_up.curves, list(range(256)), 3)
    assert found["pasha_regret"] == found["asha_regret"] == 0
    assert found["pasha_epochs"] < found["asha_epochs"]


def test_seeds_are_compared_with_their_like(part):
    """A method with few seeds is compared with the control's same seeds."""
    found = {
        "tables": {
            "one": {
                "ours": {"half": [0.2, 0.2], "final": [0.1, 0.1]},
                "control": {"half": [0.1, 0.1, 9.0], "final": [0.2, 0.2, 0.0]},
            }
        }
    }
    said = part("tuners_simulated").below(found, "ours", "control")
    assert (said["half_below"], said["final_below"]) == (0, 1)
    assert said["final"]["one"]["mean_difference"] == pytest.approx(-0.1)


def test_finished_runs_are_read_back(part, tmp_path, made_up, monkeypatch):
    """A file of runs gives back the runs that it was written from, and nothing is simulated again."""
    simulated, methods = part("tuners_simulated"), part("tuners_methods")
    run = methods.Run("random", "made up", 3, budget=60)
    trace = methods.simulated(run)
    file = tmp_path / "runs"
    asked = simulated.Asked(runs=file, processes=1)
    monkeypatch.setattr(simulated, "ProcessPoolExecutor", _Here)
    monkeypatch.setattr(simulated, "as_completed", lambda waiting: list(waiting))
    assert simulated.perform([run], asked)[0].steps == trace.steps
    monkeypatch.setattr(_Here, "submit", None)
    (again,) = simulated.perform([run], asked)
    assert (again.run, [tuple(step) for step in again.steps]) == (run, trace.steps)


class _Here:
    """A pool that runs everything at once, here."""

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, function, run):
        value = function(run)
        return _Done(value)


class _Done(SimpleNamespace):
    """A future that has its value; hashed by what it is."""

    def __init__(self, value):
        super().__init__(value=value)

    def __hash__(self):
        return id(self)

    def result(self):
        return self.value
