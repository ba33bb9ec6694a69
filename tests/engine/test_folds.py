"""An estimator as an objective: the folds and scores of scikit-learn, the steps and keys of a grid search."""

from __future__ import annotations

import pickle
import sys
import threading
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, ShuffleSplit, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from prefect_tune.flows.tuning.folds import fold_objective, metric_of
from prefect_tune.identifier import Identifier
from prefect_tune.space import SearchSpace, choice, loguniform, uniform
from prefect_tune.store import StepStore
from prefect_tune.tasks.objective.folds import turn

sys.path.append(str(Path(__file__).parent))
from folded import Nearest, Shift, calls, several, share

X, y = load_iris(return_X_y=True)
GROUPS = np.arange(len(X)) % 7
WEIGHTS = np.linspace(0.1, 1.0, len(X))


def pipe(log=""):
    return Pipeline([("shift", Shift(log=str(log))), ("near", Nearest(log=str(log)))])


@pytest.fixture
def store(tmp_path):
    return StepStore.open(tmp_path / "store")


def objective(estimator, space, store, **asked):
    """The callable that cross-validates the estimator, as a worker would have it."""
    found = fold_objective(estimator, {"X": X, "y": y, **asked}, SearchSpace(space), store)
    return pickle.loads(cloudpickle.dumps(found.function))


CASES = {
    "default": (pipe(), {"shift__by": 0.5, "near__shrink": 0.3}, {}),
    "logistic": (LogisticRegression(max_iter=200), {"C": 0.1}, {"scoring": "neg_log_loss", "cv": 3}),
    "regression": (Ridge(), {"alpha": 2.0}, {"scoring": "r2", "cv": ShuffleSplit(4, random_state=0)}),
    "own scorer": (pipe(), {"near__shrink": 0.3}, {"scoring": share}),
    "whole swapped": (pipe(), {"near": LogisticRegression(), "near__C": 0.5}, {}),
    "step left out": (pipe(), {"shift": "passthrough"}, {}),
    "groups": (pipe(), {}, {"cv": GroupKFold(4), "fit_params": {"groups": GROUPS}}),
    "weights": (SVC(), {"C": 0.2}, {"fit_params": {"sample_weight": WEIGHTS}}),
    "kernel matrix": (SVC(kernel="precomputed"), {"C": 0.2}, {"X": X @ X.T}),
    "no target": (KMeans(2, random_state=0), {"n_clusters": 3}, {"y": None}),
}


@pytest.mark.parametrize(("estimator", "config", "asked"), CASES.values(), ids=list(CASES))
def test_scores_are_scikit_learns(estimator, config, asked, store):
    """Each fold's score, and the mean so far after each fold, bit for bit."""
    function = objective(estimator, {}, store, **asked)
    given = {"X": X, "y": y, "scoring": None, "cv": 5, **asked}
    configured, params = clone(estimator).set_params(**config), given.get("fit_params", {})
    search = GridSearchCV(configured, {}, scoring=given["scoring"], cv=given["cv"], refit=False)
    table = search.fit(given["X"], given["y"], **params).cv_results_
    wanted = [table[f"split{k}_test_score"][0] for k in range(function.folds)]
    if not params:  # cross_val_score passes weights to fit alone, the searches to the scorer too
        plain = cross_val_score(configured, given["X"], given["y"], scoring=given["scoring"], cv=given["cv"])
        assert wanted == plain.tolist()
    reports = [report for report, _ in function(config)]
    assert [r["fold"] for r in reports] == list(range(1, function.folds + 1))
    assert [r["fold_score"] for r in reports] == wanted
    assert reports[-1]["score"] == table["mean_test_score"][0]
    assert [r["score"] for r in reports] == [np.mean(wanted[:k]) for k in range(1, len(wanted) + 1)]


def test_several_metrics(store):
    """Every metric has its running mean and its value on the latest fold."""
    scoring = ["accuracy", "f1_macro"]
    reports = [report for report, _ in objective(pipe(), {}, store, scoring=scoring)({})]
    wanted = cross_validate(pipe(), X, y, scoring=scoring)
    for name in scoring:
        assert [r[f"fold_{name}"] for r in reports] == wanted[f"test_{name}"].tolist()
        assert reports[-1][name] == np.mean(wanted[f"test_{name}"])


def test_a_scorer_that_returns_several(store):
    """Its names are the metrics."""
    reports = [report for report, _ in objective(pipe(), {}, store, scoring=several)({})]
    assert set(reports[0]) == {"fold", "right", "rows", "fold_right", "fold_rows"}
    assert reports[-1]["right"] == np.mean(cross_val_score(pipe(), X, y, scoring=share))


def test_it_goes_on_from_its_state(store, tmp_path):
    """The state holds the folds so far; the rest alone is worked out, and the reports go on as they would."""
    log = tmp_path / "log"
    function = objective(pipe(log), {}, store)
    whole = list(function({}))
    assert calls(log)["Nearest.fit"] == 5
    fresh = objective(pipe(log), {}, StepStore.open(tmp_path / "other"))
    assert list(fresh({}, whole[2][1])) == whole[3:]
    assert calls(log)["Nearest.fit"] == 2


def test_another_process_finds_scores_and_steps(store, tmp_path):
    """A configuration that was scored is not fitted again; one with the same prefix fits the last step."""
    log = tmp_path / "log"
    list(objective(pipe(log), {}, store)({"near__shrink": 0.5}))
    assert calls(log) == {"Shift.fit": 5, "Shift.transform": 10, "Nearest.fit": 5}
    list(objective(pipe(log), {}, store)({"near__shrink": 0.5}))
    assert calls(log) == {}
    list(objective(pipe(log), {}, store)({"near__shrink": 0.7}))
    assert calls(log) == {"Nearest.fit": 5}


def test_what_hangs_on_an_endless_domain_is_not_stored_for_others(store, tmp_path):
    """A step whose parameter is drawn from a range is run again by another process, and fills no disk."""
    log = tmp_path / "log"
    space = {"shift__by": uniform(0, 1), "near__shrink": uniform(0, 1)}
    for shrink, wanted in ((0.5, 5), (0.7, 5)):
        list(objective(pipe(log), space, store)({"shift__by": 0.3, "near__shrink": shrink}))
        assert calls(log)["Shift.fit"] == wanted


def test_parameters_without_identity_share_nothing(store, tmp_path):
    """A value that nobody can tell from others gets steps of its own, each time."""
    log = tmp_path / "log"

    class Odd(float):
        __slots__ = ("hidden",)

    function = objective(pipe(log), {}, store)
    for _ in range(2):
        list(function({"near__shrink": Odd(0.5), "shift__by": 2.0}))
        assert calls(log)["Nearest.fit"] == 5


def test_branches_are_parameters(store):
    """A dict under a name that the estimator lacks is a branch of the space; others are values."""
    branches = [
        {"near": Nearest(), "near__shrink": uniform(0, 1)},
        {"near": SVC(), "near__C": loguniform(0.1, 9)},
    ]
    space = {"how": choice(branches)}
    function = objective(pipe(), space, store)
    config = SearchSpace(space).points([{"how": {"near": SVC(), "near__C": 2.0}}])[0]
    wanted = cross_val_score(pipe().set_params(near=SVC(), near__C=2.0), X, y)
    assert [r["fold_score"] for r, _ in function(config)] == wanted.tolist()
    weights = objective(SVC(), {"class_weight": choice([{0: 1, 1: 3}, None])}, store)
    wanted = cross_val_score(SVC(class_weight={0: 1, 1: 3}), X, y)
    assert [r["fold_score"] for r, _ in weights({"class_weight": {0: 1, 1: 3}})] == wanted.tolist()


def identity_of(estimator, store, **asked):
    found = fold_objective(estimator, {"X": X, "y": y, **asked}, SearchSpace({}), store)
    return found.identity(Identifier())


def test_identity(store):
    """The same question has the same identity; other data, folds, metrics or parameters have another."""
    assert identity_of(pipe(), store) == identity_of(pipe(), store, X=X.copy(), cv=5)
    others = [
        {"X": X + 1},
        {"y": 1 - y % 2},
        {"cv": 4},
        {"scoring": "f1_macro"},
        {"fit_params": {"groups": GROUPS}, "cv": GroupKFold(5)},
    ]
    found = [identity_of(pipe(), store, **other) for other in others]
    found += [identity_of(pipe(), store), identity_of(pipe().set_params(near__shrink=2.0), store)]
    assert len(set(found)) == len(found)


def test_metric_of(store):
    """One metric needs no name, several do; a name is checked unless the scorer alone knows its metrics."""
    space = SearchSpace({})
    one = fold_objective(pipe(), {"X": X, "y": y}, space, store)
    own = fold_objective(pipe(), {"X": X, "y": y, "scoring": several}, space, store)
    assert metric_of(one, {}) == "score"
    assert metric_of(one, {"metric": "fold_score"}) == "fold_score"
    assert metric_of(own, {"metric": "right"}) == "right"


def test_turns(tmp_path):
    """One at a time; whoever waited is told so, and a place that cannot be locked lets everybody in."""
    seen, inside = [], threading.Event()

    def second():
        with turn(tmp_path / "key") as waited:
            seen.append(waited)

    with turn(tmp_path / "key") as waited:
        other = threading.Thread(target=second)
        other.start()
        inside.wait(0.1)
        assert (waited, seen) == (False, [])
    other.join()
    assert seen == [True]
    with turn(tmp_path / "no" / "folder") as waited:
        assert not waited


@pytest.mark.parametrize("step", [PCA(2), "passthrough"])
def test_every_option_is_checked_once(step, store):
    """Steps among the options are put together with what hangs on them."""
    space = SearchSpace({"shift": choice([Shift(), step]), "near__shrink": uniform(0, 1)})
    assert fold_objective(pipe(), {"X": X, "y": y}, space, store).function.endless == {"near__shrink"}
