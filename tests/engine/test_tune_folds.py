"""`tune` over scikit-learn estimators, on a real API and a real Dask cluster."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import prefect_tune
from prefect_tune import grid_search, tune
from prefect_tune.errors import UserError
from prefect_tune.flows.tuning import spread
from prefect_tune.space import SearchSpace, choice, loguniform, uniform
from prefect_tune.trials import TrialState

sys.path.append(str(Path(__file__).parent))
import objectives
from folded import Nearest, Shift, calls

X, y = load_iris(return_X_y=True)
SHRINKS = [1.0, 0.9, 0.8, 0.5, 0.3, 0.1, -0.5, -1.0]


def pipe(log: Any = "") -> Pipeline:
    return Pipeline([("shift", Shift(log=str(log))), ("near", Nearest(log=str(log)))])


@pytest.fixture
def place(prefect_api: str, dask_threads: Any, tmp_path: Path) -> dict[str, Any]:
    """The data, and where the searches of a test run."""
    store = str(tmp_path / "store")
    return {"X": X, "y": y, "cluster": dask_threads.scheduler_address, "store": store, "verbose": 0}


def check(result: Any, estimator: Any, cv: Any = 5) -> None:
    """Every report of every trial is the mean of scikit-learn's scores on so many folds."""
    for trial in result:
        wanted = cross_val_score(clone(estimator).set_params(**trial.config), X, y, cv=cv)
        assert [r.metrics["fold_score"] for r in trial.reports] == wanted[: trial.resource].tolist()
        assert [r.metrics["score"] for r in trial.reports] == [
            np.mean(wanted[: k + 1]) for k in range(trial.resource)
        ]


def test_every_trial_scores_as_scikit_learn_says(place):
    """All folds, one task run per trial; the largest mean wins, and its model is fitted on all rows."""
    space = {"near__shrink": uniform(0, 1), "shift__by": choice([0.0, 0.5, 1.0])}
    result = tune(pipe(), space, n_trials=8, sampler="random", **place)
    check(result, pipe())
    assert {t.state for t in result} == {TrialState.COMPLETED}
    assert {t.resource for t in result} == {5}
    assert result.cost.task_runs >= 8
    assert (result.metric, result.mode) == ("score", "max")
    assert result.best_value == max(t.last.metrics["score"] for t in result)
    model, wanted = result.best_estimator(), clone(pipe()).set_params(**result.best_config).fit(X, y)
    assert model.get_params()["near__shrink"] == result.best_config["near__shrink"]
    assert (model.predict(X) == wanted.predict(X)).all()
    assert (model[-1].means_ == wanted[-1].means_).all()


def test_a_prefix_runs_once_over_many_trials(place, tmp_path):
    """Two workers, many trials: each step before the last runs once per fold, whoever wants it first."""
    log = tmp_path / "log"
    space = {"near__shrink": choice(SHRINKS), "shift__by": choice([0.0, 1.0])}
    result = tune(pipe(log), space, sampler="random", n_trials=16, refit=False, **place)
    different = {tuple(sorted(t.config.items())) for t in result}
    prefixes = {t.config["shift__by"] for t in result}
    assert len(prefixes) == 2
    assert calls(log) == {
        "Shift.fit": 5 * len(prefixes),
        "Shift.transform": 10 * len(prefixes),
        "Nearest.fit": 5 * len(different),
    }
    with pytest.raises(LookupError, match="refit=False"):
        result.best_estimator()


def test_a_second_run_trains_nothing(place, tmp_path):
    """The same search again: the same table, no task run for a trial, no fit; the model is there."""
    log = tmp_path / "log"
    asked = {"n_trials": 5, "sampler": "random", "schedule": "median", **place}
    space = {"near__shrink": uniform(0, 1)}
    first = tune(pipe(log), space, **asked)
    assert calls(log)
    again = tune(pipe(log), space, **asked)
    assert [(t.key, t.state, t.reports) for t in again] == [(t.key, t.state, t.reports) for t in first]
    assert again.cost.task_runs == 0
    assert calls(log) == {}
    assert (again.best_estimator().predict(X) == first.best_estimator().predict(X)).all()


def test_scores_of_a_grid_search_are_found_and_the_other_way_round(place, tmp_path):
    """The keys are those of grid_search: what either has scored, the other does not fit."""
    log = tmp_path / "log"
    grid = grid_search(pipe(log), {"near__shrink": SHRINKS[:3]}, refit=False, **place)
    calls(log)
    space = {"near__shrink": choice(SHRINKS[:5])}
    found = tune(pipe(log), space, points_to_evaluate=[], refit=False, **place)
    assert len({t.key for t in found}) == 5
    assert calls(log) == {"Nearest.fit": 2 * 5}
    means = dict(zip(SHRINKS, grid.cv_results["mean_test_score"], strict=False))
    for trial in found:
        if (shrink := trial.config["near__shrink"]) in means:
            assert trial.last.metrics["score"] == means[shrink]
    grid_search(pipe(log), {"near__shrink": SHRINKS[:5]}, refit=False, **place)
    assert calls(log) == {}


@pytest.mark.parametrize("schedule", ["median", {"wilcoxon": {"p_threshold": 0.2}}, "asha"])
def test_hopeless_candidates_lose_their_last_folds(place, schedule):
    """Worse ones are dropped with fewer folds; the best is one that has them all."""
    points = [{"near__shrink": shrink} for shrink in SHRINKS]
    result = tune(
        pipe(),
        {"near__shrink": choice(SHRINKS)},
        points_to_evaluate=points,
        n_trials=len(points),
        schedule=schedule,
        cv=10,
        max_concurrent=1,
        **place,
    )
    check(result, pipe(), cv=10)
    dropped = [t for t in result if t.state is TrialState.STOPPED]
    assert dropped
    assert all(t.resource < 10 for t in dropped)
    assert {t.state for t in result} == {TrialState.STOPPED, TrialState.COMPLETED}
    best = result.best()
    complete = [t for t in result if t.state is TrialState.COMPLETED]
    assert best.value == max(t.last.metrics["score"] for t in complete)
    assert best.trial in complete
    assert result.cost.trained == sum(t.resource for t in result)


def test_idle_workers_take_folds_ahead(place, tmp_path, monkeypatch):
    """One slow trial on two workers: both fit folds of it, each fold once, and the scores are the same."""
    monkeypatch.setattr(spread, "PATIENCE", 0.0)
    log = tmp_path / "log"
    slow = pipe(log).set_params(near__seconds=1)
    result = tune(slow, {"near__shrink": choice([0.9])}, n_trials=1, cv=6, refit=False, **place)
    check(result, pipe(), cv=6)
    seen = calls(log)
    fits = {call: many for call, many in seen.items() if "fit in" in call}
    assert len(fits) == 2
    assert sum(fits.values()) == seen["Shift.fit"] == 6
    assert result.cost.task_runs > 1


def test_a_lucky_first_fold_is_no_value(place):
    """A threshold that only a mean over few folds has met does not end the search, and is not the best."""
    splits = [*StratifiedKFold(5).split(X, y)][::-1]  # the last one is the easy one
    points = [{"near__shrink": shrink} for shrink in (0.95, 0.9)]
    asked = {"points_to_evaluate": points, "n_trials": 2, "max_concurrent": 1, "cv": splits, **place}
    result = tune(pipe(), {"near__shrink": choice([0.9, 0.95])}, metric_threshold=0.999, **asked)
    assert all(t.reports[0].metrics["score"] == 1.0 for t in result)
    assert result.best_value < 0.999
    assert len(result) == 2
    assert result.stopped_by == ""


def test_a_candidate_that_raises_costs_itself_only(place):
    """The cause is named, the others are scored."""
    result = tune(pipe(), {"near__bad": choice([False, True])}, n_trials=2, **place)
    good, bad = sorted(result, key=lambda trial: trial.config["near__bad"])
    assert (good.state, bad.state) == (TrialState.COMPLETED, TrialState.FAILED)
    assert "ValueError: a bad shrink" in bad.error
    assert result.best_estimator().predict(X).shape == y.shape


def test_parameters_are_plain_json_with_references(place):
    """A flow run holds no array; what it holds runs again, as in a deployment."""
    form = {
        "class": "sklearn.pipeline.Pipeline",
        "params": {
            "steps": [
                ["scale", {"class": "sklearn.preprocessing.StandardScaler"}],
                ["pca", {"class": "sklearn.decomposition.PCA", "params": {"random_state": 0}}],
                ["svc", {"class": "sklearn.svm.SVC"}],
            ]
        },
    }
    space = SearchSpace({"svc__C": loguniform(0.1, 10), "pca__n_components": choice([2, 3])})
    first = tune(form, space.to_json(), n_trials=3, sampler="random", name="plain", **place)
    live = Pipeline([("scale", StandardScaler()), ("pca", PCA(random_state=0)), ("svc", SVC())])
    check(first, live)

    async def parameters() -> dict[str, Any]:
        async with get_client() as client:
            runs = [run for run in await client.read_flow_runs() if run.name == "plain"]
            return runs[-1].parameters

    given = asyncio.run(parameters())
    assert given["objective"] == form
    assert set(given["X"]) >= {"data", "blob"}
    json.dumps(given)
    again = tune(**{**given, "cluster": place["cluster"]})
    assert [t.key for t in again] == [t.key for t in first]
    assert again.cost.task_runs == 0


BAD = {
    "no data": ({"X": None}, "X: an estimator"),
    "a class": ({"objective": SVC}, r"pass an estimator, such as SVC\(\)"),
    "data for a function": ({"objective": objectives.plain, "space": {"x": uniform(0, 1)}}, "X: a function"),
    "folds for a function": (
        {"objective": objectives.plain, "X": None, "y": None, "cv": 3},
        "cv: a function",
    ),
    "parameter": ({"space": {"near__shrunk": uniform(0, 1)}}, "Did you mean 'shrink'"),
    "parameter of an option": (
        {"space": {"how": choice([{"near__shrink": 0.5}, {"shift__bye": uniform(0, 1)}])}},
        "Did you mean 'by'",
    ),
    "cv": ({"cv": "five"}, "'cv' parameter"),
    "scorer": ({"scoring": "acuracy"}, "Did you mean 'accuracy'"),
    "no metric": ({"scoring": ["accuracy", "f1_macro"]}, "metric: scoring gives several"),
    "metric": ({"metric": "scor"}, "Did you mean 'score'"),
    "reserved": ({"scoring": {"cost": "accuracy"}}, "scoring: 'cost'"),
    "folds": ({"max_resource": 9}, "max_resource: cv makes 5 folds"),
    "schedule": ({"schedule": {"asha": {"max_resource": 9}}}, "max_resource is 9, but cv makes 5"),
    "copies": ({"schedule": "pbt"}, "copies states"),
    "too few folds": ({"schedule": "wilcoxon", "cv": 3}, "p_threshold: must be above 0.25"),
    "rows": ({"y": y[:-1]}, "X and y do not fit together"),
    "mode": ({"mode": "most"}, "mode"),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=list(BAD))
def test_bad_input_is_refused_before_a_flow_run(changes, words, place):
    """Each mistake names its place and the next move, and no flow run exists."""
    asked = {"objective": pipe(), "space": {"near__shrink": uniform(0, 1)}, "n_trials": 2, **place, **changes}
    with pytest.raises(UserError, match=words):
        tune(**asked)


def test_it_is_what_the_package_exports():
    """The names that the how-to uses."""
    assert {"tune", "grid_search"} <= set(prefect_tune.__all__)
