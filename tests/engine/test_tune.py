"""`tune` on a real API and a real Dask cluster: what it decides, finds again, and survives."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from prefect_tune import TuneResult, atune, tune
from prefect_tune.errors import UserError
from prefect_tune.schedules.asynchronous.asha import ASHA
from prefect_tune.space import SearchSpace, choice, uniform
from prefect_tune.trials import TrialState
from prefect_tune.tuning.metrics import UnknownMetric

sys.path.append(str(Path(__file__).parent))
import objectives
from objectives import MOST, loss

SPACE = {"x": uniform(0.0, 1.0), "y": uniform(0.0, 1.0)}


@pytest.fixture
def place(prefect_api: str, dask_threads: Any, tmp_path: Path) -> dict[str, Any]:
    """Where the searches of a test run."""
    return {"cluster": dask_threads.scheduler_address, "store": str(tmp_path / "store"), "verbose": 0}


def logged(path: Path) -> Counter:
    """(x, epoch) -> how often it was trained."""
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()


def rows(result: TuneResult) -> list[tuple[Any, ...]]:
    return [(t.index, t.key, t.state, [(r.resource, r.loss) for r in t.reports]) for t in result]


def test_plain_function(place):
    """A function that returns a number: every configuration once, the best one found by hand."""
    result = tune(objectives.plain, SPACE, n_trials=12, sampler="random", **place)
    losses = [objectives.plain(t.config) for t in result]
    assert [t.last.loss for t in result] == losses
    assert result.best().value == min(losses)
    assert result.best().trial.index == losses.index(min(losses))
    assert all(t.state is TrialState.COMPLETED for t in result)


@pytest.mark.parametrize("objective", [objectives.epochs, objectives.forgetful, objectives.calling])
@pytest.mark.parametrize("kind", ["stopping", "promotion"])
def test_every_way_to_report_gives_the_same_table(place, tmp_path, objective, kind):
    """A generator with states, one without and a function that calls: the same trials, the same losses."""
    schedule = ASHA(MOST, type=kind)
    asked = {"n_trials": 8, "sampler": "random", "schedule": schedule, "max_concurrent": 1, **place}
    log = tmp_path / "log"
    result = tune(objective, {**SPACE, "log": str(log)}, points_to_evaluate=[], **asked)
    for trial in result:
        for report in trial.reports:
            assert report.loss == loss(trial.config, report.resource)
    assert any(t.resource == MOST for t in result)
    assert any(t.resource == 1 for t in result)
    units = sum(t.resource for t in result)
    assert result.cost.trained == units
    if objective is objectives.epochs:
        assert sum(logged(log).values()) == units


def test_second_run_trains_nothing(place, tmp_path):
    """The same search again: the same table, no job, no unit trained."""
    log = tmp_path / "log"
    asked = {"n_trials": 6, "sampler": "random", "schedule": "asha", "max_resource": MOST, **place}
    first = tune(objectives.epochs, {**SPACE, "log": str(log)}, **asked)
    before = logged(log)
    again = tune(objectives.epochs, {**SPACE, "log": str(log)}, **asked)
    assert rows(again) == rows(first)
    assert again.cost.task_runs == 0
    assert logged(log) == before


def test_another_schedule_finds_what_was_trained(place, tmp_path):
    """After ASHA to 9, training all of the same configurations to 9 trains only what ASHA has stopped."""
    log = tmp_path / "log"
    asked = {"n_trials": 6, "sampler": "random", "max_resource": MOST, **place}
    space = {**SPACE, "log": str(log)}
    first = tune(objectives.epochs, space, schedule="asha", **asked)
    done = sum(t.resource for t in first)
    second = tune(objectives.epochs, space, schedule="fifo", **asked)
    assert {t.resource for t in second} == {MOST}
    assert second.cost.known == done
    assert second.cost.trained == 6 * MOST - done
    assert set(logged(log).values()) == {1}  # no epoch of any configuration was trained twice


def test_raised_n_trials_goes_on(place):
    """n_trials is the total: 5, then 8, is 3 more."""
    asked = {"sampler": "random", **place}
    tune(objectives.plain, SPACE, n_trials=5, **asked)
    result = tune(objectives.plain, SPACE, n_trials=8, **asked)
    assert len(result) == 8
    assert result.cost.task_runs == 3


def test_equal_configurations_run_once_unless_noisy(place, tmp_path):
    """Two of a kind are evaluated once; with noisy=True each is run."""
    log = tmp_path / "log"
    space = {"x": choice([1.0]), "log": str(log)}
    tune(objectives.noisy, space, n_trials=1, sampler="random", name="one", **place)
    tune(objectives.noisy, space, n_trials=1, sampler="random", name="two", **place)
    assert sum(logged(log).values()) == 1
    tune(objectives.noisy, space, n_trials=1, sampler="random", name="three", noisy=True, **place)
    assert sum(logged(log).values()) == 2


MISBEHAVIOURS = {
    "raises": ("raised", "ValueError: a bad learning rate"),
    "crashes": ("crashed", "SIGSEGV"),
    "leaves": ("crashed", "exited with code 3"),
    "exits": ("raised", "SystemExit: enough"),
    "text": ("nonsense", "got much (str)"),
    "nothing": ("nonsense", "None"),
    "hangs": ("time", "longer than trial_seconds=6"),
    "eats": ("memory", "trial_memory is 700 MiB"),
}


def test_misbehaviour_costs_its_trial_only(place):
    """Whatever an objective does, its trial fails with the cause, and the others are evaluated."""
    points = [{"kind": kind} for kind in (*MISBEHAVIOURS, "fine")]
    result = tune(
        objectives.misbehaving,
        {"kind": choice([point["kind"] for point in points])},
        n_trials=len(points),
        points_to_evaluate=points,
        trial_seconds=6,
        trial_memory="700 MiB",
        **place,
    )
    for trial in result:
        kind = trial.config["kind"]
        if kind == "fine":
            assert trial.state is TrialState.COMPLETED
            continue
        fault, words = MISBEHAVIOURS[kind]
        assert trial.state is TrialState.FAILED, kind
        assert trial.fault == fault, kind
        assert words in trial.error, kind
    assert result.num_errors == len(MISBEHAVIOURS)
    assert result.best().config == {"kind": "fine"}


def test_state_of_the_best_trial_is_loaded(place):
    """load_best gives the state that the best trial yielded with its last report."""
    result = tune(
        objectives.epochs, SPACE, n_trials=4, sampler="random", schedule="asha", max_resource=MOST, **place
    )
    assert result.load_best() == result.best().trial.resource


@pytest.mark.parametrize("run", ["first", "second"])
def test_artefacts_are_loaded(place, run):
    """The last picture of the best trial, the note of another; a second search finds both in the store."""
    asked = {"n_trials": 3, "sampler": "random", "name": "first", **place}
    result = tune(objectives.pictured, SPACE, **asked)
    if run == "second":
        result = tune(objectives.pictured, SPACE, **{**asked, "name": "second"})
    assert result.load_artefact("picture") == [result.best_config["x"], MOST // 2 * 2]
    assert [result.load_artefact("note", i) for i in range(3)] == [{"y": t.config["y"]} for t in result]
    with pytest.raises(UserError, match=r"trial 1 has no artefact 'pictur'\..*'picture'"):
        result.load_artefact("pictur", trial=1)


def test_task_runs_are_one_per_stretch(place):
    """In the UI: one task run for each rung that a trial reaches, named after trial and stretch."""
    result = tune(
        objectives.epochs,
        SPACE,
        n_trials=5,
        sampler="random",
        schedule={"asha": {"max_resource": MOST}},
        name="seen",
        **place,
    )
    stretches = {1: 1, 3: 2, MOST: 3}
    assert result.cost.task_runs == sum(stretches[t.resource] for t in result)


def test_async_twin_inside_a_flow(place):
    """atune composes: a subflow of the caller's flow, with the parameters as JSON."""

    @flow
    async def parent() -> TuneResult:
        return await atune(objectives.plain, SPACE, n_trials=2, sampler="random", name="inner", **place)

    async def look() -> tuple[TuneResult, list[Any]]:
        result = await parent()
        async with get_client() as client:
            return result, [run for run in await client.read_flow_runs() if run.name == "inner"]

    result, runs = asyncio.run(look())
    assert len(result) == 2
    assert runs
    given = runs[-1].parameters
    assert given["space"] == SearchSpace(SPACE).to_json()
    assert given["n_trials"] == 2


def test_parameters_in_json_form(place):
    """What the UI's form gives: the objective by name, the space, schedule and sampler as JSON."""
    result = tune(
        "objectives:epochs",
        SearchSpace(SPACE).to_json(),
        n_trials=3,
        sampler={"tpe": {"startup": 2}},
        schedule={"asha": {"eta": 3}},
        max_resource=MOST,
        **place,
    )
    assert len(result) == 3


BAD = {
    "inverted": ({"space": {"x": {"uniform": [1, 0]}}}, "x"),
    "log of zero": ({"space": {"x": {"loguniform": [0, 1]}}}, "x"),
    "point outside": ({"points_to_evaluate": [{"x": 3.0}]}, "x.*3.0"),
    "unknown key in a point": ({"points_to_evaluate": [{"xx": 0.5}]}, "xx"),
    "no budget": ({"n_trials": None}, "n_trials"),
    "mode": ({"mode": "least"}, "mode"),
    "sampler": ({"sampler": "tpee"}, "Did you mean 'tpe'"),
    "schedule": ({"schedule": "ascha", "max_resource": 9}, "Did you mean 'asha'"),
    "setting": ({"schedule": {"asha": {"etta": 3}}, "max_resource": 9}, "Did you mean 'eta'"),
    "no maximum": ({"schedule": "asha"}, "max_resource"),
    "grace": ({"schedule": {"asha": {"grace_period": 10}}, "max_resource": 9}, "grace_period"),
    "no such function": ({"objective": "objectives:epoch"}, "Did you mean 'epochs'"),
    "no such module": ({"objective": "objektives:epochs"}, "objektives"),
    "not callable": ({"objective": 3}, "callable"),
    "rungs of a plain function": (
        {"objective": objectives.plain, "schedule": "asha", "max_resource": 9},
        "yield",
    ),
    "failures": ({"max_failures": -1}, "max_failures"),
    "seed": ({"seed": "a"}, "seed"),
    "resources": ({"trial_resources": {"GPU": -1}}, "GPU"),
    "seconds": ({"trial_seconds": 0}, "trial_seconds"),
    "memory": ({"trial_memory": "much"}, "trial_memory"),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=list(BAD))
def test_bad_input_is_refused_before_a_flow_run(changes, words, place):
    """Each mistake names its place and the next move, and no flow run exists."""
    asked = {
        "objective": objectives.epochs,
        "space": SPACE,
        "n_trials": 2,
        "name": "never",
        **place,
        **changes,
    }
    with pytest.raises(UserError, match=words):
        tune(**asked)


def test_resources_that_nobody_offers_are_refused(place):
    """A trial that no worker could ever take: said at once, with what the workers offer."""
    with pytest.raises(UserError, match=r"no worker offers.*TPU.*GPU"):
        tune(objectives.plain, SPACE, n_trials=2, trial_resources={"TPU": 1}, **place)


def test_trials_run_where_their_resources_are(place):
    """trial_resources={"GPU": 1}: every trial runs, on the one worker that has it."""
    result = tune(objectives.plain, SPACE, n_trials=3, trial_resources={"GPU": 1}, name="on a GPU", **place)
    assert all(t.state is TrialState.COMPLETED for t in result)


def test_unknown_metric_ends_the_search_at_the_first_report(place):
    """The metric is not among those reported: said at once, with what there is."""
    with pytest.raises(UnknownMetric, match="Did you mean 'loss'"):
        tune(objectives.epochs, SPACE, metric="los", n_trials=3, max_resource=MOST, **place)
